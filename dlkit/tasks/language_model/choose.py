"""Classification by the probability of continuations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.errors import DataError

if TYPE_CHECKING:
    from dlkit.tasks.language_model.task import LanguageModel


def choose(task: LanguageModel, prompt: str, choices: Sequence[str]) -> dict[str, Any]:
    """Choose a continuation; see `LanguageModel.choose`."""
    if isinstance(choices, str) or not choices:
        raise DataError(f"`choices` must be a list of texts, of one at least. Received: {choices!r}.")
    answers = task.call_signature("score", [{"prompt": prompt, "text": choice} for choice in choices])
    bits = np.array([answer["bits"] for answer in answers], np.float64)
    weights = np.exp2(bits.min() - bits)
    return {
        "choice": choices[int(np.argmin(bits))],
        "scores": (weights / weights.sum()).tolist(),
        "bits_per_byte": [float(answer["bits_per_byte"]) for answer in answers],
    }
