"""One way to replace what is saved: one writer of a folder at a time, and files that are there whole, on disk, or not.

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
    """A name that no other writer takes: `name` and eight random digits."""
    return f"{name}{secrets.token_hex(4)}"


def write_atomic(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file beside its place, puts it on disk, and renames it.

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
    """Puts a folder with all that it holds on disk, and its name too."""
    for path in sorted(folder.rglob("*"), reverse=True):
        fsync_path(path)
    fsync_path(folder)
    fsync_path(folder.parent)


def fsync_path(path: Path) -> None:
    """Puts a file, or the names in a folder, on disk, where the system has a way to."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold_lock(lock: Path) -> Iterator[None]:
    """Inside, this process alone holds a lock file: an advisory lock of the operating system, which a kill releases.

    The folder of the file is made where it is missing, and removed at the end if nothing was written into it. What
    the file says of its holder is for the message only.

    Raises:
        BusyError: another process holds it; says which.
        OSError: the folder cannot be written.
    """
    missing = [folder for folder in (lock.parent, *lock.parent.parents) if not folder.exists()]
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(lock)
    _held_locks.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held_locks:  # else this is a child, which was forked inside
            _held_locks.discard(descriptor)
            with contextlib.suppress(OSError):
                if _is_file_of(lock, descriptor):
                    lock.unlink()  # while it is still held: who has opened it meanwhile sees that it is gone
            os.close(descriptor)
            for folder in missing:  # the deepest first
                with contextlib.suppress(OSError):
                    folder.rmdir()


def is_unlocked(lock: Path) -> bool:
    """Whether nobody holds a lock file that is there."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        return fcntl is not None and _try_lock(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _acquire(lock: Path) -> int:
    """The descriptor of a lock file that this process holds from now on."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try_lock(descriptor):
                holder = os.pread(descriptor, 1000, 0).decode(errors="replace") or "another process"
                raise BusyError(
                    f"{lock.parent} is being written by {holder}. Wait until it has finished, or save elsewhere."
                )
        except BusyError:
            os.close(descriptor)
            raise
        except OSError as error:
            logger.warning(
                f"{lock.parent}: its file system does not support locks ({error.strerror}). Make sure that no other "
                "process writes there."
            )
        if _is_file_of(lock, descriptor):
            command = shlex.join(sys.argv)[:200]
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} ({command})".encode(), 0)
            return descriptor
        os.close(descriptor)  # its holder has removed it meanwhile


def _try_lock(descriptor: int) -> bool:
    """Takes the lock of an open file, if nobody has it. Raises OSError where there are no locks."""
    if fcntl is None:
        raise OSError(0, "nor has this system")
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
    """In a forked child: the locks are its parent's, and end with that."""
    for descriptor in _held_locks:
        os.close(descriptor)
    _held_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
