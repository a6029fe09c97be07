"""Experiment trackers: one tracker run per training run, however often that is killed and resumed.

Trackers that patch Keras's `fit` log its arguments and metrics. They see neither a task's hyperparameters nor that this
process resumes a run that another one began.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from dlkit.log import logger

if TYPE_CHECKING:
    from dlkit.training.trainable import Trainable

MLFLOW = "mlflow"
_FLAVORS = ("tensorflow", "keras")  # by which MLflow logs what Keras trains


@contextlib.contextmanager
def track_run(task: Trainable, callbacks: Sequence[keras.callbacks.Callback]) -> Iterator[None]:
    """Keep an MLflow run open during training, if the program logs to MLflow.

    This is the case if MLflow has an active run, which is used, if autologging is on (`mlflow.autolog()`), or if one of
    the callbacks is MLflow's. Otherwise nothing happens, and MLflow is not imported. A resumed training continues its
    MLflow run, whose id `tracker_runs_` keeps in the model's folder. If tracking fails, training continues.
    """
    mlflow = sys.modules.get(MLFLOW)
    with contextlib.ExitStack() as stack:
        if mlflow is not None:
            with _log_errors():
                if not mlflow.active_run() and _is_wanted(callbacks):
                    stack.enter_context(_start_run(mlflow, task.tracker_runs_.get(MLFLOW)))
                if active := mlflow.active_run():
                    task.tracker_runs_ = {MLFLOW: active.info.run_id}
        yield


class LogHyperparameters(keras.callbacks.Callback):
    """Logs a task's hyperparameters as parameters of the MLflow run that `track_run` keeps open, if there is one.

    It waits until training begins: MLflow has then logged the arguments of `fit`, and a parameter cannot be changed
    later. A resumed run keeps the parameters that it was started with.
    """

    def __init__(self, task: Trainable):
        super().__init__()
        self._task = task

    def on_train_begin(self, logs: dict | None = None) -> None:
        mlflow, run = sys.modules.get(MLFLOW), self._task.tracker_runs_.get(MLFLOW)
        if mlflow is not None and run:
            with _log_errors():
                logged = mlflow.get_run(run).data.params
                mlflow.log_params({name: value for name, value in self._task.hparams.items() if name not in logged})


def log_file(path: Path) -> None:
    """Log a file to the MLflow run that is active, if there is one."""
    mlflow = sys.modules.get(MLFLOW)
    if mlflow is not None:
        with _log_errors():
            if mlflow.active_run():
                mlflow.log_artifact(str(path), path.parent.name)


def _is_wanted(callbacks: Sequence[keras.callbacks.Callback]) -> bool:
    from mlflow.utils.autologging_utils import autologging_is_disabled, get_autologging_config

    # `exclusive` is logging into no runs but MLflow's own.
    logs = [
        name
        for name in _FLAVORS
        if not autologging_is_disabled(name) and not get_autologging_config(name, "exclusive", False)
    ]
    return bool(logs) or any(type(callback).__module__.startswith(f"{MLFLOW}.") for callback in callbacks)


@contextlib.contextmanager
def _start_run(mlflow: Any, run_id: str | None) -> Iterator[None]:
    """Start an MLflow run, or resume the one with this id if it can be found, and end it with the training."""
    try:
        mlflow.start_run(run_id=run_id)
    except Exception as error:
        if not run_id:
            raise
        logger.warning(f"MLflow has no run {run_id} to resume, so a new one is created: {error}")
        mlflow.start_run()
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    finally:
        with _log_errors():
            mlflow.end_run(status)


@contextlib.contextmanager
def _log_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of the network, of a server, of another version
        logger.warning(f"MLflow does not track this run: {error}")
