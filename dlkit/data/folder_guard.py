"""Files that a table or an annotation names: they lie below the data's folder, unless the user says otherwise."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from dlkit.data.read_options import ReadOptions
from dlkit.errors import DataError
from dlkit.options import option

_real = functools.lru_cache(maxsize=4096)(os.path.realpath)  # of folders, in which many files lie


class FolderGuard:
    """Lets through the files that lie below some folders: a table from elsewhere may name any file of this machine.

    Args:
        how: with the folders that the user gave, and whether files may lie elsewhere.
        folders: further ones: that of the table itself, for one.
    """

    def __init__(self, how: ReadOptions, *folders: Path):
        self._anywhere = how.allow_outside
        _real.cache_clear()  # links may have changed since another table was read
        self._folders = list(dict.fromkeys(_real(folder.absolute()) for folder in (*folders, *how.folders)))

    def __call__(self, file: Path, place: str) -> Path:
        """The file. Raises DataError, with the place that names it, where it or what it links to lies elsewhere."""
        if self._anywhere or "\0" in str(file):  # no name of a file: opening it says so
            return file
        real = os.path.join(_real(file.parent.absolute()), file.name)  # noqa: PTH118, called for every row
        if file.name in ("", "..") or os.path.islink(real):  # noqa: PTH114
            real = os.path.realpath(real)
        if any(real.startswith(folder.rstrip(os.sep) + os.sep) for folder in self._folders):
            return file
        leads = "" if real == str(file) else f" (that is {real})"
        raise DataError(
            f"{place}: the file {str(file)!r}{leads} is outside the data folder, {self._folders[0]}. Move it there, "
            "use a common parent folder as the data, or, if you trust the author of the data, allow it: "
            f"{option('allow_outside', True)}."
        )
