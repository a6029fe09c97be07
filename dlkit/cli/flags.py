"""Flags for the hyperparameters of a task, and for the options of a run."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit.cli.config import add_config
from dlkit.cli.parser import DATA_GROUP, RUN_GROUP, TASK_GROUP, TRAINING_GROUP, Parser, split_default
from dlkit.errors import DlkitError
from dlkit.hparams import choices_of, format_choices, type_name
from dlkit.run_length import CHOSEN

if TYPE_CHECKING:
    from dlkit.task import Task


SOURCES = "a folder, a csv, tsv, json, jsonl, parquet or npz file, 'part-*.csv', https://..., or tfds:NAME"
_FILES = "Files are csv, tsv, json, jsonl, parquet or npz; a pattern such as 'part-*.csv' names several."
TRAINING_DATA_HELP = f"Training data: a folder, a file, a URL, or tfds:NAME. {_FILES} (default: built-in sample data)"
LABELED_DATA_HELP = f"Labeled data: a folder, a file, a URL, or tfds:NAME. {_FILES}"


def add_hparams(parser: Parser, task: type[Task], defaults: dict[str, Any] | None = None) -> None:
    """Add a flag for each hyperparameter of a task: its own, and those of training that all tasks share.

    Flags that are not given leave nothing in the namespace.
    """
    from dlkit.task import Task

    shared = {field.name for field in dataclasses.fields(Task)}
    hints, choices = typing.get_type_hints(task), choices_of(task)
    for field in dataclasses.fields(task):
        group = parser.group(TRAINING_GROUP if field.name in shared else TASK_GROUP)
        flag = f"--{field.name.replace('_', '-')}"
        default = (defaults or {}).get(field.name, field.default)
        names = format_choices(choices[field.name])
        choices_text = f" One of: {', '.join(names)}." if names else ""
        text, default_text = split_default(_name_flags(field.metadata["help"], [*hints, "minutes", "steps"]))
        if default not in ("", None):
            default_text = _format_default(default)
        help = f"{text}{choices_text} (default: {default_text or 'none'})".replace("%", "%%")
        if hints[field.name] in (bool, bool | None):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help)
            continue
        kind, metavar = _flag_type(hints[field.name])
        metavar = "NAME" if names else "FILE" if field.metadata["file"] else metavar
        args = [choice for choice in choices[field.name] if not choice.endswith(":")] or None
        group.add_argument(flag, type=kind, default=argparse.SUPPRESS, metavar=metavar, help=help).completed = args


def _format_default(default: Any) -> str:
    """Format a default as it is typed on the command line."""
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _name_flags(help: str, names: Iterable[str]) -> str:
    """Replace the options that a help text names in backticks by flags, and remove other backticks.

    Examples:
        >>> _name_flags("Used if `multi_label=True`; see `top_k` of `mlp`.", ["multi_label", "top_k"])
        'Used if --multi-label; see --top-k of mlp.'
    """

    def name_flag(found: re.Match[str]) -> str:
        name, equals, value = found[1].partition("=")
        if name not in names:
            return found[1]
        flag = f"--{name.replace('_', '-')}"
        return flag if not equals or value == "True" else f"{flag} {value.strip(chr(34))}"

    return re.sub(r"`([^`]*)`", name_flag, help)


def _flag_type(hint: Any) -> tuple[Callable[[str], Any], str]:
    """Return the function that parses the text of a flag, and the name of its value in the help.

    Of `float | None`, where None stands for no flag, float.
    """
    value_type = typing.get_args(hint)[0] if isinstance(hint, types.UnionType) else hint
    if typing.get_origin(value_type) is tuple:
        return functools.partial(_parse_list, typing.get_args(value_type)[0]), "A,B,C"
    kind = str if typing.get_origin(value_type) is typing.Literal else value_type
    return kind, {str: "TEXT", int: "INT", float: "FLOAT"}[kind]


def _parse_list(kind: type, text: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be {type_name(kind)}, or several separated by commas, received {text!r}"
        ) from None


def parsed_hparams(
    args: argparse.Namespace, task: type[Task], defaults: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the hyperparameters of parsed flags.

    Flags take precedence over those of the run that is resumed, of the model that training starts from, of --config,
    and of `defaults`, in this order.
    """
    hparams = {**(defaults or {}), **args.hyperparameters}
    if getattr(args, "init_from", None):
        from dlkit.model_folder import read_index

        resumes = args.resume and args.save and _holds_model(args.save)
        hparams = hparams if resumes else read_index(Path(args.init_from), task.task_name())["hparams"]
    if getattr(args, "resume", False) and args.save:
        from dlkit.model_folder import hparams_of_run

        if args.resume != "auto" or _holds_model(args.save):
            hparams = hparams_of_run(Path(args.save), task.task_name())
    if (getattr(args, "minutes", 0) or getattr(args, "steps", 0)) and not hasattr(args, "epochs"):
        hparams = {**hparams, "epochs": CHOSEN}  # the epochs of a recipe or of a model were not asked for
    flags = {field.name: getattr(args, field.name) for field in dataclasses.fields(task) if hasattr(args, field.name)}
    return {**hparams, **flags}


