"""The options of a request for generated text, and their defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlkit.columns import Column, Count, Number
from dlkit.limits import Limits
from dlkit.tasks.language_model.columns import StopStrings

if TYPE_CHECKING:
    from dlkit.tasks.language_model.task import LanguageModel


def make_option_columns(task: LanguageModel) -> dict[str, Column]:
    """Make the columns of the options of a request, by name, with the defaults of a task."""
    defaults = default_options(task)
    return {
        "max_tokens": Count(optional=True, default=defaults["max_tokens"], limits=Limits(0)),
        "temperature": Number(optional=True, default=defaults["temperature"], limits=Limits(0)),
        "top_k": Count(optional=True, default=defaults["top_k"], limits=Limits(0)),
        "top_p": Number(optional=True, default=defaults["top_p"], limits=Limits(0, 1)),
        "repetition_penalty": Number(
            optional=True, default=defaults["repetition_penalty"], limits=Limits(MIN_REPETITION_PENALTY)
        ),
        "seed": Count(optional=True, default=defaults["seed"]),
        "stop": StopStrings(optional=True, default=defaults["stop"]),
    }


MIN_REPETITION_PENALTY = 0.01


def default_options(task: LanguageModel) -> dict[str, Any]:
    """Return the options of a request that has none."""
    return {
        "max_tokens": task.max_tokens,
        "temperature": task.temperature,
        "top_k": task.top_k,
        "top_p": task.top_p,
        "repetition_penalty": task.repetition_penalty,
        "seed": 0,
        "stop": list(task.stop),
    }
