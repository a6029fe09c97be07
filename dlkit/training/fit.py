"""One training run: build, encode, then Keras's own `fit`, under any strategy."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from dlkit import model_folder
from dlkit.chain import chain
from dlkit.columns import batch_of
from dlkit.data.split import split
from dlkit.data.table import Table
from dlkit.errors import DataError, DlkitError, KnobError
from dlkit.knobs import nearest
from dlkit.lazy import tf
from dlkit.training.checkpoint_files import CheckpointFiles
from dlkit.training.checkpoints import Checkpoints, NanLossError, stopping_on_sigterm
from dlkit.training.distribute import split_over_replicas
from dlkit.training.encode import encode_table
from dlkit.training.freeze import freeze, gradual_unfreezing
from dlkit.training.optimizer import make_optimizer, make_schedule
from dlkit.training.order import Order, ordered_batches, steps_per_epoch, training_batches
from dlkit.training.store import Store
from dlkit.training.strategies import Place, find_place
from dlkit.training.trainer import Trainer

if TYPE_CHECKING:
    from dlkit.task import Task

SAMPLES = 8  # real rows kept with a model: the golden requests of its exports
FREE = ("patience", "cache_mb")  # knobs that may be others when a run is resumed
LOST = ("Unavailable", "Aborted", "Internal", "DeadlineExceeded", "Cancelled", "FailedPrecondition", "Unknown")


@dataclass
class Run:
    """What a run is asked for beside the knobs; see `Task.fit`."""

    place: Place = dataclasses.field(default_factory=lambda: find_place("one"))
    save: Path | None = None
    resume: bool = False
    overwrite: bool = False
    changed: bool = False
    keep: int = 2
    checkpoint_every: int | float = 0
    nan_retries: int = 0
    callbacks: Sequence[keras.callbacks.Callback] = ()
    tensorboard: str | None = None
    verbose: int | str = "auto"


def fit(task: Task, train: Table, validation: Table | None, run: Run) -> dict[str, list[float]]:
    """Trains a task on a table and leaves it fitted.

    Returns:
        The history: metric name to one value per epoch.
    """
    train, validation = _parts(task, train, validation, run.place.strategy.num_replicas_in_sync)
    while True:
        changes = _check(task, run)
        try:
            with _naming_lost_workers(run.place):
                return _run(task, train, validation, run, changes)
        except NanLossError as error:
            if not run.nan_retries:
                raise
            task.learning_rate /= 2
            if run.place.is_chief:
                print(f"{error}\nGoing back there, with learning_rate={task.learning_rate:g}.", file=sys.stderr)
            run = dataclasses.replace(run, resume=True, overwrite=False, changed=True, nan_retries=run.nan_retries - 1)


def _run(
    task: Task, train: Table, validation: Table | None, run: Run, changes: dict[str, Any]
) -> dict[str, list[float]]:
    place, chief = run.place, run.place.is_chief
    keras.utils.set_random_seed(task.seed)
    if run.resume and run.save and not changes:
        model_folder.restore(task, run.save)
    else:
        start(task, train)
    store, held_out = encode(task, train, validation, quiet=not chief)
    _agree(place, store)
    order = _order(task, store, place)
    trainer, frozen = compile_network(task, order.steps, place.strategy)
    watched = split_over_replicas(ordered_batches(held_out or store, task.batch_size), place.strategy)
    known = trainer.evaluate(watched, steps=1, return_dict=True, verbose=0)  # makes the metrics, which have a state
    stopping = _stopping(task, known) if held_out else None
    files = CheckpointFiles(run.save / "checkpoints", run.keep) if run.save else None
    checkpoints = Checkpoints(
        files,
        order.steps,
        run.checkpoint_every,
        stopping,
        {"fingerprint": task.fingerprint_["sha256"], "knobs": task.knobs},
        chief=chief,
        describe=lambda step: _describe_nan(task, train, store, order, step, bool(run.save)),
    )
    callbacks = [
        *([gradual_unfreezing(frozen, task.unfreeze_every)] if frozen and task.unfreeze_every else []),
        *([stopping] if stopping else []),
        *([_tensorboard(run.tensorboard)] if run.tensorboard and chief else []),
        *run.callbacks,
        checkpoints,  # last: it saves what the others have decided
    ]
    if run.resume and files:
        _load(files, checkpoints, trainer, order, run.changed)
    if chief and run.save and (changes or not run.resume):  # not before all that can be refused has been
        if files and not run.resume:
            files.clear()
        model_folder.write(task, run.save, finished=False)
    verbose = (1 if sys.stdout.isatty() else 2) if run.verbose == "auto" else run.verbose
    with stopping_on_sigterm(checkpoints) if files else contextlib.nullcontext():
        _train(
            trainer,
            lambda step: split_over_replicas(batches(task, store, order, step), place.strategy),
            checkpoints,
            callbacks,
            steps=order.steps,
            epochs=task.epochs,
            verbose=verbose if chief else 0,
            validation_data=watched if held_out else None,
            validation_steps=held_out and steps_per_epoch(held_out.rows, task.batch_size),
        )
    _give_back(trainer, task.stages_.network)
    task.history_ = checkpoints.history
    return task.history_


def _order(task: Task, store: Store, place: Place) -> Order:
    if isinstance(place.strategy, tf.distribute.TPUStrategy):  # which knows no varying shapes
        multiple = place.strategy.num_replicas_in_sync
        return Order(store.rows, task.batch_size, task.seed, multiple=multiple)
    return Order(store.rows, task.batch_size, task.seed, task.lengths(store))


class _Callbacks(keras.callbacks.CallbackList):
    """The callbacks of one run of two calls of Keras's `fit`: the rest of an interrupted epoch, and the epochs after.

    Args:
        callbacks: as in `fit`.
        skipped: batches of the interrupted epoch that were done before.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], skipped: int, **params: Any):
        super().__init__(list(callbacks), **params)
        self.skipped = skipped
        self._begun = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_begin(batch + self.skipped, logs)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_end(batch + self.skipped, logs)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Waits for `end`: Keras calls this after each `fit`."""

    def end(self) -> None:
        super().on_train_end()


def _train(
    trainer: Trainer,
    batches_from: Callable[[int], Any],
    checkpoints: Checkpoints,
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    steps: int,
    epochs: int,
    verbose: Any,
    **validation: Any,
) -> None:
    """Keras's `fit` from the step of the checkpoint on."""
    epoch, done = divmod(checkpoints.step, steps)
    if checkpoints.stopped:
        epoch, done = epochs, 0
    together = _Callbacks(
        callbacks,
        done,
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=steps,
        model=trainer,
    )

    def fit(first: int, last: int, skipped: int) -> None:
        together.skipped = skipped
        trainer.fit(
            batches_from(first * steps + skipped),
            epochs=last,
            initial_epoch=first,
            steps_per_epoch=steps - skipped,
            shuffle=False,  # the batches come in their order already
            callbacks=together,
            verbose=verbose,
            **validation,
        )

    trainer.stop_training = False
    if done:
        fit(epoch, epoch + 1, done)
        epoch += 1
    if epoch < epochs and not trainer.stop_training:
        fit(epoch, epochs, 0)
    elif not done:
        together.on_train_begin()  # nothing is left to train: early stopping still gives its best weights
    together.end()


