"""How long a run trains when nothing is said, and what cannot be said together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dlkit.errors import HparamError
from dlkit.hparams import hparam
from dlkit.options import option

CHOSEN = 0  # the value of `epochs` that leaves the choice to the data
BY_TASK = -1  # the value of `patience` that leaves the choice to the task
WAIT = 0.6  # of the chosen epochs: while the learning rate is near its peak, so many are often no better


@dataclass(frozen=True)
class DefaultEpochs:
    """How many passes over the data a task makes where `epochs` is 0.

    Small sets get more passes than usual, until they make enough steps; large sets get fewer.

    Args:
        usual: Passes over data of usual size.
        fewest: Training steps below which there are more passes.
        most: Training steps above which there are fewer passes, at least one.
        tuned: Usual passes when a preset is fine-tuned, if they differ.
        frozen: Usual passes when the preset's backbone is frozen, if they differ.
        fewest_preset: `fewest` of presets, whose steps are expensive, if it differs.
        overfits: Whether the task overfits: it then stops early after 60% of the chosen epochs without a better one.

    Examples:
        >>> rule = DefaultEpochs(30, fewest=200, most=14_000)
        >>> [rule.choose(steps_per_epoch) for steps_per_epoch in (1, 8, 400, 2_000, 20_000)]
        [200, 30, 30, 7, 1]
    """

    usual: int = 10
    fewest: int = 200
    most: int = 20_000
    tuned: int | None = None
    frozen: int | None = None
    fewest_preset: int | None = None
    overfits: bool = False

    def choose(self, steps_per_epoch: int, preset: str = "") -> int:
        """Return the number of epochs.

        Args:
            steps_per_epoch: Training steps of one pass over the data.
            preset: "tuned" or "frozen" where the network is a preset; see `dlkit.hparams.preset_kind`.

        Returns:
            At least 1.
        """
        usual = {"tuned": self.tuned, "frozen": self.frozen}.get(preset) or self.usual
        fewest = self.fewest if not preset or self.fewest_preset is None else self.fewest_preset
        enough = max(usual, math.ceil(fewest / steps_per_epoch))
        return max(1, min(enough, self.most // steps_per_epoch))

    def patience(self, epochs: int) -> int:
        """Return the patience of a run of so many epochs; 0 for none."""
        return max(2, round(WAIT * epochs)) if self.overfits else 0

    def hparam(self, also: str = "") -> Any:
        """Declare the hyperparameter `epochs` of a task, whose help states the rule.

        Args:
            also: A sentence to add, where the rule depends on other options.
        """
        presets = {"when fine-tuned": self.tuned, "with a frozen backbone": self.frozen}
        others = ", ".join(f"{epochs} {kind}" for kind, epochs in presets.items() if epochs is not None)
        preset = "" if self.fewest_preset is None else f" ({self.fewest_preset:,} for presets)"
        stops = (
            " Training stops early if the monitored metric has not improved for 60% of the epochs."
            if self.overfits
            else ""
        )
        return hparam(
            CHOSEN,
            f"Number of epochs; 0 selects it by data size. With 0, training takes {self.usual} epochs"
            f"{f' (presets: {others})' if others else ''}, but at least {self.fewest:,}{preset} and at most "
            f"{self.most:,} training steps, and never less than one epoch.{stops}{f' {also}' if also else ''}",
            minimum=CHOSEN,
        )


def check_length(epochs: int, minutes: float, steps: int) -> None:
    """Raise HparamError where a run cannot have this length.

    Args:
        epochs: The hyperparameter; 0 where it is left to the data.
        minutes: The budget of `fit`; 0 for none.
        steps: The steps of `fit`; 0 where they are not given.
    """
    if not (math.isfinite(minutes) and minutes >= 0):
        raise HparamError(f"{option('minutes')} must be a positive number of minutes. Received: {minutes}.")
    if isinstance(steps, bool) or not hasattr(steps, "__index__") or steps < 0:
        raise HparamError(f"{option('steps')} must be a positive number of training steps. Received: {steps}.")
    given = [
        option(name, value) for name, value in (("minutes", minutes), ("steps", steps), ("epochs", epochs)) if value
    ]
    if len(given) > 1:
        raise HparamError(
            f"expected one of {option('minutes')}, {option('steps')} and {option('epochs')}, each of which sets the "
            f"length of the run. Received: {' and '.join(given)}. Leave out all but one; {option('epochs', 0)} "
            "counts as left out."
        )
