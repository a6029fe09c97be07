"""Files, variables and texts that others wrote: one place decides what becomes of whatever goes wrong with them.

Libraries refuse what they cannot read in as many ways as there are of them. `as_data_error` makes one error of all
these, which says where it is, what was expected and the cure; the library's own comes along as its cause (`--debug`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dlkit.errors import DataError, DlkitError

if TYPE_CHECKING:
    import zipfile

MAX_UNPACKED = "DLKIT_MAX_UNPACKED"  # the environment variable
DEFAULT_MAX_UNPACKED = "4GB"
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@contextlib.contextmanager
def as_data_error(
    source: object, expected: str = "", cure: str = "", *, error: type[DlkitError] = DataError
) -> Iterator[None]:
    """Around the reading of what others wrote: whatever it raises becomes an `error`; those of dlkit stay as they are.

    Args:
        source: what is read, in the user's words, with the place in it if that is known.
        expected: what it is not, after "not": "a readable npz file"; "" where nothing is known but that it cannot be
            read.
        cure: a further sentence.
        error: the kind of error.
    """
    try:
        yield
    except Exception as reason:
        raise data_error_of(reason, source, expected, cure, error=error) from reason


def data_error_of(
    reason: Exception,
    source: object,
    expected: str = "",
    cure: str = "",
    *,
    error: type[DlkitError] = DataError,
) -> DlkitError:
    """The error that `as_data_error` makes of another one."""
    if isinstance(reason, DlkitError):
        return reason
    cure = f" {cure}" if cure else ""
    if isinstance(reason, OSError) and reason.strerror and reason.errno:
        return error(f"cannot read {source}: {reason.strerror}.")
    position = getattr(reason, "position", ())  # of XML
    line = getattr(reason, "lineno", 0) or (position[0] if isinstance(position, tuple) and position else 0)
    place = f", line {line}" if isinstance(line, int) and line and ", line " not in str(source) else ""
    if not expected:
        return error(f"cannot read {source}{place}: {_describe(reason)}.{cure}")
    return error(f"{source}{place}: not {expected} ({_describe(reason)}).{cure}")


def _describe(reason: Exception) -> str:
    """What an exception says, on one line, which is cut where it is long."""
    if isinstance(reason, RecursionError):
        return "values are nested too deeply"
    if type(reason).__name__ == "UnidentifiedImageError":  # Pillow's, which names an object in memory
        return "its first bytes match no known format"
    if isinstance(reason, MemoryError):
        return "it needs more memory than is available"
    text = " ".join(str(getattr(reason, "msg", "") or reason).split()) or type(reason).__name__
    text = f"there is no {text}" if isinstance(reason, KeyError) else text
    return (text if len(text) <= 200 else f"{text[:200]}...").rstrip(".")


def max_unpacked_bytes() -> int:
    """How many bytes may come out of one packed file. Raises DlkitError where the variable is no size."""
    text = os.environ.get(MAX_UNPACKED, "").strip() or DEFAULT_MAX_UNPACKED
    size = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if not size:
        raise DlkitError(f"{MAX_UNPACKED} must be a size such as 500MB or 8GB. Received: {text!r}.")
    return int(float(size[1]) * _UNITS[size[2].upper()])


def check_unpacked(size: int, source: object, *, error: type[DlkitError] = DataError) -> None:
    """Raises an `error` for more bytes than may come out of one packed file; names the file, the limit and the cure."""
    if size > max_unpacked_bytes():
        limit = os.environ.get(MAX_UNPACKED, "").strip() or DEFAULT_MAX_UNPACKED
        raise error(
            f"{source} decompresses to more than the limit of {limit}, which protects the memory. If you trust the "
            f"file, raise the limit with an environment variable, such as {MAX_UNPACKED}=16GB."
        )


def check_zip(archive: zipfile.ZipFile, source: object, *, error: type[DlkitError] = DataError) -> None:
    """Raises an `error` for an archive whose files say that they are larger than it is by more than the limit.

    No more is read of a file than it says. What is not packed does not count: large weights are no fault.
    """
    check_unpacked(sum(entry.file_size for entry in archive.infolist()) - size_of(archive), source, error=error)


def size_of(archive: Any) -> int:
    """The bytes of the file that an open archive is."""
    return os.fstat(archive.fp.fileno()).st_size