def _load(files: CheckpointFiles, checkpoints: Checkpoints, trainer: Trainer, order: Order, changed: bool) -> None:
    """Puts the newest checkpoint in place; without one, the run was stopped before its first step and starts anew."""
    checkpoint = files.newest()
    if checkpoint is None:
        return
    if checkpoint.state["fingerprint"] != checkpoints.facts["fingerprint"]:
        if not changed:
            raise DlkitError(
                f"{files.folder} was made with other training data. Resume with the same data, start anew with "
                "`overwrite`, or allow it by `allow_changes`: then the interrupted epoch begins again."
            )
        checkpoint.state["step"] = len(checkpoint.state["history"].get("loss", [])) * order.steps
    checkpoints.load(checkpoint, trainer)


def _give_back(trainer: Trainer, network: keras.Model) -> None:
    """The trained weights to the network of the task, where a strategy had copies of its own."""
    if trainer.replicas > 1:
        for own, trained in zip(network.variables, trainer.variables, strict=True):
            own.assign(trained.value.numpy())


@contextlib.contextmanager
def _naming_lost_workers(place: Place) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        if place.workers == 1 or not type(error).__name__.startswith(LOST):
            raise
        raise DlkitError(
            f"worker {place.worker} of {place.workers} has lost another one, and cannot go on alone: "
            f"{str(error.message).splitlines()[0]} Start all of them again with `resume`."
        ) from error


