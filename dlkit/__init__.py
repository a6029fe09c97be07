"""Task-oriented deep learning on Keras 3 and TensorFlow: from raw input to predictions in one graph, served as it is.

Names are loaded on first use: `import dlkit` imports neither TensorFlow nor NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from dlkit.version import __version__ as __version__

if TYPE_CHECKING:
    from pathlib import Path

    from dlkit.data.read_options import ReadKeywords
    from dlkit.task import Task
    from dlkit.tasks.forecasting.task import Forecaster as Forecaster
    from dlkit.tasks.image_classification.task import ImageClassifier as ImageClassifier
    from dlkit.tasks.image_generation.task import ImageGenerator as ImageGenerator
    from dlkit.tasks.image_segmentation.task import ImageSegmenter as ImageSegmenter
    from dlkit.tasks.language_model.task import LanguageModel as LanguageModel
    from dlkit.tasks.molecule_properties.task import MoleculeProperties as MoleculeProperties
    from dlkit.tasks.object_detection.task import ObjectDetector as ObjectDetector
    from dlkit.tasks.question_answering.task import QuestionAnswerer as QuestionAnswerer
    from dlkit.tasks.recommendation.task import Recommender as Recommender
    from dlkit.tasks.sentiment.task import SentimentClassifier as SentimentClassifier
    from dlkit.tasks.tabular_classification.task import TabularClassifier as TabularClassifier
    from dlkit.tasks.tabular_regression.task import TabularRegressor as TabularRegressor
    from dlkit.tasks.translation.task import Translator as Translator


def load(folder: str | Path) -> Task:
    """Load a saved model of any task.

    Args:
        folder: folder that `save` or `fit(save=...)` wrote.

    Returns:
        The fitted task.

    Raises:
        DlkitError: the folder holds no saved model, an interrupted run, or a model of another version.

    Examples:
        >>> dlkit.load("reviews").predict("A wonderful film.")["label"]  # doctest: +SKIP
        'positive'
    """
    from pathlib import Path

    from dlkit.model_folder import read_index
    from dlkit.tasks import find_task

    return find_task(read_index(Path(folder))["task"]).load(folder)


def split(
    data: Any,
    task: Task,
    *,
    columns: dict[str, str] | None = None,
    data_dir: str | None = None,
    **options: Unpack[ReadKeywords],
) -> tuple[Any, Any]:
    """Split labeled data into training and test data in the way that suits the task.

    A fifth of ordinary rows is drawn at random for testing, with the proportions of their labels. Series are split by
    time: their ends are test data. Interactions are split by the hyperparameter `split` of the recommender, and tables
    by their column of times or groups, if the task names one.

    Args:
        data: labeled data, as in `Task.fit`.
        task: a task, whose hyperparameters determine the split, such as `seed`, `horizon` or `split`.
        columns: dict from this task's column names to those of the data, where they differ.
        data_dir: folder of TensorFlow Datasets.
        **options: options for reading the data, as in `Task.fit`.

    Returns:
        The training data, for `fit`, and the test data, for `evaluate`.

    Raises:
        DataError: the data cannot be read, or is too small.

    Examples:
        >>> task = dlkit.SentimentClassifier()
        >>> train, test = dlkit.split(task.samples()["train"], task)
        >>> len(train), len(test)
        (256, 64)
    """
    return task.rows.split(task, data, columns=columns, data_dir=data_dir, **options)


def __getattr__(name: str) -> Any:
    if name == "DlkitError":
        from dlkit.errors import DlkitError

        return DlkitError
    if name[:1].isupper():
        from dlkit.tasks import find_task, task_names

        for task in task_names():
            if (found := find_task(task)).__name__ == name:
                return found
        from dlkit.hparams import nearest

        raise AttributeError(f"module 'dlkit' has no attribute {name!r}. {nearest(name, __dir__())}")
    raise AttributeError(f"module 'dlkit' has no attribute {name!r}")  # as `from dlkit import text` asks, for one


def __dir__() -> list[str]:
    from dlkit.tasks import find_task, task_names

    return ["DlkitError", "load", "split", *(find_task(name).__name__ for name in task_names())]
