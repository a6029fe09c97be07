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
from typing import TYPE_CHECKING, Any, Literal

import keras

from dlkit import model_folder
from dlkit.data.table import Table
from dlkit.errors import DlkitError, HparamError
from dlkit.hparams import nearest
from dlkit.lazy import tf
from dlkit.log import logger
from dlkit.options import option
from dlkit.padding import trim
from dlkit.plain import without_folders
from dlkit.training.baseline import compare_with_baseline
from dlkit.training.batches import make_batches, make_order
from dlkit.training.checkpoint_files import Checkpoint, CheckpointFiles
from dlkit.training.checkpoints import (
    FINGERPRINTS,
    Checkpoints,
    NanLossError,
    OtherRunError,
    other_data,
    stopping_on_sigterm,
)
from dlkit.training.compile_network import compile_network, copy_weights_back
from dlkit.training.continue_training import check_model, fixed_hparams, initialize_from, read_init_from
from dlkit.training.distribute import split_over_replicas
from dlkit.training.freeze import make_unfreezing_callback
from dlkit.training.keep_best import KeepBest
from dlkit.training.keras_fit import fit_from_checkpoint
from dlkit.training.optimizer import make_schedule
from dlkit.training.order import Order, make_ordered_batches, steps_per_epoch
from dlkit.training.plan import Plan, make_plan, read_plan
from dlkit.training.prepare import add_remarks, build_task, check_row_count, encode_rows, inspect_data, split_rows
from dlkit.training.refit import SHARE, combine_rows, make_selection, read_selection
from dlkit.training.score_epochs import (
    ScoredEpochs,
    ScoreEpochs,
    choose_scored_epochs,
    is_scored,
    remove_pictures,
)
from dlkit.training.store import Store
from dlkit.training.strategies import Distribution
from dlkit.training.time_budget import Trial, find_steps_within, measure_scoring
from dlkit.training.tracking import LogHyperparameters, track_run
from dlkit.training.trainer import Trainer
from dlkit.training.workers import check_agreement, naming_lost_workers
from dlkit.version import install_hint

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.run_file import RunFile
    from dlkit.training.trainable import Trainable

CACHE = "cache_mb"  # the hyperparameter that affects only memory
CHANGEABLE_ON_RESUME = ("patience", CACHE)  # hyperparameters that may change when a run is resumed


@dataclass
class Run:
    """Arguments of a run besides the hyperparameters; see `Task.fit`."""

    distribution: Distribution
    started_at: float  # when `fit` was called, by `time.perf_counter`
    minutes: float = 0.0
    steps: int = 0
    save: Path | None = None
    resume: bool | Literal["auto"] = False
    overwrite: bool = False
    allow_changes: bool = False
    max_checkpoints: int = 2
    checkpoint_every: int | float = 0
    nan_retries: int = 0
    callbacks: Sequence[keras.callbacks.Callback] = ()
    tensorboard: str | None = None
    verbose: int | str = "auto"
    keep_examples: bool = True
    init_from: Trainable | Path | None = None
    options: RunFile | None = None  # to be written beside the model
    selects_epochs: bool = False  # whether the run only selects the number of epochs for another one; see `refit.py`


def parse_interval(given: int | str) -> int | float:
    """Parse the interval between two checkpoints, such as "200" or "10m": steps (int) or seconds (float).

    Raises:
        HparamError: it is neither.
    """
    text = str(given)
    minutes = re.fullmatch(r"(\d+(?:\.\d+)?)m(?:in)?", text)
    if minutes and float(minutes[1]):
        return float(minutes[1]) * 60.0
    if text.isdecimal():
        return int(text)
    raise HparamError(
        f'{option("checkpoint_every")} must be a number of steps such as 200, or minutes such as "10m". Received: '
        f"{given!r}."
    )


