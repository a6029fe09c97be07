"""Remote files: http and https, and the file systems of fsspec, such as s3 and gs."""

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
_TIMEOUT_SECONDS = 60  # without an answer
_downloads: dict[str, Path] = {}  # copies by address


def is_remote(source: Any) -> bool:
    """Return whether a source is the address of a remote file, such as https://host/a.csv."""
    return isinstance(source, str) and _REMOTE.fullmatch(source.strip()) is not None


@contextlib.contextmanager
def download(source: str) -> Iterator[Path]:
    """Download a remote file to a temporary copy of the same name, which is shared while it is open.

    Raises:
        DataError: it cannot be had; says why, and names the package that is missing.
    """
    address = source.strip()
    if address in _downloads:
        yield _downloads[address]
        return
    protocol = address.partition("://")[0].lower()
    name = address.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2]
    with tempfile.TemporaryDirectory(prefix="dlkit-") as folder:
        path = Path(folder) / name
        remote_file = _open_url(address) if protocol in ("http", "https") else _open_with_fsspec(address, protocol)
        with remote_file as file, path.open("wb") as target, as_data_error(source, "read to its end", "Try again."):
            shutil.copyfileobj(file, target)
        _downloads[address] = path
        try:
            yield path
        finally:
            del _downloads[address]


@contextlib.contextmanager
def _open_url(address: str) -> Iterator[Any]:
    import urllib.error  # here: the two are slow to import, and help needs neither
    import urllib.request

    request = urllib.request.Request(address, headers={"User-Agent": f"dlkit/{__version__}"})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        raise DataError(f"cannot read {address}: the server returned {error.code} {error.reason}.") from error
    except Exception as error:  # of the network, and for what is no address
        reason = getattr(error, "reason", error)
        raise DataError(f"cannot read {address}: {reason}. Check the address and the network.") from error
    with response:
        yield open_gzip(response, address) if response.headers.get("Content-Encoding") == "gzip" else response


@contextlib.contextmanager
def _open_with_fsspec(address: str, protocol: str) -> Iterator[Any]:
    try:
        import fsspec
    except ImportError as error:
        raise DataError(f"{address}: reading {protocol}:// needs a package: pip install fsspec.") from error
    try:
        file = fsspec.open(address, "rb").open()
    except ImportError as error:
        raise DataError(
            f"{address}: reading {protocol}:// needs a package: {_package_hint(fsspec, protocol)}."
        ) from error
    except ValueError as error:
        raise DataError(f"{address}: there is no way to read {protocol}:// ({error}).") from error
    except Exception as error:  # file systems have errors of their own, of rights for one
        raise DataError(f"cannot read {address}: {error or type(error).__name__}.") from error
    with file:
        yield file


def _package_hint(fsspec: Any, protocol: str) -> str:
    """Return how to install the package that fsspec needs for a protocol."""
    known = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
    if protocol in known:
        return f"pip install {known[protocol]}"
    return str(fsspec.registry.known_implementations.get(protocol, {}).get("err", protocol)).rstrip(".")
