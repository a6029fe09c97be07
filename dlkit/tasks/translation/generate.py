"""Translation with options of each request, by the graph that is exported as the signature `generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlkit.columns import Column, Count, Number
from dlkit.generation.request_options import expand_options
from dlkit.limits import Limits

if TYPE_CHECKING:
    from dlkit.tasks.translation.task import Translator


def make_request_columns(task: Translator) -> dict[str, Column]:
    """Make the columns of the options of a request, by name, with their defaults."""
    return {
        "max_tokens": Count(optional=True, default=task.max_tokens, limits=Limits(1)),
        "beam_width": Count(optional=True, default=task.beam_width, limits=Limits(1)),
        "length_penalty": Number(optional=True, default=task.length_penalty, limits=Limits(0)),
        "temperature": Number(optional=True, default=0.0, limits=Limits(0)),
        "top_k": Count(optional=True, default=0, limits=Limits(0)),
        "top_p": Number(optional=True, default=1.0, limits=Limits(0, 1)),
        "seed": Count(optional=True, default=0),
    }


def generate(task: Translator, sources: Sequence[str], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Translate texts with options; see `Translator.generate`."""
    each = expand_options(options, make_request_columns(task), len(sources))
    requests = [{"source": source, **given} for source, given in zip(sources, each, strict=True)]
    answers = task.call_signature("generate", requests)
    return task.present_rows({name: [answer[name] for answer in answers] for name in task.answer})
