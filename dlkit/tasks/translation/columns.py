"""Columns of translations: the texts of a pair."""

from __future__ import annotations

from dlkit.columns import Text


class ParallelText(Text):
    """A text in UTF-8."""  # this docstring is the description in the contract of an export

    kind = "text"
    reader = "dlkit.tasks.translation.readers"
