"""Task-oriented deep learning on Keras 3 and TensorFlow: raw input in, answer out, one graph, served as it is.

Names are loaded at their first use: `import dlkit` imports neither TensorFlow nor NumPy.
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
    from dlkit.tasks.image_segmentation.task import ImageSegmenter as ImageSegmenter
    from dlkit.tasks.object_detection.task import ObjectDetector as ObjectDetector
    from dlkit.tasks.question_answering.task import QuestionAnswerer as QuestionAnswerer
    from dlkit.tasks.recommendation.task import Recommender as Recommender
    from dlkit.tasks.sentiment.task import SentimentClassifier as SentimentClassifier
    from dlkit.tasks.translation.task import Translator as Translator


def load(folder: str | Path) -> Task:
    """The task that `save` wrote into a folder, whichever it is.

    Raises:
        DlkitError: the folder holds no saved model, or one from a newer dlkit.
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
    """Parts labeled data into a source to train on and one to test on, as the rows of the task know how.

    Ordinary rows are parted at random, a fifth to test on, with the proportions of their labels kept; series by time,
    so that the last origins are tested on; interactions by the task's `protocol`.

    Args:
        data: as `Task.fit` takes it.
        task: a task; its hparams, such as `seed`, `horizon` or `protocol`, say how.
        columns: this task's column names to the data's own, where they differ.
        data_dir: where TensorFlow Datasets lie.
        **options: how the data are read, as `Task.fit` takes them.

    Returns:
        `train`, for `fit`, and `test`, for `evaluate`.

    Raises:
        DataError: the data cannot be read, or is too small.

    Example:
        >>> task = dlkit.SentimentClassifier()
        >>> train, test = dlkit.split("reviews.csv", task)
        >>> task.fit(train)
        >>> task.evaluate(test)
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
