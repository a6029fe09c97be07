"""Task-oriented deep learning on Keras 3 and TensorFlow: raw input in, answer out, one graph, served as it is.

Names are loaded at their first use: `import dlkit` imports neither TensorFlow nor NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pathlib import Path

    from dlkit.task import Task
    from dlkit.tasks.forecasting import Forecaster as Forecaster
    from dlkit.tasks.image_classification import ImageClassifier as ImageClassifier
    from dlkit.tasks.image_segmentation import ImageSegmenter as ImageSegmenter
    from dlkit.tasks.object_detection import ObjectDetector as ObjectDetector
    from dlkit.tasks.question_answering import QuestionAnswerer as QuestionAnswerer
    from dlkit.tasks.recommendation import Recommender as Recommender
    from dlkit.tasks.sentiment import SentimentClassifier as SentimentClassifier
    from dlkit.tasks.translation import Translator as Translator


def load(folder: str | Path) -> Task:
    """The task that `save` wrote into a folder, whichever it is.

    Raises:
        DlkitError: the folder holds no saved model, or one from a newer dlkit.
    """
    from pathlib import Path

    from dlkit.model_folder import read_index
    from dlkit.tasks import find_task

    return find_task(read_index(Path(folder))["task"]).load(folder)


def __getattr__(name: str) -> Any:
    if name == "DlkitError":
        from dlkit.errors import DlkitError

        return DlkitError
    if name[:1].isupper():
        from dlkit.tasks import find_task, task_names

        for task in task_names():
            if (found := find_task(task)).__name__ == name:
                return found
    raise AttributeError(f"module 'dlkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    from dlkit.tasks import find_task, task_names

    return ["DlkitError", "load", *(find_task(name).__name__ for name in task_names())]
