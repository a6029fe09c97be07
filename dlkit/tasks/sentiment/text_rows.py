"""Rows of texts with labels: what their script means for the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlkit.classification.labels import LabelRows
from dlkit.options import option
from dlkit.text.scripts import spaceless_share

if TYPE_CHECKING:
    from dlkit.tasks.sentiment.task import SentimentClassifier
    from dlkit.training.store import Store

SHOWN = 2_000  # texts by which the script is told
MOST, SOME = 0.5, 0.1  # shares of the letters


def chosen_tokens(texts: Sequence[str]) -> str:
    """What `tokens=auto` takes: "characters" where most letters are of scripts without spaces, else "words"."""
    return "characters" if spaceless_share(texts[row] for row in _spread(len(texts))) >= MOST else "words"


def _spread(count: int) -> range:
    return range(0, count, -(-count // SHOWN))


class TextRows(LabelRows):
    """Texts with labels."""

    task: SentimentClassifier

    def remarks(self, store: Store) -> list[str]:
        tokens, told = self.task.tokens_, super().remarks(store)
        if self.task.tokens != "auto" or not tokens:
            return told
        some = self.table.take(_spread(len(self.table)))
        share = spaceless_share(text.decode() for text in some.raw_column("text", self.task.inputs["text"]))
        facts = f"{share:.0%} of the letters belong to scripts without spaces"
        if tokens == "characters":
            return [
                *told,
                f"{facts}: {option('tokens', 'auto')} selected characters, which {option('max_tokens')} counts",
            ]
        if share >= SOME:
            return [
                *told,
                f"{facts}, where a word is everything between two spaces: {option('tokens', 'characters')} may work "
                "better",
            ]
        return told
