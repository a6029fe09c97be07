"""How dlkit starts Python interpreters: none of them runs code from the working directory."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

_SOURCE_FOLDER = Path(__file__).resolve().parents[1]


def python_command(*arguments: str) -> list[str]:
    """Return the command of this interpreter, with `-P` to keep the working directory out of its path."""
    return [sys.executable, "-P", *arguments]


def child_environment(**changes: str) -> dict[str, str]:
    """Return the environment for a child interpreter: that of this process, with `changes`.

    Empty and relative entries of PYTHONPATH, which mean the working directory or what lies below it, are removed. The
    folder of this dlkit is added where it is not installed, so that the child finds the same one.
    """
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    if str(_SOURCE_FOLDER) not in [*entries, *map(os.path.realpath, installed)]:
        entries.insert(0, str(_SOURCE_FOLDER))
    environment = {**os.environ, **changes, "PYTHONPATH": os.pathsep.join(entries)}
    return environment if entries else {name: value for name, value in environment.items() if name != "PYTHONPATH"}
