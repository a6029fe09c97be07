"""Fine-tuning of a saved model: its weights, vocabularies and statistics, on other data, with new labels."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from dlkit import model_folder
from dlkit.check_saved import check_stages
from dlkit.errors import DlkitError
from dlkit.examples import readable_inputs, to_requests
from dlkit.options import option
from dlkit.plain import name_of
from dlkit.stages import Stages
from dlkit.training.freeze import list_weighted_layers
from dlkit.training.prepare import use_precision

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.trainable import Trainable

_RUN_ATTRIBUTES = (
    "history_",
    "best_epoch_",
    "plan_",
    "selection_",
    "examples_",
    "fingerprint_",
    "last_evaluation_",
    "report_",
    "header_",
    "init_from_",
)  # of a run


def copy_task(model: Trainable) -> Trainable:
    """Return a copy of a fitted task that shares nothing with it."""
    with tempfile.TemporaryDirectory() as folder:
        model_folder.write_model(model, Path(folder))
        return model_folder.read_model(type(model), Path(folder))


def check_model(task: Trainable, model: Trainable | Path) -> None:
    """Raise DlkitError if a model belongs to another task, or if its hyperparameters define another network."""
    if isinstance(model, Path):
        hparams, name = model_folder.read_index(model, task.task_name())["hparams"], str(model)
    else:
        hparams, name = model.hparams, "the fitted task"
        if type(model) is not type(task):
            raise DlkitError(
                f"{option('init_from')} is a model for the task {model.task_name()!r}, not {task.task_name()!r}."
            )
    known = {key: value for key, value in hparams.items() if key in task.hparams}
    other = type(task)(**known)
    fixed = fixed_hparams(other)
    differing = {key: value for key, value in other.hparams.items() if key in fixed and value != task.hparams[key]}
    if differing:
        listed = ", ".join(f"{key}={value!r}, not {task.hparams[key]!r}" for key, value in differing.items())
        raise DlkitError(
            f"{option('init_from')}: {name} has {listed}, which would change its network. Use the same values; "
            "training options such as the epochs may differ. In Python, start from those of the model: "
            f"{type(task).__name__}(**{{**dlkit.load(MODEL).hparams, 'epochs': 3}})."
        )


def fixed_hparams(task: Trainable) -> Collection[str]:
    """Return the names of the hyperparameters that define the graph or what is learned from the data."""
    shared = {field.name for base in type(task).__mro__[1:-1] for field in dataclasses.fields(base)}
    free = (shared | {*task.training_only}) - {"precision"} - (set() if task.frozen is None else {"freeze"})
    return {name for name in task.hparams if name not in free}


def initialize_from(
    task: Trainable, train: Rows, model: Trainable | Path, *, keep_examples: bool = True
) -> Sequence[str]:
    """Initialize a task from a model, and add the labels of its training rows that the model does not have.

    Args:
        task: a task with the same network; see `check_model`.
        train: the training rows.
        model: a fitted task, which is not changed, or the folder of a saved one.
        keep_examples: whether a few training rows are kept with the task.

    Returns:
        Remarks for the report: the number of known labels, and the new ones.

    Raises:
        DlkitError: the model cannot be trained on these rows; the message says why.
    """
    check_model(task, model)
    name = name_of(model) if isinstance(model, Path) else "a fitted task"
    old = model_folder.read_model(type(task), model) if isinstance(model, Path) else copy_task(model)
    declared, columns = list(task.inputs), list(old.inputs)
    if declared != columns:
        raise DlkitError(
            f"{train.table.source} has the inputs {', '.join(declared)}, the model has {', '.join(columns)}. They "
            "must match."
        )
    vars(task).pop("stages_", None)
    for key, value in vars(old).items():
        if key.endswith("_") and not key.startswith("_") and key not in (*_RUN_ATTRIBUTES, "stages_"):
            setattr(task, key, value)
    if task.header_:
        task.declare(task.header_)
    stages = old.stages_
    if old.freeze and old.frozen is None:  # the layers that its training left as they were
        for layer in list_weighted_layers(stages.network):
            layer.trainable = True
    known = list(getattr(task, "labels_", ()))
    new = train.new_labels(known) if known else []
    if new:
        task.labels_ = [*known, *new]  # type: ignore[attr-defined]
        stages = _with_labels(task, stages, name, len(known))
    for key, value in train.continued_from(old).items():
        setattr(task, key, value)
    task.stages_ = stages
    made = stages.tensor_names()
    task.answer = {key: column for key, column in task.answer.items() if key in made}
    task.init_from_ = {"model": name, "new_labels": list(new)}
    task.examples_ = to_requests(task, readable_inputs(task, train.requests())) if keep_examples else []
    remarks = [f"training is initialized from {name}"]
    if known:
        listed = ", ".join(map(repr, new[:10])) + (f" and {len(new) - 10} more" if len(new) > 10 else "")
        remarks[0] += f", with its {len(known)} labels" + (f" and {len(new)} new ones: {listed}" if new else "")
    return remarks


def _with_labels(task: Trainable, stages: Stages, name: str, before: int) -> Stages:
    """Return the stages of a model extended to `task.labels_`, which begin with the model's own labels."""
    with_labels = getattr(task, "with_labels", None)
    added = task.labels_[before:]  # type: ignore[attr-defined]
    if with_labels is None:
        raise DlkitError(
            f"the task {task.task_name()} does not support new labels. New labels: {', '.join(added[:10])}."
        )
    with use_precision(task.precision):
        made: Stages = with_labels(stages)
    try:
        check_stages(made, task.inputs, task.answer)
        _copy_weights(stages.network, made.network, before, before + len(added))
    except (ValueError, TypeError) as error:
        raise DlkitError(
            f"{name} does not support new labels ({', '.join(added[:10])}): {error}. Train a new model, or "
            "remove these rows."
        ) from error
    made.sync_decode_weights()
    return made


def _copy_weights(old: keras.Model, new: keras.Model, before: int, after: int) -> None:
    """Copy the weights of a network to one with more labels, whose additional rows in the last layer keep their values.

    An axis of a multiple of the labels, as of several anchors, has the labels of each beside one another.

    Raises:
        ValueError: the networks differ in more.
    """
    for source, aim in zip(old.weights, new.weights, strict=True):
        values, made = np.asarray(source.numpy()), np.array(aim.numpy())
        if values.shape == made.shape:
            aim.assign(values)
            continue
        axes = [axis for axis, pair in enumerate(zip(values.shape, made.shape, strict=True)) if pair[0] != pair[1]]
        times, rest = divmod(values.shape[axes[0]], before)
        if len(axes) > 1 or rest or made.shape[axes[0]] != times * after:
            raise ValueError(f"its weight {source.path} of shape {values.shape} would have shape {made.shape}")
        grown = np.moveaxis(made, axes[0], -1).copy()
        parts = grown.reshape(*grown.shape[:-1], times, after)
        parts[..., :before] = np.moveaxis(values, axes[0], -1).reshape(*grown.shape[:-1], times, before)
        aim.assign(np.moveaxis(parts.reshape(grown.shape), -1, axes[0]))


def read_init_from(folder: Path) -> Mapping[str, Any]:
    """Return the model that the run in a folder was initialized from, and its new labels; empty for none."""
    return model_folder.read_index(folder, name=model_folder.run_index_file(folder))["fitted"].get("init_from_", {})
