"""What every recipe in `apps/` does: train, score, show, save, export, and tell how to serve."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import dlkit
from dlkit.cli.config import apply_config, config_path, read_run_file
from dlkit.cli.early_checks import check_early
from dlkit.cli.flags import (
    SOURCES,
    add_hparams,
    add_read_options,
    add_run_options,
    parsed_hparams,
    read_options,
    run_options,
)
from dlkit.cli.main import run_guarded
from dlkit.cli.parser import DATA_GROUP, RUN_GROUP, TASK_GROUP, TRAINING_GROUP, Parser, flags_of, refuse_unknown
from dlkit.hparams import summary
from dlkit.run_file import SampleData
from dlkit.tasks import find_task


def run_recipe(task_name: str, hparams: dict[str, Any] | None = None, argv: list[str] | None = None) -> None:
    """Runs a task from data to a verified servable, and exits with its code.

    Args:
        task_name: which task.
        hparams: the recipe's own defaults.
        argv: the command line, by default the process's.
    """
    argv = sys.argv[1:] if argv is None else argv
    sys.exit(
        run_guarded(lambda: _run(task_name, hparams or {}, argv), debug="--debug" in argv, quiet="--quiet" in argv)
    )


def _run(task_name: str, hparams: dict[str, Any], argv: list[str]) -> None:
    parser, task_class = _parser(task_name, hparams)
    path = config_path(argv)
    apply_config(parser, read_run_file(path, task_name) if path else None)
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        refuse_unknown(unknown, flags_of(parser))
    task = task_class(**parsed_hparams(given, task_class, hparams))
    check_early(given, task)
    from dlkit.cli.show import show_export

    sources = {"train": given.data, "validation": given.validation, "test": given.test}
    note = ""
    if given.data and not given.test:
        sources["train"], sources["test"] = dlkit.split(given.data, task, **read_options(given))
        note = "part of --data is held out as test data (--test takes separate data)"
    if not given.data:
        sources = {part: SampleData(rows) for part, rows in task.samples().items()}
        note = f"the built-in sample data (--data takes your own; {Path(sys.argv[0]).name} --help)"
    if note and not given.quiet:
        print(f"data: {note}")
    _train(task, sources, given)
    if not task.is_chief:
        return  # the first worker speaks and writes for all
    _test(task, sources["test"], Path(given.export), read_options(given))
    show_export(task.export(given.export, examples=given.examples))


def _parser(task_name: str, hparams: dict[str, Any]) -> tuple[Parser, type]:
    task_class = find_task(task_name)
    program = Path(sys.argv[0]).name
    parser = Parser(
        usage=f"python apps/{program} [--data DATA --test DATA] [options]",
        description=f"{summary(task_class)} Trains, evaluates, exports and verifies a model.",
    )
    parser.shorten()
    for title in (TASK_GROUP, DATA_GROUP, TRAINING_GROUP, RUN_GROUP):  # in the order in which help shows them
        parser.group(title)
    add_hparams(parser, task_class, hparams)
    data, run = parser.group(DATA_GROUP), parser.group(RUN_GROUP)
    data.add_argument("--data", help=f"{SOURCES}; default: the built-in sample data")
    data.add_argument(
        "--validation", metavar="DATA", help="Validation data; by default a fraction of --data is held out."
    )
    data.add_argument("--test", metavar="DATA", help="Test data; by default a part of --data is held out.")
    add_read_options(parser)
    add_run_options(parser, save=f"models/{task_name}")
    run.add_argument(
        "--export",
        metavar="DIR",
        default=f"saved_models/{task_name}",
        help="Folder of the exported model (default: %(default)s)",
    )
    run.add_argument(
        "--examples",
        default="kept",
        metavar="FILE|sample|none",
        help="Example inputs of the export, as for dlkit export.",
    )
    parser.add_argument("--debug", action="store_true", help="Show the full traceback of an error.")
    parser.add_argument("--quiet", action="store_true", help="Print only results and errors.")
    return parser, task_class


def _train(task: Any, sources: dict[str, Any], given: argparse.Namespace) -> None:
    from dlkit.cli.show import show_history

    begun = time.perf_counter()
    task.fit(
        sources["train"],
        sources.get("validation"),
        **read_options(given),
        **run_options(given),
        verbose=0 if given.quiet else "auto",
    )
    if task.is_chief:
        print(f"\ntrained in {time.perf_counter() - begun:.0f} s: ", end="")
        show_history(task)


def _test(task: Any, test: Any, export: Path, options: dict[str, Any]) -> None:
    from dlkit.cli.show import show_metrics

    print("\non the test data, with the predictions as they are served:")
    rows = task.read(test, **options).table
    show_metrics(task.evaluate(rows))
    picture = export.with_suffix(".png")
    if task.draw(rows, picture):
        print(f"\nplot of predictions: {picture}")
