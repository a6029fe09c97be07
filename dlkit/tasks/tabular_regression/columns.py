"""The columns of a regressor: its targets and its answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.columns import Number, describe_value
from dlkit.errors import DataError
from dlkit.tabular.columns import NumberCell


class TargetNumber(NumberCell):
    """A number to predict; with several targets, NaN if it is unknown."""

    kind = "number"
    may_be_missing = True

    def raw(self, value: Any) -> np.float32:
        number = super().raw(value)
        if np.isinf(number):
            raise DataError(f"expected a finite number to learn from. Received: {describe_value(value)}.")
        return number


class Prediction(Number):
    """The predicted number, in the units of the target: an estimate of the mean."""

    regressed = True


class LowerBound(Number):
    """The lower bound of the interval, which has the stated coverage on rows like the validation rows."""


class UpperBound(Number):
    """The upper bound of the interval."""


class QuantileValues(Number):
    """Quantiles in the units of the target, in the order of their levels, which they never cross."""

    shape = (None,)


class Levels(Number):
    """The levels of the quantiles, ascending."""

    shape = (None,)
