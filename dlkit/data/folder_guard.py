"""Files that a table or an annotation refers to: they must be inside the data folder, unless the user allows others."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from dlkit.data.read_options import ReadOptions
from dlkit.errors import DataError
from dlkit.options import option

_real_path = functools.lru_cache(maxsize=4096)(os.path.realpath)  # of folders, in which many files lie


class FolderGuard:
    """Accepts files inside some folders: a table from elsewhere may refer to any file of this machine.

    Args:
        how: with the folders that the user gave, and whether files may lie elsewhere.
        folders: further ones: that of the table itself, for one.
    """

    def __init__(self, how: ReadOptions, *folders: Path):
        self._anywhere = how.allow_outside
        _real_path.cache_clear()  # links may have changed since another table was read
        self._folders = list(dict.fromkeys(_real_path(folder.absolute()) for folder in (*folders, *how.folders)))

    def __call__(self, file: Path, location: str) -> Path:
        """Return the file. Raises DataError, with the location that refers to it, if it or its target is elsewhere."""
        if self._anywhere or "\0" in str(file):  # no name of a file: opening it says so
            return file
        real_path = os.path.join(_real_path(file.parent.absolute()), file.name)  # noqa: PTH118, called for every row
        if file.name in ("", "..") or os.path.islink(real_path):  # noqa: PTH114
            real_path = os.path.realpath(real_path)
        if any(real_path.startswith(folder.rstrip(os.sep) + os.sep) for folder in self._folders):
            return file
        resolved = "" if real_path == str(file) else f" (that is {real_path})"
        raise DataError(
            f"{location}: the file {str(file)!r}{resolved} is outside the data folder, {self._folders[0]}. Move it "
            "there, use a common parent folder as the data, or, if you trust the author of the data, allow it: "
            f"{option('allow_outside', True)}."
        )
