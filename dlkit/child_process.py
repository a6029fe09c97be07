"""Interpreters that dlkit starts: one way, so that none runs what lies in the working directory."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

_OWN = Path(__file__).resolve().parents[1]


def python_command(*arguments: str) -> list[str]:
    """The command of this interpreter. `-P` keeps the working directory, or a script's folder, out of its path."""
    return [sys.executable, "-P", *arguments]


def child_environment(**changes: str) -> dict[str, str]:
    """This process's environment for such a command, with `changes`.

    Empty and relative entries of PYTHONPATH, which mean the working directory or what lies below it, are removed. The
    folder of this dlkit is added where it is not installed, so that the child finds the same one.
    """
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    if str(_OWN) not in [*entries, *map(os.path.realpath, installed)]:
        entries.insert(0, str(_OWN))
    environment = {**os.environ, **changes, "PYTHONPATH": os.pathsep.join(entries)}
    return environment if entries else {name: value for name, value in environment.items() if name != "PYTHONPATH"}
