"""Generation with options of each request, by the graph that is exported as the signature `generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlkit.generation.request_options import expand_options
from dlkit.tasks.language_model.request_columns import make_option_columns

if TYPE_CHECKING:
    from dlkit.tasks.language_model.task import LanguageModel


def generate(task: LanguageModel, prompts: Sequence[str], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Continue prompts with options; see `LanguageModel.generate`."""
    each = expand_options(options, make_option_columns(task), len(prompts))
    requests = [{"prompt": prompt, **given} for prompt, given in zip(prompts, each, strict=True)]
    answers = task.call_signature("generate", requests)
    return task.present_rows({name: [answer[name] for answer in answers] for name in task.answer})
