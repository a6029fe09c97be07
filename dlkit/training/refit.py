"""Training on all rows in the end: a run on a part of them chooses the number of passes, another one makes them.

Both runs use the same folder, one after the other. `selection_` tells which one an index belongs to: the second one has
it from its start. A run that is killed in either goes on in the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit import model_folder
from dlkit.best_epoch import best_epoch_index
from dlkit.data.multiple_sources import concatenate
from dlkit.errors import HparamError
from dlkit.options import option

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.trainable import Trainable

SHARE = 0.47  # of the minutes, for the first run; the second has a ninth more rows and no validation


def combine_rows(train: Rows, validation: Rows | None) -> Rows:
    """Return all rows of a run, of which `Rows.to_train` are those to train on in the end.

    Args:
        train: the training rows, of which validation rows may yet be held out.
        validation: separate validation rows.

    Raises:
        HparamError: the rows of this task cannot be put together.
        DataError: the validation rows have other columns.
    """
    if validation is None:
        return train
    if not train.by_record:
        raise HparamError(
            f"{option('refit', True)} needs validation rows that are held out of the training data for this task: "
            f"leave out {option('validation')}."
        )
    return train.with_table(concatenate(train.table.source, [train.table, validation.table]))


def make_selection(task: Trainable) -> dict[str, Any]:
    """Return what the run of a task has chosen: passes over the data, its plan, its history and best epoch."""
    plan = task.plan_
    epoch = best_epoch_index(task) + 1
    steps = min(epoch * plan["steps_per_epoch"], plan["steps"])
    return {
        "passes": steps / plan["steps_per_epoch"],
        "plan": plan,
        "history": task.history_,
        "best_epoch": task.best_epoch_,
        "calibration": task.calibration_,
    }


def read_selection(folder: Path | None) -> dict[str, Any]:
    """Return the selection of the run in a folder; empty if it is the run that chooses, or none."""
    if folder is None or not model_folder.holds_model(folder):
        return {}
    index = model_folder.read_index(folder, name=model_folder.run_index_file(folder))
    selection: dict[str, Any] = index["fitted"].get("selection_", {})
    return selection
