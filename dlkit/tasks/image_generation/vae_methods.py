"""What a variational autoencoder answers in Python, by the graphs of its signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlkit.errors import DlkitError
from dlkit.options import option

if TYPE_CHECKING:
    from dlkit.tasks.image_generation.task import ImageGenerator


def ask(task: ImageGenerator, signature: str, name: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the outputs of a signature for each value of its input `name`, as Python values.

    Raises:
        DlkitError: the network is another one, or nothing tells what scores are usual.
        DataError: a value cannot be read; says which.
    """
    if task.network != "vae":
        needed = option("network", "vae")
        raise DlkitError(f"the model must have {needed}. Received: {option('network', task.network)}.")
    task._check_fitted()
    if signature not in task.served():
        raise DlkitError(
            "the model was trained without validation images, which tell what scores are usual. Train it with "
            f"{option('validation')} or with {option('validation_split')} above 0."
        )
    columns = {**task.extra_outputs, **task.answer}
    answers = task.call_signature(signature, [{name: value} for value in values])
    return [{key: columns[key].show(value) for key, value in answer.items()} for answer in answers]
