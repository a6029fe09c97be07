"""Translations with options of each request, from the graph that `export` writes as the signature `generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlkit.columns import Column, Count, Number
from dlkit.errors import DataError, HparamError
from dlkit.hparams import nearest
from dlkit.limits import Limits

if TYPE_CHECKING:
    from dlkit.tasks.translation.task import Translator


def request_columns(task: Translator) -> dict[str, Column]:
    """What a request may ask for beside its text, by name, with what stands for it where it does not."""
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
    """Answers texts with options; see `Translator.generate`."""
    known = request_columns(task)
    for name in options:
        if name not in known:
            raise HparamError(f"there is no option {name!r}. {nearest(name, known)}")
    asked = {name: _each(name, value, len(sources)) for name, value in options.items()}
    requests = [
        {"source": source, **{name: values[row] for name, values in asked.items()}}
        for row, source in enumerate(sources)
    ]
    answers = task.call_signature("generate", requests)
    return task.present_rows({name: [answer[name] for answer in answers] for name in task.answer})


def _each(name: str, value: Any, count: int) -> list[Any]:
    values = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise DataError(f"`{name}` must be one value, or one per text, {count}. Received: {len(values)}.")
    return values
