"""Version directories that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import pathlib
import shutil
from collections.abc import Iterator

from dlkit.durable import fsync_path, fsync_tree, hold_lock, is_unlocked, unique_name
from dlkit.errors import ExportError

_PREFIX = ".dlkit-export-"  # not a number: TensorFlow Serving takes no notice of it
_LOCK = ".lock"  # held while the folder beside it is written
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def staged_version(base: pathlib.Path, version: int | None) -> Iterator[tuple[pathlib.Path, list[pathlib.Path]]]:
    """Gives a hidden folder beside the versions; it becomes the version when the block ends well.

    Yields:
        The folder to write into, and a list that holds the version directory once it is in place.

    Raises:
        ExportError: if the version exists, or if the folder cannot be written or is full. Whatever is raised
            inside, an interrupt included, the folder is removed.
    """
    _check_base(base)
    if version is not None:
        _check_version(base, version)
    staging = base / unique_name(_PREFIX)
    placed: list[pathlib.Path] = []
    try:
        with hold_lock(_lock_of(staging)):
            try:
                remove_leftovers(base)
                staging.mkdir()
                yield staging, placed
                fsync_tree(staging)
                placed.append(_move_into_place(staging, base, version))
                fsync_path(base)
            finally:
                if not placed:
                    shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise _explain(error, base) from error


def next_version(base: pathlib.Path) -> int:
    """The lowest number above all versions of a base directory; 1 for an empty or missing one."""
    names = [entry.name for entry in base.iterdir()] if base.is_dir() else []
    return max([int(name) for name in names if name.isdecimal()], default=0) + 1


def remove_leftovers(base: pathlib.Path) -> list[pathlib.Path]:
    """Removes what killed exports have left: folders whose lock is there, and nobody holds it."""
    removed = []
    for lock in base.glob(f"{_PREFIX}*{_LOCK}"):
        if is_unlocked(lock):
            folder = lock.with_name(lock.name.removesuffix(_LOCK))
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
            removed.append(folder)
    return removed


def _lock_of(staging: pathlib.Path) -> pathlib.Path:
    return staging.with_name(staging.name + _LOCK)


def _check_base(base: pathlib.Path) -> None:
    if base.exists() and not base.is_dir():
        raise ExportError(f"{base} is a file. Give a folder for the versions of the model.")
    if (base / "saved_model.pb").exists():
        raise ExportError(f"{base} is itself a SavedModel. Give its parent folder; `export` adds the version number.")


def _check_version(base: pathlib.Path, version: int) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ExportError(f"`version` must be a positive integer. Received: version={version!r}.")
    taken = base.is_dir() and any(e.name.isdecimal() and int(e.name) == version for e in base.iterdir())
    if taken:
        raise ExportError(
            f"Version {version} exists in {base}; a served version must not change. Omit `version` to write "
            f"{next_version(base)}, or remove {base / str(version)} first."
        )


def _move_into_place(staging: pathlib.Path, base: pathlib.Path, version: int | None) -> pathlib.Path:
    while True:
        target = base / str(version or next_version(base))
        try:
            staging.rename(target)
            return target
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if version is not None:  # another export took it while this one was proven
            _check_version(base, version)


def _explain(error: OSError, base: pathlib.Path) -> ExportError:
    if error.errno in _FULL:
        return make_full_disk_error(base, str(error))
    return ExportError(f"Cannot export into {base}: {error}. Check that the folder is writable, or choose another.")


def make_full_disk_error(base: pathlib.Path, detail: str) -> ExportError:
    """The error for a disk that has no room for the export."""
    with contextlib.suppress(OSError):
        detail = f"{detail}; {shutil.disk_usage(base).free / 2**20:.0f} MiB are free"
    return ExportError(
        f"The disk of {base} is full ({detail}). Nothing was written. Free some space, for example by removing old "
        "versions, or export to another disk."
    )
