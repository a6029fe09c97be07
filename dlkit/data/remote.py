"""Files elsewhere: http and https as pandas reads them, and what fsspec has a file system for, s3 and gs among them."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlkit.data.unpack import open_gzip
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error
from dlkit.version import __version__

_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+)://.+", re.IGNORECASE)
_SECONDS = 60  # without an answer
_open: dict[str, Path] = {}  # copies by address


def is_remote(source: Any) -> bool:
    """Whether a source is the address of a file elsewhere, as https://host/a.csv."""
    return isinstance(source, str) and _REMOTE.fullmatch(source.strip()) is not None


@contextlib.contextmanager
def download(source: str) -> Iterator[Path]:
    """A copy of a file that lies elsewhere, of the same name, as long as it is open; one for all who ask meanwhile.

    Raises:
        DataError: it cannot be had; says why, and names the package that is missing.
    """
    address = source.strip()
    if address in _open:
        yield _open[address]
        return
    protocol = address.partition("://")[0].lower()
    name = address.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2]
    with tempfile.TemporaryDirectory(prefix="dlkit-") as folder:
        path = Path(folder) / name
        opened = _web(address) if protocol in ("http", "https") else _file_system(address, protocol)
        with opened as file, path.open("wb") as to, as_data_error(source, "read to its end", "Try again."):
            shutil.copyfileobj(file, to)
        _open[address] = path
        try:
            yield path
        finally:
            del _open[address]


@contextlib.contextmanager
def _web(address: str) -> Iterator[Any]:
    import urllib.error  # here: the two are slow to import, and help needs neither
    import urllib.request

    request = urllib.request.Request(address, headers={"User-Agent": f"dlkit/{__version__}"})
    try:
        answer = urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        raise DataError(f"cannot read {address}: the server returned {error.code} {error.reason}.") from error
    except Exception as error:  # of the network, and for what is no address
        reason = getattr(error, "reason", error)
        raise DataError(f"cannot read {address}: {reason}. Check the address and the network.") from error
    with answer:
        yield open_gzip(answer, address) if answer.headers.get("Content-Encoding") == "gzip" else answer


@contextlib.contextmanager
def _file_system(address: str, protocol: str) -> Iterator[Any]:
    try:
        import fsspec
    except ImportError as error:
        raise DataError(f"{address}: reading {protocol}:// needs a package: pip install fsspec.") from error
    try:
        file = fsspec.open(address, "rb").open()
    except ImportError as error:
        raise DataError(f"{address}: reading {protocol}:// needs a package: {_package(fsspec, protocol)}.") from error
    except ValueError as error:
        raise DataError(f"{address}: there is no way to read {protocol}:// ({error}).") from error
    except Exception as error:  # file systems have errors of their own, of rights for one
        raise DataError(f"cannot read {address}: {error or type(error).__name__}.") from error
    with file:
        yield file


def _package(fsspec: Any, protocol: str) -> str:
    """What fsspec says must be installed for a protocol, with pip's command for the usual ones."""
    known = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
    if protocol in known:
        return f"pip install {known[protocol]}"
    return str(fsspec.registry.known_implementations.get(protocol, {}).get("err", protocol)).rstrip(".")
