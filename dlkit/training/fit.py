"""One training run: build, encode, then Keras's own `fit`, under any strategy."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from dlkit import model_folder
from dlkit.data.table import Table
from dlkit.errors import DlkitError, KnobError
from dlkit.knobs import nearest
from dlkit.lazy import tf
from dlkit.padding import trim
from dlkit.plain import without_folders
from dlkit.training.baseline import compare_with_baseline
from dlkit.training.batches import batches_of, order_of
from dlkit.training.checkpoint_files import CheckpointFiles
from dlkit.training.checkpoints import Checkpoints, NanLossError, stopping_on_sigterm
from dlkit.training.compile_network import compile_network, give_back
from dlkit.training.distribute import split_over_replicas
from dlkit.training.freeze import gradual_unfreezing
from dlkit.training.keep_best import KeepBest
from dlkit.training.keras_fit import fit_from_checkpoint
from dlkit.training.optimizer import make_schedule
from dlkit.training.order import Order, ordered_batches, steps_per_epoch
from dlkit.training.prepare import check_batch, encode, look, parts, start
from dlkit.training.show_score import ShowScore
from dlkit.training.store import Store
from dlkit.training.strategies import Place
from dlkit.training.workers import agree, naming_lost_workers

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.trainable import Trainable

FREE = ("patience", "cache_mb")  # knobs that may be others when a run is resumed


@dataclass
class Run:
    """What a run is asked for beside the knobs; see `Task.fit`."""

    place: Place
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
    keep_examples: bool = True


def interval(given: int | str) -> int | float:
    """Steps (int) or seconds (float) between two checkpoints, from "200" or "10m".

    Raises:
        KnobError: it is neither.
    """
    text = str(given)
    minutes = re.fullmatch(r"(\d+(?:\.\d+)?)m(?:in)?", text)
    if minutes and float(minutes[1]):
        return float(minutes[1]) * 60.0
    if text.isdecimal():
        return int(text)
    raise KnobError(f'`checkpoint_every` must be steps, as 200, or minutes, as "10m". Received: {given!r}.')


def fit(task: Trainable, train: Rows, validation: Rows | None, run: Run) -> dict[str, list[float]]:
    """Trains a task on a table and leaves it fitted.

    Returns:
        The history: metric name to one value per epoch.
    """
    train, validation = parts(task, train, validation, run.place.strategy.num_replicas_in_sync)
    report = look(train, validation)
    if run.verbose and run.place.is_chief:
        report.show()
    report.refuse_if_needed()
    task.report_ = without_folders(report.as_dict(), report.source)
    bad = -1  # the step of the last NaN loss
    while True:
        changes = _check(task, run)
        try:
            with naming_lost_workers(run.place):
                return _run(task, train, validation, run, changes)
        except NanLossError as error:
            if not run.nan_retries:
                raise
            files = _files(run)
            if error.step == bad and run.place.is_chief and files:
                files.drop_newest()  # what it holds was lost already
            bad = error.step
            task.learning_rate /= 2
            if run.place.is_chief:
                print(f"{error}\nGoing back there, with learning_rate={task.learning_rate:g}.", file=sys.stderr)
            run = dataclasses.replace(run, resume=True, overwrite=False, changed=True, nan_retries=run.nan_retries - 1)


def _run(
    task: Trainable, train: Rows, validation: Rows | None, run: Run, changes: dict[str, Any]
) -> dict[str, list[float]]:
    place, chief = run.place, run.place.is_chief
    keras.utils.set_random_seed(task.seed)
    if run.resume and run.save and not changes:
        model_folder.restore(task, run.save)
    else:
        start(task, train, keep_examples=run.keep_examples)
    quiet = not (chief and run.verbose)
    store, held_out = encode(task, train, validation, quiet=quiet)
    check_batch(task, store, train.table.source, place.strategy.num_replicas_in_sync, quiet=quiet)
    agree(place, store)
    order = order_of(task, store, place.strategy)
    trainer, frozen = compile_network(task, order.steps, place.strategy)
    # What can be refused is refused before anything is written.
    training = batches_of(task, store, order)
    cut = {} if order.fixed_size else {"trim": lambda tensors: trim(tensors, task.padding)}
    watched = split_over_replicas(ordered_batches(held_out or store, task.batch_size, **cut), place.strategy)
    if held_out or run.resume:  # makes the metrics: they have names, and a state to be put back
        known = trainer.evaluate(watched, steps=1, return_dict=True, verbose=0)
    stopping = _stopping(task, known) if held_out else None
    files = _files(run)
    checkpoints = Checkpoints(
        files,
        order.steps,
        run.checkpoint_every,
        stopping,
        {"fingerprint": task.fingerprint_["sha256"], "steps": order.steps, "knobs": task.knobs},
        chief=chief,
        describe=lambda step: _describe_nan(task, train.table, store, order, step, bool(files)),
    )
    callbacks = [
        *([gradual_unfreezing(frozen, task.unfreeze_every)] if frozen and task.unfreeze_every else []),
        *([stopping] if stopping else []),
        *([_tensorboard(run.tensorboard)] if run.tensorboard and chief else []),
        *(
            [ShowScore(task, validation, held_out, lambda: give_back(trainer, task.stages_.network))]
            if run.verbose and chief and task.looks and validation is not None and held_out
            else []
        ),
        *run.callbacks,
        checkpoints,  # last: it saves what the others have decided
    ]
    checkpoint = files.newest() if files and run.resume else None  # without one, the run was stopped before it
    if checkpoint:
        checkpoints.load(checkpoint, trainer, changed=run.changed)
    if chief and files and run.save and (changes or not run.resume):
        if not run.resume:
            files.clear()
        model_folder.write(task, run.save, finished=False)
    verbose = (1 if sys.stdout.isatty() else 2) if run.verbose == "auto" else run.verbose
    with stopping_on_sigterm(checkpoints) if files else contextlib.nullcontext():
        fit_from_checkpoint(
            trainer,
            lambda step: split_over_replicas(training(step), place.strategy),
            checkpoints,
            callbacks,
            steps=order.steps,
            epochs=task.epochs,
            verbose=verbose if chief else 0,
            validation_data=watched if held_out else None,
            validation_steps=steps_per_epoch(held_out.rows, task.batch_size) if held_out else None,
        )
    give_back(trainer, task.stages_.network)
    task.stages_.teach_decode()
    task.history_ = checkpoints.history
    last = len(task.history_.get("loss", ())) - 1
    task.kept_ = {"epoch": (stopping.best_epoch if stopping and stopping.best_weights else last) + 1}
    if validation is not None and held_out and chief:
        compare_with_baseline(task, validation, held_out, quiet=not run.verbose)
    return task.history_


def _files(run: Run) -> CheckpointFiles | None:
    return CheckpointFiles(run.save / "checkpoints", run.keep) if run.save else None


def _stopping(task: Trainable, known: dict[str, float]) -> KeepBest:
    if task.monitor not in known:
        raise KnobError(f"`monitor` names no metric: {task.monitor!r}. {nearest(task.monitor, known)}")
    return KeepBest(task.monitor, task.patience or task.epochs)  # without patience it only keeps the best


def _tensorboard(folder: str) -> keras.callbacks.Callback:
    if importlib.util.find_spec("tensorboard") is None:
        raise DlkitError('`tensorboard` needs the package of that name: pip install "dlkit[tensorboard]".')
    return keras.callbacks.TensorBoard(folder)


def _check(task: Trainable, run: Run) -> dict[str, Any]:
    """Refuses a run that would do harm. Returns the knobs that a resumed run changes, with their values of before."""
    if run.nan_retries < 0:
        raise KnobError(f"`nan_retries` must be at least 0. Received: {run.nan_retries}.")
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


def _describe_nan(task: Trainable, train: Table, store: Store, order: Order, step: int, saved: bool) -> str:
    schedule = make_schedule(task, order.steps * task.epochs)
    rate = float(schedule(step)) if callable(schedule) else schedule
    epoch, batch = divmod(step, order.steps)
    rows = order.rows(tf.constant(step, tf.int64)).numpy()
    places = ", ".join(train.where(int(store.origins[row])) for row in rows[:3])
    cure = f"Lower `learning_rate` ({task.learning_rate:g}), set `clip_norm` to 1, or lengthen `warmup`"
    back = ", and go on from the last good checkpoint by `resume` with `allow_changes`." if saved else "."
    return (
        f"the loss of step {step + 1} (epoch {epoch + 1}, batch {batch + 1} of {order.steps}) is not a finite number, "
        f"at a learning rate of {rate:.3g}. Its {len(rows)} rows begin with {places}. {cure}{back}"
    )
