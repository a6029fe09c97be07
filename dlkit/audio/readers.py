"""Reading of data sets of recordings."""

from __future__ import annotations

from dlkit.data.reader import Reader


class AudioReader(Reader):
    """Reads data sets of recordings."""


reader = AudioReader()
