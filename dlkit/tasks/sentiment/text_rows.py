"""Rows of texts with labels, and the tokenizer that suits their script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlkit.classification.labels import LabelRows
from dlkit.options import option
from dlkit.text.scripts import spaceless_share

if TYPE_CHECKING:
    from dlkit.tasks.sentiment.task import SentimentClassifier
    from dlkit.training.store import Store

MAX_SAMPLED_TEXTS = 2_000  # texts by which the script is determined
# Fraction of letters in scripts without spaces from which characters are selected, and from which a remark is made.
CHARACTERS_FROM, REMARK_FROM = 0.5, 0.1


def choose_tokenizer(texts: Sequence[str]) -> str:
    """Choose "characters" if most letters of the texts belong to scripts without spaces, else "words".

    Examples:
        >>> choose_tokenizer(["A lovely film."])
        'words'
    """
    return (
        "characters" if spaceless_share(texts[row] for row in _sample_rows(len(texts))) >= CHARACTERS_FROM else "words"
    )


def _sample_rows(count: int) -> range:
    return range(0, count, -(-count // MAX_SAMPLED_TEXTS))


class TextRows(LabelRows):
    """Texts with labels."""

    task: SentimentClassifier

    def remarks(self, store: Store) -> list[str]:
        tokenizer, remarks = self.task.tokenizer_, super().remarks(store)
        if self.task.tokenizer != "auto" or not tokenizer:
            return remarks
        sample = self.table.take(_sample_rows(len(self.table)))
        share = spaceless_share(text.decode() for text in sample.raw_column("text", self.task.inputs["text"]))
        facts = f"{share:.0%} of the letters belong to scripts without spaces"
        if tokenizer == "characters":
            return [
                *remarks,
                f"{facts}: {option('tokenizer', 'auto')} selected characters, which {option('max_tokens')} counts",
            ]
        if share >= REMARK_FROM:
            return [
                *remarks,
                f"{facts}, where a word is everything between two spaces: {option('tokenizer', 'characters')} may work "
                "better",
            ]
        return remarks
