"""Flags from a task's knobs, and those of a run: where it trains, and how it is kept from being lost."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit.cli.config import add_config
from dlkit.cli.parser import DATA, OWN, RUN, TRAINING, Parser
from dlkit.errors import DlkitError
from dlkit.knobs import choices_of, type_name

if TYPE_CHECKING:
    from dlkit.task import Task


SOURCES = "a folder, a csv, tsv, jsonl, parquet or npz file, 'part-*.csv', https://..., or tfds:NAME"


def add_knobs(parser: Parser, task: type[Task], defaults: dict[str, Any] | None = None) -> None:
    """Adds a flag for each hyperparameter of a task: its own, and those of training, which all tasks have.

    Flags that are not given leave nothing in the namespace.
    """
    from dlkit.task import Task

    shared = {field.name for field in dataclasses.fields(Task)}
    hints, choices = typing.get_type_hints(task), choices_of(task)
    for field in dataclasses.fields(task):
        group = parser.group(TRAINING if field.name in shared else OWN)
        flag = f"--{field.name.replace('_', '-')}"
        default = (defaults or {}).get(field.name, field.default)
        shown = "" if default in ("", None) else f" (default: {_typed(default)})"
        listed = f" One of: {', '.join(choices[field.name])}." if choices[field.name] else ""
        help = (field.metadata["help"] + listed + shown).replace("%", "%%")
        if hints[field.name] is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help)
            continue
        kind, metavar = _kind(hints[field.name])
        given = [choice for choice in choices[field.name] if not choice.endswith(":")] or None
        group.add_argument(flag, type=kind, default=argparse.SUPPRESS, metavar=metavar, help=help).completed = given


def _typed(default: Any) -> str:
    """A default as it is typed."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _kind(hint: Any) -> tuple[Callable[[str], Any], str]:
    """What makes a value of a flag's text, by the type of its value, and what help calls the text.

    Of `float | None`, where None stands for no flag, float.
    """
    stated = typing.get_args(hint)[0] if isinstance(hint, types.UnionType) else hint
    if typing.get_origin(stated) is tuple:
        return functools.partial(_several, typing.get_args(stated)[0]), "A,B,C"
    kind = str if typing.get_origin(stated) is typing.Literal else stated
    return kind, kind.__name__.upper()


def _several(kind: type, text: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be {type_name(kind)}, or several joined by commas, received {text!r}"
        ) from None


def chosen_knobs(given: argparse.Namespace, task: type[Task], defaults: dict[str, Any] | None = None) -> dict[str, Any]:
    """The hyperparameters among parsed flags, over those of the run that is resumed, of the model that it goes on from,
    of --config, or of `defaults`."""
    knobs = {**(defaults or {}), **given.hyperparameters}
    if getattr(given, "init_from", None):
        from dlkit.model_folder import read_index

        resumed = given.resume and given.save and _holds(given.save)
        knobs = knobs if resumed else read_index(Path(given.init_from), task.task_name())["knobs"]
    if getattr(given, "resume", False) and given.save:
        from dlkit.model_folder import knobs_of_run

        if given.resume != "auto" or _holds(given.save):
            knobs = knobs_of_run(Path(given.save), task.task_name())
    flags = {field.name: getattr(given, field.name) for field in dataclasses.fields(task) if hasattr(given, field.name)}
    return {**knobs, **flags}


def _holds(folder: str) -> bool:
    from dlkit.model_folder import holds_model

    return holds_model(Path(folder))


def knob_table(task: type) -> str:
    """A task's knobs as a Markdown table."""
    choices = choices_of(task)
    rows = ["| option | default | what it does |", "|---|---|---|"]
    for field in dataclasses.fields(task):
        listed = ", ".join(f"`{choice}`" for choice in choices[field.name])
        listed = f" One of: {listed}." if listed else ""
        default = "" if field.default in ("", None) else f"`{field.default}`"
        rows.append(f"| `{field.name}` | {default} | {field.metadata['help']}{listed} |")
    return "\n".join(rows)


_NAMES = (
    "save",
    "resume",
    "overwrite",
    "strategy",
    "worker_timeout",
    "checkpoint_every",
    "keep",
    "allow_changes",
    "nan_retries",
    "keep_examples",
    "init_from",
)


