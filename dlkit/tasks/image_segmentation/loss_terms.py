"""The names of loss terms, in a module without TensorFlow, so that a wrong name is rejected at once."""

from __future__ import annotations

from dlkit.errors import HparamError
from dlkit.hparams import nearest
from dlkit.options import option

LOSS_TERMS = ("cross_entropy", "dice", "focal")


def parse_losses(losses: str) -> list[str]:
    """Split a sum of losses, such as "cross_entropy+dice", into its terms.

    Args:
        losses: names of the terms, joined by "+".

    Returns:
        The names.

    Raises:
        HparamError: a name is unknown.

    Examples:
        >>> from dlkit.tasks.image_segmentation.loss_terms import parse_losses
        >>> parse_losses("cross_entropy+dice")
        ['cross_entropy', 'dice']
    """
    terms = [name.strip() for name in losses.split("+")]
    for name in terms:
        if name not in LOSS_TERMS:
            raise HparamError(
                f"{option('losses')} has no term {name!r}. {nearest(name, LOSS_TERMS)} Or a sum such as "
                "cross_entropy+dice."
            )
    return terms
