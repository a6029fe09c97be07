"""What every recipe in `apps/` does: train, evaluate, plot, save and export a model, and show how to serve it."""

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
    TRAINING_DATA_HELP,
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
    """Train, evaluate and export a model for a task, and exit with the exit code.

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
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        refuse_unknown(unknown, flags_of(parser))
    task = task_class(**parsed_hparams(args, task_class, hparams))
    check_early(args, task)
    from dlkit.cli.show import show_export

    sources = {"train": args.data, "validation": args.validation, "test": args.test}
    note = ""
    if args.data and not args.test:
        sources["train"], sources["test"] = dlkit.split(args.data, task, **read_options(args))
        note = "part of --data is held out as test data (--test takes separate data)"
    if not args.data:
        sources = {part: SampleData(rows) for part, rows in task.samples().items()}
        note = f"the built-in sample data (--data takes your own; {Path(sys.argv[0]).name} --help)"
    if note and not args.quiet:
        print(f"data: {note}")
    _train(task, sources, args)
    if not task.is_chief:
        return  # the first worker speaks and writes for all
    _test(task, sources["test"], Path(args.export), read_options(args))
    show_export(task.export(args.export, examples=args.examples))


def _parser(task_name: str, hparams: dict[str, Any]) -> tuple[Parser, type]:
    task_class = find_task(task_name)
    program = Path(sys.argv[0]).name
    parser = Parser(
        usage=f"python apps/{program} [--data DATA] [--test DATA] [options]",
        description=f"{summary(task_class)} Trains, evaluates, exports and verifies a model.",
    )
    parser.shorten()
    for title in (TASK_GROUP, DATA_GROUP, TRAINING_GROUP, RUN_GROUP):  # in the order in which help shows them
        parser.group(title)
    add_hparams(parser, task_class, hparams)
    data, run = parser.group(DATA_GROUP), parser.group(RUN_GROUP)
    data.add_argument("--data", help=TRAINING_DATA_HELP)
    data.add_argument("--validation", metavar="DATA", help="Validation data. (default: see --validation-split)")
    data.add_argument("--test", metavar="DATA", help="Test data. (default: a part of --data)")
    add_read_options(parser)
    add_run_options(parser, save=f"models/{task_name}")
    run.add_argument(
        "--export",
        metavar="DIR",
        default=f"saved_models/{task_name}",
        help="Exports. Each is a numbered subfolder. (default: %(default)s)",
    )
    run.add_argument(
        "--examples",
        default="saved",
        metavar="FILE|saved|sample|synthetic",
        help="Example inputs of the export, as for dlkit export.",
    )
    parser.add_argument("--debug", action="store_true", help="Show the full traceback of an error.")
    parser.add_argument("--quiet", action="store_true", help="Print only results and errors.")
    return parser, task_class


def _train(task: Any, sources: dict[str, Any], args: argparse.Namespace) -> None:
    from dlkit.cli.show import show_history

    started = time.perf_counter()
    task.fit(
        sources["train"],
        sources.get("validation"),
        **read_options(args),
        **run_options(args, task),
        verbose=0 if args.quiet else "auto",
    )
    if task.is_chief:
        print(f"\ntrained in {time.perf_counter() - started:.0f} s: ", end="")
        show_history(task)


def _test(task: Any, test: Any, export: Path, options: dict[str, Any]) -> None:
    from dlkit.cli.show import show_metrics

    print("\nmetrics of the served predictions for the test data:")
    rows = task.read(test, **options).table
    show_metrics(task.evaluate(rows))
    picture = export.with_suffix(".png")
    if task.draw(rows, picture):
        print(f"\nplot of predictions: {picture}")
