"""Errors that a user can fix. The command line shows their message without a traceback and exits with their code."""

from __future__ import annotations

import errno
from pathlib import Path

USER_ERROR = 2  # exit code
INTERRUPTED = 130  # exit code after SIGINT: 128 + its number
PREEMPTED = 143  # and after SIGTERM
_MAX_LINE = 3000  # characters
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class DlkitError(ValueError):
    """Base class of errors that a user can fix. The message says what was expected, what was received, where, and the
    remedy.

    Very long lines are shortened in the middle.
    """

    exit_code = USER_ERROR

    def __init__(self, message: str = "", *arguments: object):
        super().__init__("\n".join(map(_shorten, message.split("\n"))), *arguments)


def _shorten(line: str) -> str:
    return line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE // 2]} [...] {line[-_MAX_LINE // 2 :]}"


class LostWorkerError(DlkitError):
    """Another worker of the run has ended. All workers can be restarted from the last checkpoint."""

    exit_code = 75


class DataError(DlkitError):
    """A source, a column or a row cannot be read."""


class UnreadableError(DataError):
    """The file of a row is missing, empty or corrupt. Training skips such rows and reports them."""


class HparamError(DlkitError):
    """A hyperparameter is misspelled, of the wrong type or out of its range."""


class ExportError(DlkitError):
    """An export could not be written, or its predictions differ from those of `predict`."""


class Preempted(SystemExit):
    """SIGTERM stopped a run, which has saved its state. The process exits with code 143."""

    def __init__(self, step: int):
        super().__init__(PREEMPTED)
        self.step = step


def write_error(path: Path, error: OSError) -> DlkitError:
    """Return the error for a file or folder that could not be written."""
    if error.errno in DISK_FULL:
        return DlkitError(f"the disk is full: {path} was not written. Free some space and try again.")
    return DlkitError(f"cannot write {path}: {error.strerror or error}. Check its folder, or save elsewhere.")