def add_run_options(parser: Parser, *, save: str | None = None) -> None:
    """Adds a flag for each option; `Task.fit` says more of them."""
    group = parser.group(RUN)
    shown = " (default: %(default)s)" if save else ""
    add_config(parser)
    group.add_argument("--save", metavar="DIR", default=save, help=f"folder for the model and its checkpoints{shown}")
    group.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        type=_auto,
        metavar="auto",
        help="go on with the stopped run in --save; `--resume auto`: where there is one, else start",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace the model in --save, once the new one is finished"
    )
    group.add_argument(
        "--init-from",
        metavar="MODEL",
        help="a saved model whose training goes on with these data; new labels are added, and flags that are not given "
        "are the model's",
    )
    group.add_argument(
        "--strategy",
        default="auto",
        help="where to train: auto, one, mirrored, mirrored:N, multiworker, tpu, tpu:NAME (default: %(default)s)",
    )
    group.add_argument(
        "--worker-timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long to wait for other workers that do not answer, before training (default: %(default)g)",
    )
    group.add_argument(
        "--checkpoint-every",
        metavar="STEPS|MINUTES",
        default="0",
        help="200 for steps, 10m for minutes; default: at the ends of epochs, for at most 3%% of the time",
    )
    group.add_argument("--keep", type=int, default=2, metavar="N", help="checkpoints to keep (default: %(default)s)")
    group.add_argument("--allow-changes", action="store_true", help="resume with other hyperparameters or data")
    group.add_argument(
        "--no-examples",
        action="store_false",
        dest="keep_examples",
        help="keep no rows of the training data with the model, which its exports would show",
    )
    group.add_argument(
        "--nan-retries",
        type=int,
        default=0,
        metavar="N",
        help="times to go back to the last good checkpoint, with half the learning rate, on a NaN loss",
    )


def _auto(text: str) -> str:
    if text != "auto":
        raise argparse.ArgumentTypeError(f"takes `auto` or nothing, received {text!r}")
    return text


def run_options(given: argparse.Namespace) -> dict[str, Any]:
    """The options among parsed flags, as `Task.fit` takes them."""
    return {name: getattr(given, name) for name in _NAMES}


def add_read_options(parser: Parser) -> None:
    """Adds a flag for each way in which data may be read; `dlkit.data.reading.Reading` says more of them."""
    group = parser.group(DATA)
    group.add_argument("--data-dir", metavar="DIR", help="where TensorFlow Datasets lie")
    group.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=THEIRS",
        help="the data's own name of a column; label=A,B,C for a column of 0 and 1 for each of several labels",
    )
    group.add_argument("--columns", metavar="A,B,C", help="the columns of a csv or tsv whose first line is a row")
    group.add_argument(
        "--delimiter",
        default="",
        metavar="CHARACTER",
        help="what separates the cells of a text table: tab, semicolon, ...",
    )
    group.add_argument(
        "--quotes",
        action=argparse.BooleanOptionalAction,
        help="cells of a text table may stand in quotes; default: yes, in a tsv where all of them are well formed",
    )
    group.add_argument(
        "--allow-outside",
        action="store_true",
        help="files that a table or an annotation names may lie outside of the data's folder",
    )
    group.add_argument("--strict", action="store_true", help="a bad record is an error, and not left out")


def pairs_of(texts: Sequence[str], flag: str, form: str) -> list[tuple[str, str]]:
    """What a flag that may come several times joins by =. Raises DlkitError, which names its form."""
    pairs = [text.partition("=") for text in texts]
    for name, equals, other in pairs:
        if not (name and equals and other):
            raise DlkitError(f"{flag} must be {form}. Received: {name}{equals}{other}.")
    return [(name, other) for name, _, other in pairs]


def read_options(given: argparse.Namespace) -> dict[str, Any]:
    """The options among parsed flags, as `Task.fit` takes them. Raises DlkitError."""
    return {
        "columns": dict(pairs_of(given.column, "--column", "NAME=THEIRS, as in text=review")),
        "header": [name.strip() for name in given.columns.split(",")] if given.columns else [],
        **{name: getattr(given, name) for name in ("data_dir", "delimiter", "quotes", "strict", "allow_outside")},
    }
