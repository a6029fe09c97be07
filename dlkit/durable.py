"""Atomic and durable writing: one writer per folder, and files that are on disk completely or not at all.

Models, checkpoints and exports are written under names of their own beside what they replace, put on disk, and then
take its place in one rename. What was there before stays until then.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from dlkit.errors import DlkitError
from dlkit.log import logger

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".dlkit.lock"  # in a model's folder, while something writes there
PARTIAL_SUFFIX = ".partial"  # the end of the name of a file that is being written
_held_locks: set[int] = set()  # descriptors of the locks that this process holds


class BusyError(DlkitError):
    """Another process writes into the same folder."""


def unique_name(name: str) -> str:
    """Return `name` with eight random hexadecimal digits appended."""
    return f"{name}{secrets.token_hex(4)}"


def write_atomic(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it.

    Raises:
        OSError: it could not be written; what was there before still is.
    """
    partial = path.with_name(unique_name(f"{path.name}.") + PARTIAL_SUFFIX)
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        fsync_path(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def fsync_tree(folder: Path) -> None:
    """Flush a folder, all that it holds, and its own name to disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        fsync_path(path)
    fsync_path(folder)
    fsync_path(folder.parent)


def fsync_path(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk, if the system supports it."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold_lock(lock_file: Path) -> Iterator[None]:
    """Hold an advisory lock of the operating system on a file; it is released when the process ends.

    The folder of the file is made where it is missing, and removed at the end if nothing was written into it. What
    the file says of its holder is for the message only.

    Raises:
        BusyError: another process holds it; says which.
        OSError: the folder cannot be written.
    """
    created = [folder for folder in (lock_file.parent, *lock_file.parent.parents) if not folder.exists()]
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(lock_file)
    _held_locks.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held_locks:  # else this is a child, which was forked inside
            _held_locks.discard(descriptor)
            with contextlib.suppress(OSError):
                if _is_file_of(lock_file, descriptor):
                    lock_file.unlink()  # while it is still held: who has opened it meanwhile sees that it is gone
            os.close(descriptor)
            for folder in created:  # the deepest first
                with contextlib.suppress(OSError):
                    folder.rmdir()


def is_unlocked(lock_file: Path) -> bool:
    """Return whether a lock file exists and no process holds it."""
    try:
        descriptor = os.open(lock_file, os.O_RDWR)
    except OSError:
        return False
    try:
        return fcntl is not None and _try_lock(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _acquire(lock_file: Path) -> int:
    """Acquire a lock file and return its descriptor."""
    while True:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try_lock(descriptor):
                holder = os.pread(descriptor, 1000, 0).decode(errors="replace") or "another process"
                raise BusyError(
                    f"{lock_file.parent} is being written by {holder}. Wait until it has finished, or save elsewhere."
                )
        except BusyError:
            os.close(descriptor)
            raise
        except OSError as error:
            logger.warning(
                f"{lock_file.parent}: its file system does not support locks ({error.strerror}). Make sure that no "
                "other process writes there."
            )
        if _is_file_of(lock_file, descriptor):
            command = shlex.join(sys.argv)[:200]
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} ({command})".encode(), 0)
            return descriptor
        os.close(descriptor)  # its holder has removed it meanwhile


def _try_lock(descriptor: int) -> bool:
    """Try to lock an open file; False if another process holds it. Raises OSError if locks are not supported."""
    if fcntl is None:
        raise OSError(0, "this operating system has no file locks")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file_of(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _release_in_child() -> None:
    """Close the locks in a forked child: they belong to its parent."""
    for descriptor in _held_locks:
        os.close(descriptor)
    _held_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
