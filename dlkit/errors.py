"""Errors that a user can cure. The command line shows their message without a traceback and exits with their code."""

from __future__ import annotations

import errno
from pathlib import Path

USER_ERROR = 2  # exit code
INTERRUPTED = 130  # exit code after SIGINT: 128 + its number
PREEMPTED = 143  # and after SIGTERM
_LINE = 3000  # characters
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class DlkitError(ValueError):
    """Something the user gave cannot be used. The message says what was expected, what came, where, and the cure.

    Very long lines lose their middle: what came may be of any length.
    """

    exit_code = USER_ERROR

    def __init__(self, message: str = "", *arguments: object):
        super().__init__("\n".join(map(_shorten, message.split("\n"))), *arguments)


def _shorten(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[: _LINE // 2]} [...] {line[-_LINE // 2 :]}"


class LostWorkerError(DlkitError):
    """Another worker of the same run has ended. All of them can be started again from the last checkpoint."""

    exit_code = 75


class DataError(DlkitError):
    """A source, a column or a row cannot be read."""


class UnreadableError(DataError):
    """One row's file is missing, empty or broken: training leaves the row out, counts it and names it."""


class HparamError(DlkitError):
    """A hyperparameter is misspelled, of the wrong type or out of its range."""


class ExportError(DlkitError):
    """A servable could not be written, or did not prove equal to `predict`."""


class Preempted(SystemExit):
    """A run was told to stop by SIGTERM and has saved its state. The process ends with code 143."""

    def __init__(self, step: int):
        super().__init__(PREEMPTED)
        self.step = step


def write_error(path: Path, error: OSError) -> DlkitError:
    """The error for a file or folder that could not be written."""
    if error.errno in DISK_FULL:
        return DlkitError(f"the disk is full: {path} was not written. Free some space and try again.")
    return DlkitError(f"cannot write {path}: {error.strerror or error}. Check its folder, or save elsewhere.")
