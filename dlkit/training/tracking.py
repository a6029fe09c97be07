"""Experiment trackers: one of their runs for each run of training, however often that is killed and resumed.

Trackers that patch Keras's `fit` log what they see of it. They do not see a task's hyperparameters, nor that this
process goes on with what another one began.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras

from dlkit.log import logger

if TYPE_CHECKING:
    from dlkit.training.trainable import Trainable

MLFLOW = "mlflow"
_FLAVORS = ("tensorflow", "keras")  # by which MLflow logs what Keras trains


@contextlib.contextmanager
def track_run(task: Trainable, callbacks: Sequence[keras.callbacks.Callback]) -> Iterator[None]:
    """Keep a run of MLflow's open where the program logs to MLflow.

    It does so where MLflow has an active run, which is taken, logs by itself (`mlflow.autolog()`), or is among the
    callbacks. Else nothing happens: MLflow is not imported. A resumed run of training goes on with its run of before,
    whose id `tracker_runs_` keeps in the model's folder. A tracker that fails costs no training.
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
    """Logs a task's hyperparameters as parameters of the run that `tracked` keeps open, if there is one.

    It waits for training to begin: MLflow has then logged the arguments of `fit`, and a parameter cannot be changed.
    Those of a resumed run stay those of before.
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
def _start_run(mlflow: Any, before: str | None) -> Iterator[None]:
    """A run of MLflow's, that of `before` where it can be found, which ends as the training does."""
    try:
        mlflow.start_run(run_id=before)
    except Exception as error:
        if not before:
            raise
        logger.warning(f"MLflow has no run {before} to resume, so a new one is created: {error}")
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