def fit(task: Trainable, train: Rows, validation: Rows | None, run: Run) -> dict[str, list[float]]:
    """Train a task on a table and leave it fitted.

    Returns:
        The history: metric name to one value per epoch.
    """
    every = combine_rows(train, validation) if task.refit else train
    train, validation = split_rows(task, train, validation, run.distribution.strategy.num_replicas_in_sync)
    report = inspect_data(train, validation)
    if run.verbose and run.distribution.is_chief:
        report.show()
    report.raise_errors()
    task.report_ = without_folders(report.as_dict(), report.source)
    if not task.refit or validation is None:
        return _fit_with_retries(task, train, validation, run)
    final = every.to_train()
    left_out = [remark for remark in final.table.remarks if remark not in (*every.table.remarks, *train.table.remarks)]
    add_remarks(task, final.table.source, left_out, quiet=not (run.distribution.is_chief and run.verbose))
    fresh = dict(vars(task))
    task.selection_ = read_selection(run.save) if _resolve_resume(run).resume else {}
    if task.selection_:
        try:
            return _fit_with_retries(task, final, None, dataclasses.replace(run, overwrite=False))
        except OtherRunError:
            if not (run.resume == "auto" and run.overwrite):
                raise
            _restore_state(task, fresh)
            run = dataclasses.replace(run, resume=False)
    _fit_with_retries(task, train, validation, dataclasses.replace(run, selects_epochs=True))
    selection = make_selection(task)
    _restore_state(task, fresh)
    task.selection_ = selection
    return _fit_with_retries(task, final, None, dataclasses.replace(run, resume=False))


def _restore_state(task: Trainable, fresh: dict[str, Any]) -> None:
    """Put a task back to what it was before a run that is replaced."""
    vars(task).clear()
    vars(task).update(fresh)


def _fit_with_retries(task: Trainable, train: Rows, validation: Rows | None, run: Run) -> dict[str, list[float]]:
    """Train a task on these rows, again where the loss was not finite."""
    last_bad = -1  # the step of the last NaN loss
    auto, fresh = run.resume == "auto", dict(vars(task))
    while True:
        try:
            changes = _find_changes(task, run)
            with naming_lost_workers(run.distribution):
                return _train(task, train, validation, _resolve_resume(run), changes)
        except OtherRunError:
            if not (auto and run.overwrite):
                raise
            _restore_state(task, fresh)
            run = dataclasses.replace(run, resume=False)
        except NanLossError as error:
            if not run.nan_retries:
                raise
            files = _checkpoint_files(run)
            if error.step == last_bad and run.distribution.is_chief and files:
                files.drop_newest()  # what it holds was lost already
            last_bad = error.step
            task.learning_rate /= 2
            if run.distribution.is_chief:
                rate = option("learning_rate", float(f"{task.learning_rate:g}"))
                logger.warning(f"{error}\nRetrying from the last good checkpoint, with {rate}.")
            run = dataclasses.replace(
                run, resume=True, overwrite=False, allow_changes=True, nan_retries=run.nan_retries - 1
            )


def _keeps_initial_model(task: Trainable, folder: Path, changes: dict[str, Any]) -> bool:
    """Return whether a run that is resumed with changes was initialized from a model, which it then keeps.

    Raises:
        OtherRunError: the changes would make another network of it.
    """
    model = read_init_from(folder)
    wrong = fixed_hparams(task) & changes.keys() if model else set()
    if wrong:
        raise OtherRunError(
            f"the run in {folder} was initialized from {model['model']}: {', '.join(sorted(wrong))} would change "
            f"its network. Resume with the same values, or start over with {option('overwrite', True)}."
        )
    return bool(model)


def _resolve_resume(run: Run) -> Run:
    """Resolve `resume="auto"`: resume if the folder holds a run, else start."""
    if run.resume == "auto" and run.save:
        return dataclasses.replace(run, resume=model_folder.holds_model(run.save))
    return run


