"""Options from a file, `dlkit train --config FILE`: what is unknown, or of a wrong type, is refused by its line."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dlkit.cli.parser import RUN_OPTION_TYPES as RUN_GROUP
from dlkit.cli.parser import Parser
from dlkit.errors import DlkitError, HparamError
from dlkit.hparams import check_value, coerce, hparam_types, nearest, type_name
from dlkit.reading_errors import as_data_error
from dlkit.run_file import IN_MEMORY, RunFile
from dlkit.run_length import check_length

SOURCES = ("data", "validation")
READ_OPTION_TYPES: dict[str, Any] = {
    "columns": dict,
    "header": tuple[str, ...],
    "data_dir": str | None,
    "delimiter": str,
    "quotes": bool | None,
    "strict": bool,
    "allow_outside": bool,
    "max_rows": int,
}
RUN_OPTION_TYPES: dict[str, Any] = {
    "minutes": float,
    "steps": int,
    "save": str | None,
    "strategy": str,
    "worker_timeout": float,
    "checkpoint_every": str,
    "keep": int,
    "nan_retries": int,
    "keep_examples": bool,
    "tensorboard": str | None,
    "init_from": str | None,
    "resume": str | bool,
    "overwrite": bool,
    "allow_changes": bool,
}
_SECTIONS = ("task", *SOURCES, "reading", "hyperparameters", "run")


class InMemorySource(str):
    """What is said in the place of a source that a file cannot name."""


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
    with as_data_error(path, "YAML", "Correct it.", error=DlkitError):
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
        raise DlkitError(
            f"{path} names no task. Add a line such as `task: sentiment`, or name the task in the command."
        )
    for name in SOURCES:
        if name in entries:
            setattr(found, name, _source(entries[name], name, path))
    kind = find_task(found.task)
    for name, types in (
        ("reading", READ_OPTION_TYPES),
        ("hyperparameters", hparam_types(kind)),
        ("run", RUN_OPTION_TYPES),
    ):
        for key, node in _entries(entries.get(name), path, types).items():
            value = getattr(found, name)[key] = _value(node, types[key], key, path)
            if name == "hyperparameters":
                with _placed(_at(path, node)):
                    check_value(kind, key, value)
    with _placed(str(path)):
        run = found.run
        check_length(found.hyperparameters.get("epochs", 0), run.get("minutes", 0), run.get("steps", 0))
    return found


@contextlib.contextmanager
def _placed(place: str) -> Iterator[None]:
    try:
        yield
    except HparamError as error:
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
            raise DlkitError(f"{_at(path, key)}: unknown option {name!r}. {nearest(name, known)}")
        if name in entries:
            raise DlkitError(f"{_at(path, key)}: the option {name!r} is given twice. Remove one.")
        entries[name] = value
    return entries


def _source(node: Any, name: str, path: Path) -> Any:
    value = _constructed(node, path)
    if isinstance(value, dict) and IN_MEMORY in value:
        return InMemorySource(
            f"{_at(path, node)}: the data was in memory ({value[IN_MEMORY]}) and was not saved. Name a source: "
            f"--{name} DATA."
        )
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
    except HparamError:
        expected = "`name: value` pairs" if hint is dict else type_name(hint)
        raise DlkitError(f"{_at(path, node)}: {name} must be {expected}. Received: {given!r}.") from None


def _constructed(node: Any, path: Path) -> Any:
    import yaml

    with as_data_error(path, "YAML", "Correct it.", error=DlkitError):
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(node)
        finally:
            loader.dispose()


def add_config(parser: Parser) -> None:
    """Adds the flag of a file of options, which `config_path` and `apply_config` bring in."""
    parser.group(RUN_GROUP).add_argument(
        "--config",
        metavar="FILE",
        help=(
            "YAML file of options, such as the config.yaml saved with every model; flags on the command line take "
            "precedence."
        ),
    )


def config_path(argv: Sequence[str]) -> Path | None:
    """The file that --config names in a command line; the last one, as for argparse. None without."""
    path = None
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        flag, equals, rest = word.partition("=")
        if flag == "--config":
            path = Path(rest if equals else following)
    return path


def apply_config(parser: argparse.ArgumentParser, config: RunFile | None) -> None:
    """Makes the options of a file the defaults of the flags that the parser has."""
    if config is None:
        parser.set_defaults(hyperparameters={})
        return
    options = {**config.reading, **config.run, "data": config.data, "validation": config.validation}
    columns = options.pop("columns", None) or {}
    options["column"] = [f"{name}={theirs}" for name, theirs in columns.items()]
    options["columns"] = ",".join(options.pop("header", ()))
    there = {action.dest for action in parser._actions}
    chosen = {name: value for name, value in options.items() if name in there}
    parser.set_defaults(hyperparameters=config.hyperparameters, **chosen)
