"""Writing and restoring the state of a run, so that a resumed run continues as if it had never stopped."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dlkit.errors import DlkitError, Preempted
from dlkit.options import option
from dlkit.training.checkpoint_files import Checkpoint, CheckpointFiles
from dlkit.training.keep_best import KeepBest
from dlkit.training.trainer import Trainer

MAX_TIME_SHARE = 0.03  # maximum share of a run's time for checkpoints at the ends of epochs
ASSUMED_WRITE_SPEED = 200e6  # bytes per second, assumed for the first checkpoint
NAN_CHECK_INTERVAL = 50  # steps between two checks for a loss that is not finite


FINGERPRINTS = {
    "training": "sha256",
    "validation": "validation",
}  # of the data, and their fingerprints in `fingerprint_`


class OtherRunError(DlkitError):
    """A run cannot be resumed with other hyperparameters or other data."""


def other_data(kinds: Sequence[str]) -> OtherRunError:
    """Make the error for a run that was started with other data of these kinds."""
    others = " and ".join(f"other {kind} data" for kind in kinds)
    return OtherRunError(
        f"the run was started with {others}. Resume with the same data, start over with "
        f"{option('overwrite', True)}, or allow it with {option('allow_changes', True)}, which restarts the "
        "interrupted epoch."
    )


class NanLossError(DlkitError):
    """The loss of a step was not finite. The message names the step, its learning rate and its rows."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class Checkpoints(keras.callbacks.Callback):
    """Keeps the history of a run, writes its checkpoints, and stops it on request or if the loss diverges.

    It acts at the beginning of the following step: for a callback at the end of a step, Keras waits at every step
    until the metrics are available.

    Args:
        files: where to write, or None to write nothing.
        steps: of an epoch.
        last: steps of the run, after which it ends; 0 for those of whole epochs.
        every: steps between two checkpoints (int), or seconds (float); 0 for the ends of epochs alone, and of these
            only so many that their cost stays under 3 % of the run's time.
        stopping: the run's early stopping, or None.
        facts: what a checkpoint must agree on with the run that resumes it, by name.
        chief: whether this process is the one that writes.
        describe: what to say of a step whose loss was not finite.
        sparse: names of metrics that only some epochs have; the history has NaN for the others.
    """

    def __init__(
        self,
        files: CheckpointFiles | None,
        steps: int,
        every: int | float,
        stopping: KeepBest | None,
        facts: dict[str, Any],
        *,
        last: int = 0,
        chief: bool = True,
        describe: Callable[[int], str] = str,
        sparse: Sequence[str] = (),
    ):
        super().__init__()
        self.step = 0  # steps done; the next one has this number
        self._epoch = 0
        self.history: dict[str, list[float]] = {}
        self._files, self._steps, self._every, self._stopping, self.facts = files, steps, every, stopping, facts
        self._last, self._chief, self._describe, self._sparse = last, chief, describe, sparse
        self._resumed: Checkpoint | None = None
        self._stop_requested = False
        self._written = time.perf_counter()
        self._cost = 0.0  # seconds that the next checkpoint should take

    @property
    def stopped(self) -> bool:
        """Whether the resumed run was stopped early."""
        waited = self._resumed.state.get("stopping", {}).get("wait", 0) if self._resumed else 0
        return self._stopping is not None and waited >= self._stopping.patience

    def load(self, checkpoint: Checkpoint, trainer: Trainer, *, allow_changes: bool = False) -> None:
        """Restore a checkpoint into the trainer's variables, and continue after its step.

        Args:
            allow_changes: whether the run may continue with other hyperparameters or data: with its own learning rate
                then, and from the beginning of the epoch if the epochs differ.

        Raises:
            DlkitError: it is of other data, another network or another optimizer.
        """
        kinds = [
            kind for kind, name in (("training", "fingerprint"), ("validation", "validation"))
            if checkpoint.state[name] != self.facts[name]
        ]  # fmt: skip
        if kinds and not allow_changes:
            raise other_data(kinds)
        variables, arrays = saved_variables(trainer), checkpoint.group("variable")
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            raise DlkitError(
                f"the checkpoint holds {len(arrays)} variables that do not match the {len(variables)} of this run. "
                "Resume with the hyperparameters that the run was started with."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        averages = checkpoint.group("average") or [variable.numpy() for variable in trainer.averaged_variables]
        for average, array in zip(trainer.averages, averages, strict=False):  # none, if the run goes on without
            average.assign(array)
        rate = checkpoint.state["learning_rate"]
        if rate is not None and not allow_changes:
            trainer.optimizer.learning_rate = rate
        self.step, self.history, self._resumed = checkpoint.state["step"], checkpoint.state["history"], checkpoint
        if any(checkpoint.state[name] != self.facts[name] for name in ("fingerprint", "steps")):
            self.step = len(self.history.get("loss", [])) * self._steps
        if self.step < self._last:  # the last epoch of a run that is to go on may have been a part of one
            self.history = {name: values[: self.step // self._steps] for name, values in self.history.items()}

    def on_train_begin(self, logs: dict | None = None) -> None:
        _spread_seeds(self.model)
        if not self._cost:
            self._cost = estimate_write_time(saved_variables(self.model))
        if self._stopping and self._resumed and "stopping" in self._resumed.state:
            # It has just forgotten everything, as it does when training begins.
            self._stopping.restore(self._resumed.state["stopping"], self._resumed.group("best"))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch
        if self._resumed and self.step % self._steps:  # Keras has just reset the metrics
            _restore_metrics(self.model, self._resumed.group("metric"))
        self._resumed = None

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        step = self._epoch * self._steps + batch
        if step > self.step:
            self.step = step
            checkpoint, stop = self._read_requests()
            if checkpoint or stop or step % NAN_CHECK_INTERVAL == 0:
                self._refuse_nan()
            if checkpoint or stop:
                self._write()
            if stop:
                raise Preempted(step)
        if step + 1 == self._last and self._last % self._steps:
            self.model.stop_training = True  # after this step: the last epoch may be a part of one
        self._send_requests()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        ended = (epoch + 1) * self._steps
        self.step = self._last if epoch * self._steps < self._last < ended else ended
        self._refuse_nan()
        for name, value in {**dict.fromkeys(self._sparse, math.nan), **(logs or {})}.items():
            self.history.setdefault(name, []).append(float(value))
        checkpoint, stop = self._read_requests()
        idle = time.perf_counter() - self._written
        if checkpoint or stop or (not self._every and idle * MAX_TIME_SHARE >= self._cost):
            self._write()
        if stop:
            raise Preempted(self.step)

    def request_stop(self, *_: Any) -> None:
        """Request a checkpoint after the current step and the end of the run. This is a signal handler."""
        self._stop_requested = True

    def _read_requests(self) -> tuple[bool, bool]:
        """Return whether to write a checkpoint now, and whether to stop: the same in every worker."""
        now = isinstance(self._every, int) and self._every > 0 and self.step % self._every == 0
        if self.model.replicas == 1:
            return now or self._is_overdue(), self._stop_requested
        checkpoint, stop = _local_copies(self.model, self.model.total_requests)[0].numpy()
        return bool(now or checkpoint), bool(stop)

    def _send_requests(self) -> None:
        """Send this worker's requests to the others with the next step, because all must act after the same step."""
        if self.model.replicas > 1:
            requests = [float(self._chief and self._is_overdue()), float(self._stop_requested)]
            _local_copies(self.model, self.model.requests)[0].assign(requests)

    def _is_overdue(self) -> bool:
        return isinstance(self._every, float) and time.perf_counter() - self._written >= self._every

    def _refuse_nan(self) -> None:
        bad = int(_local_copies(self.model, self.model.first_bad)[0])
        if bad >= 0:
            raise NanLossError(self._describe(bad), bad)

    def _write(self) -> None:
        if not self._files:
            return
        begun = time.perf_counter()
        rate = _read_learning_rate(self.model)
        state: dict[str, Any] = {"step": self.step, "history": self.history, "learning_rate": rate, **self.facts}
        arrays = {f"variable/{n}": variable.numpy() for n, variable in enumerate(saved_variables(self.model))}
        if self.step % self._steps:  # else the next epoch begins with empty metrics
            arrays |= {f"metric/{n}": array for n, array in enumerate(_metric_states(self.model))}
        arrays |= {f"average/{n}": average.numpy() for n, average in enumerate(self.model.averages)}
        if self._stopping and self._stopping.best_weights:
            state["stopping"] = self._stopping.state()
            arrays |= {f"best/{n}": array for n, array in enumerate(self._stopping.best_weights)}
        if self._chief:
            self._files.write(self.step, Checkpoint(state, arrays))
        self._written = time.perf_counter()
        self._cost = self._written - begun


def estimate_write_time(variables: Sequence[Any]) -> float:
    """Return the seconds that writing variables should take."""
    return sum(v.dtype.size * v.shape.num_elements() for v in variables) / ASSUMED_WRITE_SPEED


def saved_variables(trainer: Trainer) -> list[Any]:
    """Return the variables of network and optimizer, without the learning rate, which is a variable only without a
    schedule."""
    optimizer = trainer.optimizer
    rates = {id(getattr(part, "_learning_rate", None)) for part in (optimizer, trainer.updater)}
    return [v.value for v in (*trainer.variables, *optimizer.variables) if id(v) not in rates]


def _read_learning_rate(trainer: Trainer) -> float | None:
    """Return the learning rate if a variable holds it, which callbacks may change; None with a schedule."""
    rate = trainer.updater._learning_rate
    return None if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else float(rate.numpy())


def _local_copies(trainer: Trainer, variable: Any) -> tuple[Any, ...]:
    """Return the copies of a variable that belong to this process's replicas."""
    return trainer.distribute_strategy.experimental_local_results(variable)


def _first_replica(trainer: Trainer) -> int:
    """Return the number, among all replicas, of the first one of this process."""
    strategy = trainer.distribute_strategy
    ids = strategy.experimental_distribute_values_from_function(lambda context: context.replica_id_in_sync_group)
    return int(strategy.experimental_local_results(ids)[0])


def _metric_states(trainer: Trainer) -> list[np.ndarray]:
    """Return the state of the metrics, (replicas, ...) each: every replica counts its own rows."""
    strategy = trainer.distribute_strategy
    states = []
    for variable in trainer.metrics_variables:
        own = tf.stack([tf.convert_to_tensor(copy) for copy in _local_copies(trainer, variable.value)])
        if len(own) < trainer.replicas:  # the other workers have the rest
            own = strategy.gather(_per_replica(strategy, own), axis=0)
        states.append(own.numpy())
    return states


def _per_replica(strategy: tf.distribute.Strategy, rows: tf.Tensor) -> Any:
    """Distribute (own replicas, ...) as (1, ...) over this process's replicas."""
    numbers = iter(range(len(rows)))

    def next_row(context: Any) -> tf.Tensor:
        row = next(numbers)
        return rows[row : row + 1]

    return strategy.experimental_distribute_values_from_function(next_row)


def _restore_metrics(trainer: Trainer, states: list[np.ndarray]) -> None:
    first = _first_replica(trainer)
    for variable, state in zip(trainer.metrics_variables, states, strict=True):
        if len(state) != trainer.replicas:  # the run goes on with another number of them: the first one counts for all
            state = np.concatenate(
                [state.sum(axis=0, keepdims=True), np.zeros((trainer.replicas - 1, *state.shape[1:]))]
            )
        for number, copy in enumerate(_local_copies(trainer, variable.value)):
            copy.assign(tf.cast(state[first + number], copy.dtype))


def _spread_seeds(trainer: Trainer) -> None:
    """Give each replica its own seeds; with equal ones, dropout would drop the same positions in each part.

    Those of replica 0 stay as they are: checkpoints hold them, and the others follow from them.
    """
    if trainer.replicas == 1:
        return
    first = _first_replica(trainer)
    for variable in trainer.non_trainable_variables:
        if variable.name == "seed_generator_state":
            for number, copy in enumerate(_local_copies(trainer, variable.value)):
                copy.assign_add([(first + number) << 20, 0])


@contextlib.contextmanager
def stopping_on_sigterm(checkpoints: Checkpoints) -> Iterator[None]:
    """End the run after a checkpoint if SIGTERM arrives, while the context is open. Only the main thread receives
    signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, checkpoints.request_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