def _holds_model(folder: str) -> bool:
    from dlkit.model_folder import holds_model

    return holds_model(Path(folder))


def hparam_table(task: type) -> str:
    """Format a task's hyperparameters as a Markdown table."""
    choices = choices_of(task)
    rows = ["| option | default | description |", "|---|---|---|"]
    for field in dataclasses.fields(task):
        choices_text = ", ".join(f"`{choice}`" for choice in format_choices(choices[field.name]))
        choices_text = f" One of: {choices_text}." if choices_text else ""
        text, default = split_default(field.metadata["help"])
        default = default if field.default in ("", None) else f"`{field.default}`"
        rows.append(f"| `{field.name}` | {default} | {text}{choices_text} |")
    return "\n".join(rows)


_RUN_OPTIONS = (
    "minutes",
    "steps",
    "save",
    "resume",
    "overwrite",
    "strategy",
    "worker_timeout",
    "checkpoint_every",
    "max_checkpoints",
    "allow_changes",
    "nan_retries",
    "keep_examples",
    "init_from",
)


def add_run_options(parser: Parser, *, save: str | None = None) -> None:
    """Add a flag for each option of a run; see `Task.fit`."""
    group = parser.group(RUN_GROUP)
    default_text = " (default: %(default)s)" if save else " (default: not saved)"
    add_config(parser)
    group.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        metavar="M",
        help=(
            "Training time in minutes, instead of --epochs. Includes reading, validation and saving; the number of "
            "steps that fit is decided once and printed."
        ),
    )
    group.add_argument(
        "--steps",
        type=int,
        default=0,
        metavar="N",
        help="Number of training steps. Cannot be combined with --epochs or --minutes.",
    )
    group.add_argument(
        "--save",
        metavar="DIR",
        default=save,
        help=f"Model folder. It also holds the checkpoints of the run.{default_text}",
    )
    group.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        type=_parse_resume,
        metavar="MODE",
        help=(
            "Resume the interrupted run in --save. MODE can be `auto`: resume a run if there is one, otherwise start "
            "a new one."
        ),
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace an existing model in --save. It is kept until the new one is complete.",
    )
    group.add_argument(
        "--init-from",
        metavar="MODEL",
        help=(
            "Initialize from a saved model and continue training on this data. New labels are added, and options that "
            "are not given are taken from the model."
        ),
    )
    group.add_argument(
        "--strategy",
        default="auto",
        help=(
            "Distribution strategy: auto, one (one device), cores (each core of the CPU computes a part of a batch), "
            "cores:N, mirrored, mirrored:N (N devices), multiworker, tpu, or tpu:NAME. On a CPU, auto is one, or cores "
            "for tasks that train faster so. (default: %(default)s)"
        ),
    )
    group.add_argument(
        "--worker-timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="Seconds to wait for the other workers before training starts. (default: %(default)g)",
    )
    group.add_argument(
        "--checkpoint-every",
        metavar="STEPS|MINUTES",
        default="0",
        help=(
            "Checkpoint interval in steps, such as 200, or in minutes, such as 10m. Default: at the end of an epoch, "
            "but only so often that checkpoints take at most 3%% of the training time."
        ),
    )
    group.add_argument(
        "--max-checkpoints",
        type=int,
        default=2,
        metavar="N",
        help="Number of checkpoints to keep. (default: %(default)s)",
    )
    group.add_argument(
        "--allow-changes", action="store_true", help="Allow resuming with different hyperparameters or data."
    )
    group.add_argument(
        "--no-examples",
        action="store_false",
        dest="keep_examples",
        help=(
            "Do not save example rows of the training data with the model. By default, up to 8 rows are saved and "
            "included in exports."
        ),
    )
    group.add_argument(
        "--nan-retries",
        type=int,
        default=0,
        metavar="N",
        help=(
            "Number of retries from the last good checkpoint, at half the learning rate, when the loss is NaN or "
            "infinite. (default: %(default)s)"
        ),
    )


