"""The column of a side of a translation: a text that the formats of translations hold."""

from __future__ import annotations

from dlkit.columns import Text


class Side(Text):
    """A text in UTF-8."""  # told to clients in the contract, as of any other text

    kind = "text"
    reader = "dlkit.tasks.translation.readers"
