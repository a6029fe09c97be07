"""Hyperparameters: types, ranges and names, with errors that say the cure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from dlkit.errors import HparamError
from dlkit.hparams import check_names, check_values, hparam


@dataclass
class Cake:
    layers: int = hparam(2, "How many.", minimum=1, maximum=9)
    sugar: float = hparam(0.5, "Share of sugar.", minimum=0)
    icing: str = hparam("none", "What is on it.", choices=("none", "lemon", "brand:"))
    candles: tuple[int, ...] = hparam((1,), "Rows of candles.", minimum=0)
    note: str | None = hparam(None, "A wish.")
    sliced: bool = hparam(False, "Cut already.")


def bake(**hparams):
    check_names(Cake, hparams)
    cake = Cake(**hparams)
    check_values(cake)
    return cake


def test_values_become_their_types():
    cake = bake(layers=np.int64(3), sugar=1, candles=[2, 3])
    assert (cake.layers, cake.sugar, cake.candles) == (3, 1.0, (2, 3))
    assert type(cake.layers) is int
    assert type(cake.sugar) is float


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"layers": 0}, "`layers` must be at least 1 and at most 9. Received: layers=0"),
        ({"layers": 2.5}, "`layers` must be an integer. Received: layers=2.5 (float)"),
        ({"layers": True}, "`layers` must be an integer"),
        ({"sugar": float("nan")}, "`sugar` must be finite"),
        ({"icing": "lemmon"}, "Did you mean 'lemon'?"),
        ({"candles": (1, -1)}, "`candles` must be at least 0"),
        ({"note": 3}, "`note` must be a string or None"),
        ({"sliced": 1}, "`sliced` must be True or False"),
        ({"layer": 1}, "Cake has no option 'layer'. Expected one of: layers, sugar"),
    ],
)
def test_errors_name_the_hparam_and_the_cure(hparams, message):
    with pytest.raises(HparamError) as error:
        bake(**hparams)
    assert message in str(error.value)


def test_a_choice_with_a_colon_is_a_prefix():
    assert bake(icing="brand:x").icing == "brand:x"
    with pytest.raises(HparamError):
        bake(icing="brand")