def _agree(place: Place, store: Store) -> None:
    """Waits for all workers, and refuses if they do not see the same rows."""
    if place.workers == 1:
        return
    own = tf.constant([int(store.fingerprint()[:15], 16)], tf.int64)
    seen = place.strategy.gather(own, axis=0).numpy()
    if len(set(seen)) > 1:
        others = [number for number, mark in enumerate(seen) if mark != seen[0]]
        raise DataError(
            f"the workers read different training data: {', '.join(map(str, others))} not what worker 0 reads. All must "
            "see the same files."
        )


def start(task: Task, train: Table) -> None:
    """Builds a task's stages from its training rows.

    Raises:
        DlkitError: the knobs and the rows do not make a network.
    """
    with precision(task.precision):
        try:
            task.stages_ = task.build(train)
        except DlkitError:
            raise
        except (ValueError, OSError) as error:  # how builders, tokenizers and Keras refuse their parameters
            raise DlkitError(f"the network cannot be built: {error}") from error
    task.samples_ = _requests(task, train, SAMPLES)


def _requests(task: Task, table: Table, count: int) -> list[dict[str, Any]]:
    """The inputs of the first rows that can be preprocessed, in the form of a REST request."""
    found: list[dict[str, Any]] = []
    for index in range(len(table)):
        if len(found) == count:
            break
        try:
            raw = table.raw(index, task.inputs)
            chain(task.stages_.preprocess)(batch_of([raw], task.inputs))
        except (DataError, tf.errors.InvalidArgumentError):
            continue  # encoding counts and names it
        found.append({name: column.to_request(raw[name]) for name, column in task.inputs.items()})
    return found


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers made inside compute in this Keras dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def encode(task: Task, train: Table, validation: Table | None, *, quiet: bool = False) -> tuple[Store, Store | None]:
    """The encoded rows of both tables. What had to be left out is printed, by name."""
    for table in (train, validation):
        if table is not None:
            task.check(table)
    store = _encode_table(task, train, quiet)
    task.fingerprint_ = {"sha256": store.fingerprint(), "rows": store.rows, "source": train.source}
    return store, None if validation is None else _encode_table(task, validation, quiet)


def _encode_table(task: Task, table: Table, quiet: bool) -> Store:
    store, skipped = encode_table(task, table)
    if skipped and not quiet:
        more = f"\n  and {len(skipped) - 10} more" if len(skipped) > 10 else ""
        listed = "\n  ".join(skipped[:10])
        print(f"{table.source}: {len(skipped)} of {len(table)} rows left out:\n  {listed}{more}", file=sys.stderr)
    return store


def compile_network(
    task: Task, steps: int, strategy: tf.distribute.Strategy | None = None, *, jit_compile: bool = False
) -> tuple[Trainer, list[keras.layers.Layer]]:
    """The compiled model that trains the network's weights, and the layers that are frozen in it.

    The network of the task itself stays uncompiled, and outside of any strategy: it is what answers and is saved.
    Several replicas train copies of its weights.

    Args:
        steps: of an epoch.
        strategy: what to train under; None for one device.
        jit_compile: whether XLA compiles the step; on CPUs it then had 0.4 to 0.6 of the speed. A TPU always does.
    """
    network = task.stages_.network
    several = strategy is not None and strategy.num_replicas_in_sync > 1
    with strategy.scope() if strategy and several else contextlib.nullcontext():
        trained = type(network).from_config(network.get_config()) if several else network
        for copy, own in zip(trained.variables, network.variables, strict=True):
            if several:
                copy.assign(own.numpy())
        trainer = Trainer(trained.input, trained.output, name=network.name, rows=task.batch_size)
        optimizer = make_optimizer(task, trainer, steps * task.epochs)
        frozen = freeze(trainer, task.frozen())
        trainer.compile(optimizer, loss=task.loss(), metrics=task.metrics(), jit_compile=jit_compile)
    return trainer, frozen


def batches(task: Task, store: Store, order: Order, first_step: int = 0) -> tf.data.Dataset:
    """The training batches of a task: encoded, in order, augmented, weighted."""
    weigh = task.weigher(store)

    def finish(row: Any, step: tf.Tensor) -> tuple:
        tensors, target = row
        weights = weigh(target)
        if not order.fixed_size:
            tensors = task.trim(tensors)
        tensors, target = task.augment(tensors, target, step)
        return (tensors, target) if weights is None else (tensors, target, weights)

    return training_batches(store, order, epochs=task.epochs, first_step=first_step, finish=finish)