def _train(
    task: Trainable, train: Rows, validation: Rows | None, run: Run, changes: dict[str, Any]
) -> dict[str, list[float]]:
    distribution, chief = run.distribution, run.distribution.is_chief
    keras.utils.set_random_seed(task.seed)
    remarks: Sequence[str] = ()
    restored = bool(run.resume and run.save and (not changes or _keeps_initial_model(task, run.save, changes)))
    if restored and run.save:
        model_folder.restore_run(task, run.save)
    elif run.init_from is not None:
        remarks = initialize_from(task, train, run.init_from, keep_examples=run.keep_examples)
    else:
        build_task(task, train, keep_examples=run.keep_examples)
    previous = task.fingerprint_
    quiet = not (chief and run.verbose)
    add_remarks(task, train.table.source, remarks, quiet=quiet)
    store, held_out = encode_rows(task, train, validation, quiet=quiet)
    check_row_count(task, store, train.table.source, distribution.strategy.num_replicas_in_sync, quiet=quiet)
    if not restored:
        train.before_training(store)
    files = _checkpoint_files(run)
    checkpoint = files.newest() if files and run.resume else None  # without one, the run was stopped before it
    done = not changes and _is_done(task, run)
    check_agreement(distribution, _worker_settings(task, run, checkpoint, done))
    if done and _has_same_data(previous, task.fingerprint_, run):
        if not quiet:
            logger.info(f"the run in {run.save} is finished: nothing is left to train")
        return task.history_
    if run.resume and not checkpoint and run.save and not model_folder.has_run(run.save):
        raise DlkitError(
            f"the finished run in {run.save} has no checkpoint to resume from. Start over with "
            f"{option('overwrite', True)}, or save elsewhere."
        )
    order = make_order(task, store, distribution.strategy)
    trimming = {} if order.fixed_size else {"trim": lambda tensors: trim(tensors, task.padding)}
    validation_batches = split_over_replicas(
        make_ordered_batches(held_out or store, task.batch_size, **trimming), distribution.strategy
    )
    shows = bool(run.verbose and chief)
    scored = choose_scored_epochs(task, store.rows, held_out.rows if held_out else 0, shows)
    previous_plan = read_plan(run.save) if run.resume and run.save else {}
    plan = make_plan(
        task,
        order.steps,
        run.minutes,
        run.steps,
        previous_plan,
        lambda: find_steps_within(
            task,
            _make_trial(task, run, store, order, validation, held_out, validation_batches, scored),
            run.minutes,
            run.started_at,
            distribution,
            share=SHARE if run.selects_epochs else 1.0,
        ),
    )
    task.plan_ = plan.as_dict()
    if not quiet and plan.as_text():
        logger.info(plan.as_text())
    if run.options and plan.decided_by in ("minutes", "steps"):
        run.options.decided(plan.steps, plan.minutes)
    trainer, frozen = compile_network(task, plan.steps, distribution)
    # What can be refused is refused before anything is written.
    training = make_batches(task, store, order, plan.steps)
    if held_out or run.resume:  # makes the metrics: they have names, and a state to be put back
        first_metrics = trainer.evaluate(validation_batches, steps=1, return_dict=True, verbose=0)
    stopping = _make_early_stopping(task, plan, first_metrics) if held_out else None
    checkpoints = Checkpoints(
        files,
        order.steps,
        run.checkpoint_every,
        stopping,
        {
            "fingerprint": task.fingerprint_["sha256"],
            "validation": task.fingerprint_["validation"],
            "steps": order.steps,
            "hparams": task.hparams,
        },
        last=plan.steps,
        chief=chief,
        describe=lambda step: _describe_nan(task, train.table, store, order, step, bool(files)),
        sparse=[f"val_{name}" for name in task.shown_metrics] if scored and scored.monitored else [],
    )
    callbacks = [
        *([make_unfreezing_callback(frozen, task.unfreeze_every)] if frozen and task.unfreeze_every else []),
        *(
            [
                ScoreEpochs(
                    task,
                    validation,
                    held_out,
                    scored,
                    lambda: _return_weights(task, trainer),
                    plan.epochs,
                    distribution=distribution,
                    shows=shows,
                    folder=run.save,
                )
            ]
            if scored and validation is not None and held_out
            else []
        ),
        *([stopping] if stopping else []),
        *([_make_tensorboard(run.tensorboard)] if run.tensorboard and chief else []),
        *run.callbacks,
        *([LogHyperparameters(task)] if chief else []),
        checkpoints,  # last: it saves what the others have decided
    ]
    if checkpoint:
        checkpoints.load(checkpoint, trainer, allow_changes=run.allow_changes)
    verbose = (1 if sys.stdout.isatty() else 2) if run.verbose == "auto" else run.verbose
    with (
        track_run(task, run.callbacks) if chief else contextlib.nullcontext(),
        stopping_on_sigterm(checkpoints) if files else contextlib.nullcontext(),
    ):
        if chief and files and run.save and (changes or not run.resume):
            if not run.resume:
                files.clear()
                remove_pictures(run.save)
            model_folder.write_model(task, run.save, finished=False)
            if (
                run.options and not (run.save / model_folder.INDEX_FILE).is_file()
            ):  # the options of a model stay beside it
                run.options.write(run.save)
        fit_from_checkpoint(
            trainer,
            lambda step: split_over_replicas(training(step), distribution.strategy),
            checkpoints,
            callbacks,
            steps=order.steps,
            last_step=plan.steps,
            batch_size=task.batch_size,
            validation_split=task.validation_split,
            verbose=verbose if chief else 0,
            validation_data=validation_batches if held_out else None,
            validation_steps=steps_per_epoch(held_out.rows, task.batch_size) if held_out else None,
        )
    trainer.keep_averages()
    _return_weights(task, trainer)
    task.history_ = checkpoints.history
    last = len(task.history_.get("loss", ())) - 1
    task.best_epoch_ = {"epoch": (stopping.best_epoch if stopping and stopping.best_weights else last) + 1}
    if validation is not None and held_out:
        task.calibration_ = validation.calibrate(held_out)
    else:
        task.calibration_ = task.selection_.get("calibration", {})
    if validation is not None and held_out and chief:
        compare_with_baseline(task, validation, held_out, quiet=not run.verbose)
    if run.save and chief and not run.selects_epochs:
        model_folder.write_model(task, run.save)
        if run.options:
            run.options.write(run.save)
    return task.history_


