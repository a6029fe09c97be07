"""The options of a run as a file beside its model, `config.yaml`, in the form that `dlkit train --config` reads."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlkit.durable import write_file
from dlkit.errors import DlkitError, KnobError, unwritable
from dlkit.foreign import foreign
from dlkit.knobs import check_value, coerce, knob_types, nearest, type_name
from dlkit.version import __version__

NAME = "config.yaml"
SOURCES = ("data", "validation")
READING: dict[str, Any] = {
    "columns": dict,
    "header": tuple[str, ...],
    "data_dir": str | None,
    "delimiter": str,
    "quotes": bool | None,
    "strict": bool,
    "allow_outside": bool,
    "max_rows": int,
}
RUN: dict[str, Any] = {
    "save": str | None,
    "strategy": str,
    "worker_timeout": float,
    "checkpoint_every": str,
    "keep": int,
    "nan_retries": int,
    "keep_examples": bool,
    "tensorboard": str | None,
    "resume": str | bool,
    "overwrite": bool,
    "allow_changes": bool,
}
_NOW = ("resume", "overwrite", "allow_changes")  # say what to do with what is there: taken from a file, not written
_SECTIONS = ("task", *SOURCES, "reading", "hyperparameters", "run")
_MEMORY = "in memory"  # the key in the place of data that have no name


class BuiltIn(dict):
    """The built-in sample of a task, as a source: a run on it names no data."""


class InMemory(str):
    """What is said in the place of a source that a file cannot name."""


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
    """

    task: str = ""
    data: Any = None
    validation: Any = None
    reading: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Writes the file into a model's folder, in one step. Raises DlkitError where that cannot be."""
        try:
            write_file(folder / NAME, lambda file: file.write(self.text().encode()))
        except OSError as error:
            raise unwritable(folder / NAME, error) from error

    def text(self) -> str:
        """The file: addresses without users, passwords and queries, and no value that only Python has."""
        import yaml

        run = {name: value for name, value in self.run.items() if name not in _NOW}
        objects = [name for name, value in run.items() if not isinstance(value, (str, int, float, type(None)))]
        notes = [f"# Written by dlkit {__version__}: the options of the run that made this model."]
        notes += ["# dlkit train --config FILE --save FOLDER repeats it; flags beside it count more."]
        notes += [f"# Not written, as they are objects of Python: {', '.join(objects)}."] if objects else []
        sections = {
            "task": self.task,
            "data": _written(self.data),
            "validation": _written(self.validation),
            "reading": {name: _plain(value) for name, value in self.reading.items()},
            "hyperparameters": {name: _plain(value) for name, value in self.hyperparameters.items()},
            "run": {name: value for name, value in run.items() if name not in objects},
        }
        return "\n".join([*notes, yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=100)])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def _written(source: Any) -> Any:
    """A source as a file names it: what has no name is said to be in memory."""
    if source is None or isinstance(source, BuiltIn):
        return None
    if isinstance(source, (str, os.PathLike)):
        return re.sub(r"^(\w[\w+.-]*://)(?:[^/@]*@)?([^?#]*).*", r"\1\2", os.fspath(source))
    if isinstance(source, list) and source and all(isinstance(part, (str, os.PathLike)) for part in source):
        return [_written(part) for part in source]
    return {_MEMORY: type(source).__name__}


def read_run_file(path: Path, task: str = "") -> RunFile:
    """The options in a file. Where it names no task, it is of `task`.

    Raises:
        DlkitError: the file cannot be read, a key is unknown, a value is of the wrong type, or it is of another task
            than `task`; names the line.
    """
    import yaml

    from dlkit.tasks import find_task

    if not path.is_file():
        raise DlkitError(f"there is no {str(path)!r}: looked at {path.absolute()}. Expected a file of options in YAML.")
    with foreign(path, "YAML", "Correct it.", error=DlkitError):
        try:
            root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise DlkitError(f"{path}, line {line}: not YAML ({error.problem}). Correct it.") from error
    entries = _entries(root, path, _SECTIONS)
    found = RunFile(task)
    if "task" in entries:
        found.task = _value(entries["task"], str, "task", path)
        if task and found.task != task:
            raise DlkitError(f"{_at(path, entries['task'])}: the options are of {found.task}, not of {task}.")
    if not found.task:
        raise DlkitError(f"{path} names no task. Add a line, as in `task: sentiment`, or name it in the command.")
    for name in SOURCES:
        if name in entries:
            setattr(found, name, _source(entries[name], name, path))
    kind = find_task(found.task)
    for name, types in (("reading", READING), ("hyperparameters", knob_types(kind)), ("run", RUN)):
        for key, node in _entries(entries.get(name), path, types).items():
            value = getattr(found, name)[key] = _value(node, types[key], key, path)
            if name == "hyperparameters":
                with _placed(_at(path, node)):
                    check_value(kind, key, value)
    return found


@contextlib.contextmanager
def _placed(place: str) -> Iterator[None]:
    try:
        yield
    except KnobError as error:
        raise DlkitError(f"{place}: {error}") from error


def _at(path: Path, node: Any) -> str:
    return f"{path}, line {node.start_mark.line + 1}"


def _entries(node: Any, path: Path, known: Any) -> dict[str, Any]:
    """The nodes of a mapping by key, each of which must be known and come once."""
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return {}
    if node.id != "mapping":
        raise DlkitError(f"{_at(path, node)}: expected `name: value` pairs, a line each. Received a {node.id}.")
    entries: dict[str, Any] = {}
    for key, value in node.value:
        name = str(key.value)
        if name not in known:
            raise DlkitError(f"{_at(path, key)}: there is no option {name!r} here. {nearest(name, known)}")
        if name in entries:
            raise DlkitError(f"{_at(path, key)}: the option {name!r} comes twice. Remove one.")
        entries[name] = value
    return entries


def _source(node: Any, name: str, path: Path) -> Any:
    value = _constructed(node, path)
    if isinstance(value, dict) and _MEMORY in value:
        return InMemory(f"{_at(path, node)}: the data were in memory, a {value[_MEMORY]}. Name some: --{name} DATA.")
    parts = value if isinstance(value, list) else [value]
    if value is not None and not all(isinstance(part, str) for part in parts):
        raise DlkitError(f"{_at(path, node)}: {name} must be a path, or a list of them. Received: {value!r}.")
    return value


def _value(node: Any, hint: Any, name: str, path: Path) -> Any:
    """A node's value as its option takes it. YAML has 1e-3 for a text, and a number for a text of digits."""
    value = given = _constructed(node, path)
    options = getattr(hint, "__args__", (hint,))
    if hint is str | bool:
        return value if isinstance(value, bool) else _value(node, str, name, path)
    if float in options and isinstance(value, str):
        value = float(value) if re.fullmatch(r"[-+]?[\d.]+e[-+]?\d+", value, re.IGNORECASE) else value
    if str in options and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = node.value  # as it is written
    if hint is dict and isinstance(value, dict):
        return {str(key): str(item) for key, item in value.items()}
    try:
        return coerce(value, hint, name)
    except KnobError:
        expected = "`name: value` pairs" if hint is dict else type_name(hint)
        raise DlkitError(f"{_at(path, node)}: {name} must be {expected}. Received: {given!r}.") from None


def _constructed(node: Any, path: Path) -> Any:
    import yaml

    with foreign(path, "YAML", "Correct it.", error=DlkitError):
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(node)
        finally:
            loader.dispose()
