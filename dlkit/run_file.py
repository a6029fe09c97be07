"""The options of a run, saved beside its model as `config.yaml`; `dlkit.cli.config` reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlkit.durable import write_atomic
from dlkit.errors import write_error
from dlkit.version import __version__

CONFIG_FILE = "config.yaml"
_NOT_SAVED = (
    "resume",
    "overwrite",
    "allow_changes",
)  # say what to do with what is there: taken from a file, not written
_PYTHON_OBJECT = object()  # stands for what only Python has
IN_MEMORY = "in memory"  # the key in the place of data that have no name


class SampleData(dict):
    """The built-in sample data of a task, as a source: a run on it names no data."""


@dataclass
class RunFile:
    """The options of a run.

    Attributes:
        task: the task's name; "" where a file names none.
        data: what was trained on, as the user named it; None for the built-in sample.
        validation: the same of the validation data; None where there are none of their own.
        reading: how the data are read, by the argument's name in `Task.fit`.
        hyperparameters: by name.
        run: the other arguments of `Task.fit`, by name.
        note: a comment that the file begins with.
    """

    task: str = ""
    data: Any = None
    validation: Any = None
    reading: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def decided(self, steps: int, minutes: float) -> None:
        """Takes the steps of a run, in the place of the minutes that they were decided for: they repeat it."""
        self.run |= {"minutes": 0.0, "steps": steps}
        self.note = f"# steps: the number that fits into the time budget, minutes: {minutes:g}." if minutes else ""

    def write(self, folder: Path) -> None:
        """Write the file to a model's folder atomically. Raises DlkitError if that fails."""
        try:
            write_atomic(folder / CONFIG_FILE, lambda file: file.write(self.text().encode()))
        except OSError as error:
            raise write_error(folder / CONFIG_FILE, error) from error

    def text(self) -> str:
        """Return the content of the file: addresses without credentials and queries, and no Python objects."""
        import yaml

        run = {name: _to_yaml(value) for name, value in self.run.items() if name not in _NOT_SAVED}
        objects = [name for name, value in run.items() if value is _PYTHON_OBJECT]
        notes = [f"# Written by dlkit {__version__}: the options of the run that made this model."]
        notes += ["# dlkit train --config FILE --save FOLDER repeats it; flags on the command line take precedence."]
        notes += [self.note] if self.note else []
        notes += [f"# Not saved, because they are Python objects: {', '.join(objects)}."] if objects else []
        sections = {
            "task": self.task,
            "data": _format_source(self.data),
            "validation": _format_source(self.validation),
            "reading": _to_yaml(self.reading),
            "hyperparameters": _to_yaml(self.hyperparameters),
            "run": {name: value for name, value in run.items() if name not in objects},
        }
        return "\n".join([*notes, yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=100)])


def _to_yaml(value: Any) -> Any:
    """Convert a value to types that YAML has; `_PYTHON_OBJECT` if that is not possible."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(name): _to_yaml(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_to_yaml(item) for item in value]
        return _PYTHON_OBJECT if _PYTHON_OBJECT in items else items
    for kind in (bool, int, float, str):  # NumPy's numbers are subclasses, which YAML does not take
        if isinstance(value, kind):
            return kind(value)
    return value if value is None else _PYTHON_OBJECT


def _format_source(source: Any) -> Any:
    """Return a source as the file names it; data without a name is marked as in memory."""
    if source is None or isinstance(source, SampleData):
        return None
    if isinstance(source, (str, os.PathLike)):
        return re.sub(r"^(\w[\w+.-]*://)(?:[^/@]*@)?([^?#]*).*", r"\1\2", os.fspath(source))
    if isinstance(source, list) and source and all(isinstance(part, (str, os.PathLike)) for part in source):
        return [_format_source(part) for part in source]
    return {IN_MEMORY: type(source).__name__}