def _parse_resume(text: str) -> str:
    if text != "auto":
        raise argparse.ArgumentTypeError(f"takes `auto` or no value, received {text!r}")
    return text


def run_options(args: argparse.Namespace, task: Task) -> dict[str, Any]:
    """Return the options of a run among parsed flags, as `Task.fit` takes them.

    The process ends with the run, so that its number of threads can be that which suits the task.
    """
    options = {name: getattr(args, name) for name in _RUN_OPTIONS}
    if options["strategy"] == "auto" and task.prefers_cores:
        options["strategy"] = "auto:cores"
    return options


def add_read_options(parser: Parser) -> None:
    """Add a flag for each option for reading data; see `dlkit.data.read_options.ReadOptions`."""
    group = parser.group(DATA_GROUP)
    group.add_argument("--data-dir", metavar="DIR", help="TensorFlow Datasets directory (data_dir of tfds.load).")
    group.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help=(
            "Column to use as NAME, as in text=review. With label=A,B,C, each label has its own column of 0s and 1s. "
            "Can be repeated."
        ),
    )
    group.add_argument("--column-names", metavar="A,B,C", help="Column names of a CSV or TSV file without a header.")
    group.add_argument(
        "--delimiter",
        default="",
        metavar="CHARACTER",
        help="Delimiter of a CSV or TSV file: one character, or tab, comma, semicolon, space or pipe.",
    )
    group.add_argument(
        "--quotes",
        action=argparse.BooleanOptionalAction,
        help=(
            "Whether cells can be quoted (RFC 4180). Default: yes for CSV; for TSV, only if all quotes are well formed."
        ),
    )
    group.add_argument(
        "--allow-outside",
        action="store_true",
        help="Allow tables and annotations to refer to files outside the data folder.",
    )
    group.add_argument(
        "--strict",
        action="store_true",
        help="Raise an error for an invalid record. By default, it is skipped and reported.",
    )


def parse_pairs(texts: Sequence[str], flag: str, form: str) -> list[tuple[str, str]]:
    """Parse the values NAME=VALUE of a repeatable flag. Raises DlkitError, which names the form."""
    pairs = [text.partition("=") for text in texts]
    for name, equals, other in pairs:
        if not (name and equals and other):
            raise DlkitError(f"{flag} must be {form}. Received: {name}{equals}{other}.")
    return [(name, other) for name, _, other in pairs]


def read_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options for reading data among parsed flags, as `Task.fit` takes them. Raises DlkitError."""
    return {
        "columns": dict(parse_pairs(args.column, "--column", "NAME=COLUMN, as in text=review")),
        "column_names": [name.strip() for name in args.column_names.split(",")] if args.column_names else [],
        **{name: getattr(args, name) for name in ("data_dir", "delimiter", "quotes", "strict", "allow_outside")},
    }