def _make_trial(
    task: Trainable,
    run: Run,
    store: Store,
    order: Order,
    validation: Rows | None,
    held_out: Store | None,
    validation_batches: Any,
    scored: ScoredEpochs | None,
) -> Trial:
    """What the run would do, to be timed."""
    training, chief = make_batches(task, store, order), run.distribution.is_chief
    return Trial(
        lambda step: split_over_replicas(training(step), run.distribution.strategy),
        order.steps,
        validation_batches,
        steps_per_epoch(held_out.rows, task.batch_size) if held_out else 0,
        *measure_scoring(task, validation if chief else None, held_out, scored),
        scored=scored,
        saves=bool(run.save),
    )


def _return_weights(task: Trainable, trainer: Trainer) -> None:
    """Copy the trained weights to all stages that have others."""
    copy_weights_back(trainer, task.stages_.network)
    task.stages_.sync_decode_weights()


def _worker_settings(task: Trainable, run: Run, checkpoint: Checkpoint | None, done: bool) -> dict[str, Any]:
    """Return the settings that must be equal in all workers, by name."""
    begins = "is done" if done else f"after step {checkpoint.state['step']}" if checkpoint else "at the start"
    return {
        **{name: value for name, value in task.hparams.items() if name != CACHE},
        "training data": task.fingerprint_["sha256"][:12],
        "validation data": (task.fingerprint_["validation"] or "none")[:12],
        "the run begins": begins,
        "the model that it is initialized from": task.init_from_,
        "save": bool(run.save),
        **{
            name: getattr(run, name)
            for name in ("checkpoint_every", "nan_retries", "allow_changes", "minutes", "steps")
        },
    }


def _is_done(task: Trainable, run: Run) -> bool:
    """Return whether the run to resume is finished and had the same hyperparameters."""
    if not run.resume or not run.save or model_folder.has_run(run.save):
        return False
    started = _hparams_at_start(task, run.save)
    return all(value == started[name] for name, value in task.hparams.items() if name != CACHE)


def _hparams_at_start(task: Trainable, folder: Path) -> dict[str, Any]:
    """Return the hyperparameters that the run in a folder was started with, in a task's types."""
    return type(task)(**model_folder.hparams_of_run(folder, task.task_name())).hparams


def _has_same_data(previous: dict[str, Any], current: dict[str, Any], run: Run) -> bool:
    """Return whether a finished run had the same data. Raise OtherRunError if it must have."""
    kinds = [kind for kind, name in FINGERPRINTS.items() if name in previous and previous[name] != current[name]]
    if kinds and not run.allow_changes:
        raise other_data(kinds)
    return not kinds


def _checkpoint_files(run: Run) -> CheckpointFiles | None:
    return CheckpointFiles(run.save / "checkpoints", run.max_checkpoints) if run.save else None