def _stopping(task: Task, known: dict[str, float]) -> keras.callbacks.EarlyStopping:
    if task.monitor not in known:
        raise KnobError(f"`monitor` names no metric: {task.monitor!r}. {nearest(task.monitor, known)}")
    return keras.callbacks.EarlyStopping(
        f"val_{task.monitor}",
        mode="min" if task.monitor.endswith("loss") else "max",
        patience=task.patience or task.epochs,  # without patience it only keeps the best
        restore_best_weights=True,
    )


def _tensorboard(folder: str) -> keras.callbacks.Callback:
    if importlib.util.find_spec("tensorboard") is None:
        raise DlkitError('`tensorboard` needs the package of that name: pip install "dlkit[tensorboard]".')
    return keras.callbacks.TensorBoard(folder)


def _parts(task: Task, train: Table, validation: Table | None, replicas: int) -> tuple[Table, Table | None]:
    """The rows to train on and the rows to validate on, if any."""
    if replicas > 1 and task.batch_size < 2 * replicas:
        raise KnobError(
            f"`batch_size` must be at least {2 * replicas}, two rows for each of the {replicas} replicas. Received: "
            f"{task.batch_size}."
        )
    rows, held = len(train), ""
    if validation is None and task.validation_split and rows > 1:
        train, validation = split(train, task.validation_split, task.seed, by=next(iter(task.target)))
        held = f", {len(validation)} of them held out by `validation_split`"
    if len(train) < task.batch_size:
        raise DataError(
            f"{train.source} has {rows} rows{held}: fewer than one batch of {task.batch_size}. Give more rows or a "
            "smaller `batch_size`."
        )
    if validation is not None and len(validation) < replicas:
        raise DataError(
            f"{validation.source}: {len(validation)} rows to validate on are fewer than the {replicas} replicas. Give "
            "more, or train on fewer devices."
        )
    return train, validation


def _check(task: Task, run: Run) -> dict[str, Any]:
    """Refuses a run that would do harm. Returns the knobs that a resumed run changes, with their values of before."""
    if run.keep < 1:
        raise KnobError(f"`keep` must be at least 1 checkpoint. Received: {run.keep}.")
    if run.save is None:
        for name in ("resume", "checkpoint_every", "nan_retries"):
            if getattr(run, name):
                raise DlkitError(f"`{name}` needs `save`: the folder where the run keeps its checkpoints.")
        return {}
    if not run.resume:
        if run.place.is_chief and not run.overwrite and model_folder.holds_model(run.save):
            raise DlkitError(
                f"{run.save} holds a saved model already. Go on with it by `resume`, replace it by `overwrite`, or "
                "save elsewhere."
            )
        return {}
    started = type(task)(**model_folder.knobs_of_run(run.save, task.task_name())).knobs
    changes = {name: started[name] for name, value in task.knobs.items() if name not in FREE and value != started[name]}
    if changes and not run.changed:
        listed = ", ".join(f"{name}={value!r}, not {task.knobs[name]!r}" for name, value in changes.items())
        raise DlkitError(
            f"the run in {run.save} was started with {listed}. Resume with the same knobs, allow the change by "
            "`allow_changes`, or start anew with `overwrite`."
        )
    return changes


def _describe_nan(task: Task, train: Table, store: Store, order: Order, step: int, saved: bool) -> str:
    schedule = make_schedule(task, order.steps * task.epochs)
    rate = float(schedule(step)) if callable(schedule) else schedule
    epoch, batch = divmod(step, order.steps)
    rows = order.rows(tf.constant(step, tf.int64)).numpy()
    places = ", ".join(train.where(int(store.origins[row])) for row in rows[:3])
    cure = f"Lower `learning_rate` ({task.learning_rate:g}), set `clip_norm` to 1, or lengthen `warmup`"
    back = ", and go on from the last good checkpoint by `resume` with `allow_changes`." if saved else "."
    return (
        f"the loss of step {step + 1} (epoch {epoch + 1}, batch {batch + 1} of {order.steps}) is not a finite number, at a "
        f"learning rate of {rate:.3g}. Its {len(rows)} rows begin with {places}. {cure}{back}"
    )
