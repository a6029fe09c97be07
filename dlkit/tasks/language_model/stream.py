"""Text that is yielded while it is generated, by the loop of the signature `generate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dlkit.columns import to_batch
from dlkit.errors import DataError
from dlkit.generation.request_options import expand_options
from dlkit.lazy import tf
from dlkit.rows import ERROR
from dlkit.tasks.language_model.request_columns import make_option_columns

if TYPE_CHECKING:
    from dlkit.tasks.language_model.task import LanguageModel


def stream(task: LanguageModel, prompt: str, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield pieces of the continuation of a prompt; see `LanguageModel.stream`."""
    columns = make_option_columns(task)
    (given,) = expand_options(options, columns, 1)
    raw = {name: column.raw(given.get(name, column.default)) for name, column in columns.items()}
    tensors = to_batch([raw], columns)
    tokens = task.stages_.preprocess(to_batch([{"prompt": task.inputs["prompt"].raw(prompt)}], task.inputs))
    if reason := tokens[ERROR].numpy()[0]:
        raise DataError(reason.decode())
    return _generate(task, tokens, tensors, [text.decode() for text in raw["stop"]])


def _generate(
    task: LanguageModel, tokens: dict[str, tf.Tensor], options: dict[str, tf.Tensor], stop: list[str]
) -> Iterator[str]:
    assert task.stages_.decode is not None
    generator = task.stages_.decode.get_layer("generator")
    state, prompt = generator.traced_start(tokens["token_ids"], tokens["padding_mask"], options)
    sent, is_done = "", bool(state.is_done.numpy()[0])
    while not is_done:
        state, text = generator.traced_advance(state, prompt, options)
        is_done = bool(state.is_done.numpy()[0])
        whole = text.numpy()[0].decode()
        ready = whole if is_done else whole[: len(whole) - count_held_back(whole, stop)]
        if len(ready) > len(sent):
            yield ready[len(sent) :]
            sent = ready


def count_held_back(text: str, stop: list[str]) -> int:
    """Count the characters at the end of a text that may begin a stop string.

    Examples:
        >>> count_held_back("and the", ["the end", "e?"])
        3
    """
    sizes = (size for each in stop for size in range(1, len(each)) if text.endswith(each[:size]))
    return max(sizes, default=0)
