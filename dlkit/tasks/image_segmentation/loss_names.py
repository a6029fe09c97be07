"""The names of losses and of their sums: a module that needs no TensorFlow, so that a wrong one is refused at once."""

from __future__ import annotations

from dlkit.errors import HparamError
from dlkit.hparams import nearest
from dlkit.options import option

NAMES = ("cross_entropy", "dice", "focal")


def check_loss(names: str) -> list[str]:
    """The parts of "cross_entropy+dice". Raises HparamError for one that there is not."""
    parts = [name.strip() for name in names.split("+")]
    for name in parts:
        if name not in NAMES:
            raise HparamError(
                f"{option('losses')} has no term {name!r}. {nearest(name, NAMES)} Or a sum such as cross_entropy+dice."
            )
    return parts
