"""The length of a run: determined once, when it starts, and kept when it is resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit import model_folder
from dlkit.hparams import preset_kind
from dlkit.options import option

if TYPE_CHECKING:
    from dlkit.training.trainable import Trainable


@dataclass(frozen=True)
class Plan:
    """How long a run trains.

    Attributes:
        steps: of the whole run, which its learning rate schedule spans.
        steps_per_epoch: of a pass over the training data; the last epoch may have fewer.
        patience: epochs without a better one after which the run stops; 0 for none.
        decided_by: what decided: "epochs", "data" (`epochs=0`), "steps", "minutes", or "refit", the best epoch of
            the run that chose.
        minutes: the budget that was given; 0 for none.
    """

    steps: int
    steps_per_epoch: int
    patience: int = 0
    decided_by: str = "epochs"
    minutes: float = 0.0

    @property
    def epochs(self) -> int:
        """The number of epochs, of which the last may be a part of a pass."""
        return -(-self.steps // self.steps_per_epoch)

    def as_dict(self) -> dict[str, Any]:
        """The plan as the model keeps it, `plan_`."""
        return {**dataclasses.asdict(self), "epochs": self.epochs}

    def as_text(self) -> str:
        """What a person should know of it; "" where the hyperparameters say it already."""
        if self.decided_by == "epochs":
            return ""
        passes = f"{self.steps / self.steps_per_epoch:.3g} passes over the data"
        stop = f", early stopping after {self.patience} epochs without improvement" if self.patience else ""
        if self.decided_by == "data":
            return f"training for {self.epochs} epochs, selected by data size: {self.steps:,} steps{stop}"
        if self.decided_by == "refit":
            return f"training again, on all rows, for {self.steps:,} steps: {passes}, as many as the best epoch had"
        if self.decided_by == "steps":
            return f"training for {self.steps:,} steps, {passes}{stop}"
        return (
            f"training for {self.steps:,} steps in {self.minutes:g} minutes, {passes}{stop}; "
            f"{option('steps', self.steps)} repeats them"
        )


def make_plan(
    task: Trainable,
    steps_per_epoch: int,
    minutes: float,
    steps: int,
    previous: Mapping[str, Any],
    measure_steps: Callable[[], int],
) -> Plan:
    """Decide how long a run trains.

    Args:
        task: the task, for its hyperparameters `epochs` and `patience`.
        steps_per_epoch: of a pass over the training data.
        minutes: the budget; 0 for none.
        steps: the steps of the run; 0 where they are not given.
        previous: the plan of the run that is resumed, kept unless another length is given; empty for a new run.
        measure_steps: measures the number of steps that fit into the minutes.

    Returns:
        The plan.
    """
    if task.selection_:
        steps = max(round(task.selection_["passes"] * steps_per_epoch), 1)
        return Plan(steps, steps_per_epoch, 0, "refit")
    patience = max(task.patience, 0)
    if task.epochs:
        return Plan(task.epochs * steps_per_epoch, steps_per_epoch, patience)
    by = previous.get("decided_by", "epochs")
    if by in ("minutes", "steps") and minutes in (0, previous["minutes"]) and steps in (0, previous["steps"]):
        return Plan(previous["steps"], steps_per_epoch, patience, by, previous["minutes"])
    if steps:
        return Plan(steps, steps_per_epoch, patience, "steps")
    if minutes:
        return Plan(measure_steps(), steps_per_epoch, patience, "minutes", minutes)
    epochs = previous["epochs"] if by == "data" else task.default_epochs.choose(steps_per_epoch, preset_kind(task))
    patience = task.default_epochs.patience(epochs) if task.patience < 0 else patience
    return Plan(epochs * steps_per_epoch, steps_per_epoch, patience, "data")


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the plan of the run in a folder; for the second training of `refit`, that of the first."""
    fitted = model_folder.read_index(folder, name=model_folder.run_index_file(folder))["fitted"]
    plan: dict[str, Any] = (fitted.get("selection_") or {}).get("plan") or fitted.get("plan_", {})
    return plan
