"""The forms in which pairs of texts lie: translation memories, two aligned texts, and TFDS's translations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlkit.columns import Column, Text
from dlkit.data.bytes import file_type
from dlkit.data.read_options import ReadOptions
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.tasks.translation.aligned import aligned_paths, read_aligned
from dlkit.tasks.translation.tmx import read_tmx


class PairReader(Reader):
    """Reads the two sides of translations."""

    def source(self, source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Two aligned text files, "FILE,FILE"."""
        paths = aligned_paths(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else []
        return read_aligned(paths, os.fspath(source), columns) if paths else None

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """A translation memory, whose columns are languages."""
        return read_tmx(path, source, columns, how) if file_type(path) == ".tmx" else None

    def features(self, tfds: Any, info: Any, found: Mapping[str, Any], columns: Mapping[str, Column]) -> dict[str, Any]:
        """The languages of a translation: from the first of its direction to the second."""
        if not isinstance(info.features, tfds.features.Translation):
            return {}
        texts = [name for name, column in columns.items() if isinstance(column, Text)]
        direction = info.supervised_keys or sorted(info.features)
        return {name: [language] for name, language in zip(texts, direction, strict=False)}


reader = PairReader()
