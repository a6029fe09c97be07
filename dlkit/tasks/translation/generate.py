"""Translations with options of each request, from the graph that `export` writes as the signature `generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlkit.columns import Text
from dlkit.errors import DataError, KnobError
from dlkit.knobs import nearest
from dlkit.lazy import tf

if TYPE_CHECKING:
    from dlkit.tasks.translation.task import Translator

BATCH = 32


def generate(task: Translator, sources: Sequence[str], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Answers texts with options; see `Translator.generate`."""
    from dlkit.serving.signature import trace

    usual = {
        "max_tokens": task.max_tokens,
        "beam_width": task.beam_width,
        "length_penalty": task.length_penalty,
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "seed": 0,
    }
    for name in options:
        if name not in usual:
            raise KnobError(f"there is no option {name!r}. {nearest(name, usual)}")
    asked = {name: _each(name, options.get(name, value), len(sources)) for name, value in usual.items()}
    task._check_fitted()
    if task._generating is None or task._generating[0] is not task.stages_:
        (signature,) = task.signatures()
        task._generating = task.stages_, signature, trace(signature)
    _, signature, graph = task._generating
    answers: list[dict[str, Any]] = []
    texts = [Text().raw(source) for source in sources]
    for start in range(0, len(texts), BATCH):
        part = slice(start, start + BATCH)
        given = {name: tf.constant(values[part], signature.inputs[name].dtype) for name, values in asked.items()}
        made = graph(source=tf.constant(texts[part]), **given)
        columns = {name: made[name].numpy() for name in task.answer}
        answers += task.present_all(columns)
    return answers


def _each(name: str, value: Any, count: int) -> list[Any]:
    values = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise DataError(f"`{name}` must be one value, or one for each of {count} texts. Received: {len(values)}.")
    return values
