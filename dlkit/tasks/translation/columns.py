"""Columns of translations: a text that their formats hold, and why a written one ended."""

from __future__ import annotations

from dlkit.columns import Label, Text


class Side(Text):
    """A text in UTF-8."""  # told to clients in the contract, as of any other text

    kind = "text"
    reader = "dlkit.tasks.translation.readers"


class FinishReason(Label):
    """Why the text ends: `stop` where it was ended, `length` where the most tokens were written before."""
