"""Columns of translations: the texts of a pair, and why the generation of a text ended."""

from __future__ import annotations

from dlkit.columns import Label, Text


class ParallelText(Text):
    """A text in UTF-8."""  # this docstring is the description in the contract of an export

    kind = "text"
    reader = "dlkit.tasks.translation.readers"


class FinishReason(Label):
    """Why generation ended: `stop` at the end token, `length` at the maximum number of tokens."""
