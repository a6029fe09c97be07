"""How many steps a run makes: decided once, when it starts, and kept by a run that is resumed."""

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
        decided_by: what decided: "epochs", "data" (`epochs=0`), "steps" or "minutes".
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
        if self.decided_by == "steps":
            return f"training for {self.steps:,} steps, {passes}{stop}"
        return (
            f"training for {self.steps:,} steps in {self.minutes:g} minutes, {passes}{stop}; "
            f"{option('steps', self.steps)} repeats them"
        )


def decide(
    task: Trainable,
    steps_per_epoch: int,
    minutes: float,
    steps: int,
    before: Mapping[str, Any],
    timed: Callable[[], int],
) -> Plan:
    """Decide how long a run trains.

    Args:
        task: the task, for its hyperparameters `epochs` and `patience`.
        steps_per_epoch: of a pass over the training data.
        minutes: the budget; 0 for none.
        steps: the steps of the run; 0 where they are not given.
        before: the plan of the run that is resumed, which counts unless it was asked for another; empty for a new one.
        timed: the steps that the minutes allow, measured.

    Returns:
        The plan.
    """
    patience = max(task.patience, 0)
    if task.epochs:
        return Plan(task.epochs * steps_per_epoch, steps_per_epoch, patience)
    by = before.get("decided_by", "epochs")
    if by in ("minutes", "steps") and minutes in (0, before["minutes"]) and steps in (0, before["steps"]):
        return Plan(before["steps"], steps_per_epoch, patience, by, before["minutes"])
    if steps:
        return Plan(steps, steps_per_epoch, patience, "steps")
    if minutes:
        return Plan(timed(), steps_per_epoch, patience, "minutes", minutes)
    epochs = before["epochs"] if by == "data" else task.default_epochs.choose(steps_per_epoch, preset_kind(task))
    patience = task.default_epochs.patience(epochs) if task.patience < 0 else patience
    return Plan(epochs * steps_per_epoch, steps_per_epoch, patience, "data")


def plan_of(folder: Path) -> dict[str, Any]:
    """The plan of the run in a folder; empty for one that an older version has started."""
    index = model_folder.read_index(folder, name=model_folder.run_index_file(folder))
    plan: dict[str, Any] = index["fitted"].get("plan_", {})
    return plan
