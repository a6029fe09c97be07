"""Options from a file, `dlkit train --config FILE`: unknown options and wrong types are refused with their line."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dlkit.cli.parser import RUN_GROUP, Parser
from dlkit.errors import DlkitError, HparamError
from dlkit.hparams import check_value, coerce, hparam_types, nearest, type_name
from dlkit.reading_errors import as_data_error
from dlkit.run_file import IN_MEMORY, RunFile
from dlkit.run_length import check_length

SOURCES = ("data", "validation")
READ_OPTION_TYPES: dict[str, Any] = {
    "columns": dict,
    "column_names": tuple[str, ...],
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
    "max_checkpoints": int,
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
    """Stands for a source that a file cannot name; it is the message to show."""


def read_run_file(path: Path, task: str = "") -> RunFile:
    """Read the options in a file. If it names no task, it is for `task`.

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
    run_file = RunFile(task)
    if "task" in entries:
        run_file.task = _value(entries["task"], str, "task", path)
        if task and run_file.task != task:
            raise DlkitError(f"{_location(path, entries['task'])}: the options are of {run_file.task}, not of {task}.")
    if not run_file.task:
        raise DlkitError(
            f"{path} names no task. Add a line such as `task: sentiment`, or name the task in the command."
        )
    for name in SOURCES:
        if name in entries:
            setattr(run_file, name, _source(entries[name], name, path))
    task_class = find_task(run_file.task)
    for name, types in (
        ("reading", READ_OPTION_TYPES),
        ("hyperparameters", hparam_types(task_class)),
        ("run", RUN_OPTION_TYPES),
    ):
        for key, node in _entries(entries.get(name), path, types).items():
            value = getattr(run_file, name)[key] = _value(node, types[key], key, path)
            if name == "hyperparameters":
                with _with_location(_location(path, node)):
                    check_value(task_class, key, value)
    with _with_location(str(path)):
        run = run_file.run
        check_length(run_file.hyperparameters.get("epochs", 0), run.get("minutes", 0), run.get("steps", 0))
    return run_file


@contextlib.contextmanager
def _with_location(location: str) -> Iterator[None]:
    try:
        yield
    except HparamError as error:
        raise DlkitError(f"{location}: {error}") from error


def _location(path: Path, node: Any) -> str:
    return f"{path}, line {node.start_mark.line + 1}"


def _entries(node: Any, path: Path, known: Any) -> dict[str, Any]:
    """Return the nodes of a mapping by key; each key must be known and unique."""
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return {}
    if node.id != "mapping":
        raise DlkitError(f"{_location(path, node)}: expected `name: value` pairs, a line each. Received a {node.id}.")
    entries: dict[str, Any] = {}
    for key, value in node.value:
        name = str(key.value)
        if name not in known:
            raise DlkitError(f"{_location(path, key)}: unknown option {name!r}. {nearest(name, known)}")
        if name in entries:
            raise DlkitError(f"{_location(path, key)}: the option {name!r} is given twice. Remove one.")
        entries[name] = value
    return entries


def _source(node: Any, name: str, path: Path) -> Any:
    value = _constructed(node, path)
    if isinstance(value, dict) and IN_MEMORY in value:
        return InMemorySource(
            f"{_location(path, node)}: the data was in memory ({value[IN_MEMORY]}) and was not saved. Name a source: "
            f"--{name} DATA."
        )
    parts = value if isinstance(value, list) else [value]
    if value is not None and not all(isinstance(part, str) for part in parts):
        raise DlkitError(f"{_location(path, node)}: {name} must be a path, or a list of them. Received: {value!r}.")
    return value


def _value(node: Any, hint: Any, name: str, path: Path) -> Any:
    """Convert a node to the type of its option. YAML reads 1e-3 as a string, and a string of digits as a number."""
    value = value_given = _constructed(node, path)
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
        raise DlkitError(f"{_location(path, node)}: {name} must be {expected}. Received: {value_given!r}.") from None


def _constructed(node: Any, path: Path) -> Any:
    import yaml

    with as_data_error(path, "YAML", "Correct it.", error=DlkitError):
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(node)
        finally:
            loader.dispose()


def add_config(parser: Parser) -> None:
    """Add the flag for a file of options; `config_path` and `apply_config` process it."""
    parser.group(RUN_GROUP).add_argument(
        "--config",
        metavar="FILE",
        help="YAML file of options, as in a model's config.yaml. Flags take precedence.",
    )


def config_path(argv: Sequence[str]) -> Path | None:
    """Return the file that --config names on a command line, the last one if repeated; None without the flag."""
    path = None
    for word, following in zip(argv, [*argv, ""][1:], strict=True):
        flag, equals, rest = word.partition("=")
        if flag == "--config":
            path = Path(rest if equals else following)
    return path


def apply_config(parser: argparse.ArgumentParser, config: RunFile | None) -> None:
    """Use the options of a file as the defaults of the flags of a parser."""
    if config is None:
        parser.set_defaults(hyperparameters={})
        return
    options = {**config.reading, **config.run, "data": config.data, "validation": config.validation}
    columns = options.pop("columns", None) or {}
    options["column"] = [f"{name}={theirs}" for name, theirs in columns.items()]
    options["column_names"] = ",".join(options.pop("column_names", ()) or ())
    destinations = {action.dest for action in parser._actions}
    chosen = {name: value for name, value in options.items() if name in destinations}
    parser.set_defaults(hyperparameters=config.hyperparameters, **chosen)