def _make_early_stopping(task: Trainable, plan: Plan, metrics: dict[str, float]) -> KeepBest:
    known = [*metrics, *([task.primary_metric] if task.primary_metric in task.shown_metrics else [])]
    if task.monitor not in metrics and not is_scored(task):
        raise HparamError(f"{option('monitor')} is not a metric: {task.monitor!r}. {nearest(task.monitor, known)}")
    return KeepBest(task.monitor, plan.patience or plan.epochs)  # without patience it only keeps the best


def _make_tensorboard(folder: str) -> keras.callbacks.Callback:
    if importlib.util.find_spec("tensorboard") is None:
        raise DlkitError(f"{option('tensorboard')} needs the package tensorboard: {install_hint('tensorboard')}.")
    return keras.callbacks.TensorBoard(folder)


def check_run(task: Trainable, run: Run) -> None:
    """Raise DlkitError for invalid arguments of a run, as far as they can be checked without the data."""
    if run.nan_retries < 0:
        raise HparamError(f"{option('nan_retries')} must be at least 0. Received: {run.nan_retries}.")
    if task.batch_size < run.distribution.parts:
        raise HparamError(
            f"{option('batch_size')} must be at least {run.distribution.parts}, a row for each of the parts of "
            f"{option('strategy')}. Received: {task.batch_size}. Fewer parts are {option('strategy', 'cores:N')}."
        )
    if run.max_checkpoints < 1:
        raise HparamError(
            f"{option('max_checkpoints')} must be at least 1 checkpoint. Received: {run.max_checkpoints}."
        )
    if run.resume not in (True, False, "auto"):
        raise HparamError(f'{option("resume")} must be True, False or "auto". Received: {run.resume!r}.')
    if run.save is None:
        for name in ("resume", "checkpoint_every", "nan_retries"):
            if getattr(run, name):
                raise DlkitError(f"{option(name)} needs {option('save')}: the folder for the checkpoints of the run.")
    elif not run.resume and run.distribution.is_chief and not run.overwrite:
        model_folder.refuse_to_replace(run.save)
    with contextlib.suppress(OtherRunError) if run.overwrite else contextlib.nullcontext():
        _find_changes(task, run)
    if run.init_from is not None and not _resolve_resume(run).resume:
        check_model(task, run.init_from)


def _find_changes(task: Trainable, run: Run) -> dict[str, Any]:
    """Return the hyperparameters that a resumed run changes, with their previous values. Raise OtherRunError if it must
    not."""
    if not run.save or not _resolve_resume(run).resume:
        return {}
    started = _hparams_at_start(task, run.save)
    changes = {
        name: started[name]
        for name, value in task.hparams.items()
        if name not in CHANGEABLE_ON_RESUME and value != started[name]
    }
    plan, lengths = read_plan(run.save), {"minutes": run.minutes, "steps": run.steps}
    changes |= {name: plan.get(name, 0) for name, value in lengths.items() if value and value != plan.get(name, 0)}
    if changes and not run.allow_changes:
        now = {**lengths, **task.hparams}
        listed = ", ".join(f"{option(name, value)}, not {now[name]!r}" for name, value in changes.items())
        raise OtherRunError(
            f"the run in {run.save} was started with {listed}. Resume with the same hyperparameters, allow the "
            f"change with {option('allow_changes', True)}, or start over with {option('overwrite', True)}."
        )
    return changes


def _describe_nan(task: Trainable, train: Table, store: Store, order: Order, step: int, saved: bool) -> str:
    schedule = make_schedule(task, task.plan_["steps"])
    rate = float(schedule(step)) if callable(schedule) else schedule
    epoch, batch = divmod(step, order.steps)
    rows = order.rows(tf.constant(step, tf.int64)).numpy()
    places = ", ".join(train.where(int(store.source_rows[row])) for row in rows[:3])
    cure = (
        f"Lower {option('learning_rate')} ({task.learning_rate:g}), set {option('clip_norm')} to 1, or increase "
        f"{option('warmup')}"
    )
    back = (
        (
            f", and resume from the last good checkpoint with {option('resume', True)} and "
            f"{option('allow_changes', True)}."
        )
        if saved
        else "."
    )
    return (
        f"the loss of step {step + 1} (epoch {epoch + 1}, batch {batch + 1} of {order.steps}) is not a finite number, "
        f"at a learning rate of {rate:.3g}. Its {len(rows)} rows begin with {places}. {cure}{back}"
    )
