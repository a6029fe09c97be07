"""The command line. Flags, help and checks come from the fields of the tasks; TensorFlow is imported when needed."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit.cli.completion import SHELLS, completion_script
from dlkit.cli.config import add_config, apply_config, config_path, read_run_file
from dlkit.cli.early_checks import check_early
from dlkit.cli.flags import (
    LABELED_DATA_HELP,
    SOURCES,
    TRAINING_DATA_HELP,
    add_hparams,
    add_read_options,
    add_run_options,
    parse_pairs,
    parsed_hparams,
    read_options,
    run_options,
)
from dlkit.cli.generate import LABEL, add_generate_flags, generate_files
from dlkit.cli.parser import DATA_GROUP, RUN_GROUP, TASK_GROUP, TRAINING_GROUP, Parser, flags_of, refuse_unknown
from dlkit.errors import INTERRUPTED, PREEMPTED, DlkitError, Preempted
from dlkit.hparams import summary
from dlkit.options import naming_flags
from dlkit.reading_errors import as_data_error
from dlkit.version import __version__

if TYPE_CHECKING:
    from dlkit.run_file import RunFile

_PURPOSES = {"train": "Train a model for", "find-lr": "Suggest a learning rate for", "check": "Check data for"}
TASK_COMMANDS = tuple(_PURPOSES)  # take a task, and the options of its hyperparameters


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 done; 2 something the user can cure; 75 another worker was lost, to be started again; 130
        interrupted. A run that SIGTERM stopped ends with 143.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_guarded(lambda: _run(argv), debug="--debug" in argv, quiet="--quiet" in argv)


def run_guarded(work: Callable[[], Any], *, debug: bool, quiet: bool = False) -> int:
    """Run `work`; an error of dlkit becomes one line on stderr and its exit code, with its traceback if `debug`.

    Messages name flags. If `quiet`, nothing else goes to stderr.
    """
    try:
        with naming_flags(), _silence_stderr() if quiet else contextlib.nullcontext():
            work()
    except DlkitError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Preempted as stop:
        print(f"stopped by SIGTERM after step {stop.step}, which is saved. Continue with --resume.", file=sys.stderr)
        return PREEMPTED
    except KeyboardInterrupt:
        print("interrupted. Continue a run that has --save with --resume.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `dlkit tasks | head`
        sys.stderr.close()
        return 1
    return 0


@contextlib.contextmanager
def _silence_stderr() -> Iterator[None]:
    with Path(os.devnull).open("w") as devnull, contextlib.redirect_stderr(devnull):
        yield


def _run(argv: list[str]) -> None:
    args = _parse(argv)
    args.work(args)


def _parse(argv: list[str]) -> argparse.Namespace:
    config = None
    if argv[:1] and argv[0] in TASK_COMMANDS and (path := config_path(argv)):
        config = read_run_file(path, _task_in(argv) or "")
        argv = argv if _task_in(argv) else [argv[0], config.task, *argv[1:]]
    parser = command_parser(argv, config)
    args, unknown = parser.parse_known_args(argv)
    if hasattr(args, "inputs") and not any(word.startswith("-") for word in unknown):
        args.inputs, unknown = [*args.inputs, *unknown], []  # argparse takes none of those behind a flag
    if unknown:
        if hasattr(args, "task"):
            from dlkit.tasks import find_task

            find_task(args.task)  # a misspelled task makes all its options unknown
        refuse_unknown(unknown, flags_of(parser, argv[0]))
    return args


def _task_in(argv: Sequence[str]) -> str | None:
    """Return the task that a command names: its first word, or else the first task name that is not the value of a
    flag.
    """
    from dlkit.tasks import task_names

    if argv[1:2] and not argv[1].startswith("-"):
        return argv[1]
    after = [word for before, word in itertools.pairwise(argv[1:]) if not before.startswith("--")]
    named = after or argv[2:]
    return next((word for word in named if word in task_names()), None)


def command_parser(argv: Sequence[str], config: RunFile | None = None) -> Parser:
    """Build the parser of all commands, with the options of the task if `argv` names one."""
    shared = Parser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="Show the full traceback of an error.")
    shared.add_argument("--quiet", action="store_true", help="Print only results and errors.")
    parser = Parser(
        prog="dlkit",
        description=(
            "Train, evaluate and export deep learning models that take raw input, with preprocessing inside the "
            "exported graph."
        ),
        epilog="Run `dlkit COMMAND --help` for the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"dlkit {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, help: str, work: Any) -> Parser:
        sub = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.", parents=[shared])
        sub.set_defaults(work=work)
        return sub

    command("tasks", "list the tasks", _tasks)
    for name, help, work in (
        ("train", "train a model for a task", _train),
        ("find-lr", "suggest a learning rate and plot the loss", _find_lr),
        ("check", "check data without training: statistics, warnings and errors", _check),
    ):
        sub = command(name, help, work)
        _add_task(sub, argv, name)
        _add_training(sub, name)
        apply_config(sub, config)
    _add_launch(command("launch", "train with several worker processes on this machine", _launch))
    _add_evaluate(command("evaluate", "evaluate a model on labeled data, using the same graph as exports", _evaluate))
    _add_predict(command("predict", "predict for raw inputs", _predict))
    add_generate_flags(command("generate", "generate files, such as images, by label and seed", _generate))
    _add_export(command("export", "export a SavedModel for TensorFlow Serving and verify its predictions", _export))
    _add_verify(
        command(
            "verify", "verify an existing export: its operations, and its predictions for reference examples", _verify
        )
    )
    _add_server(
        command(
            "server-config", "write TensorFlow Serving configuration files and a Kubernetes manifest", _server_config
        )
    )
    info = command("info", "describe a saved model without loading it", _info)
    info.add_argument("model", metavar="MODEL", help="Folder of a saved model (not of an export).")
    info.add_argument("--json", action="store_true", help="Print the description as JSON.")
    completion = command("completion", "print a shell script that completes commands and options", _completion)
    completion.add_argument("shell", choices=SHELLS, help="Shell, as in: source <(dlkit completion bash)")
    return parser


def _add_task(parser: Parser, argv: Sequence[str], command: str) -> None:
    from dlkit.tasks import find_task, task_names

    for title in (TASK_GROUP, DATA_GROUP, TRAINING_GROUP, RUN_GROUP):  # in the order in which help shows them
        parser.group(title)
    parser.shorten()
    parser.usage = f"dlkit {command} TASK [--data DATA] [options]"
    parser.add_argument("task", metavar="TASK", help=f"One of: {', '.join(task_names())}.")
    name = _task_in(argv) if argv[:1] == [command] else None
    if name in task_names():
        task = find_task(name)
        parser.usage = f"dlkit {command} {name} [--data DATA] [options]"
        text = summary(task)
        parser.description = f"{parser.description} {task.__name__} {text[0].lower()}{text[1:]}"
        add_hparams(parser, task)


def _add_training(parser: Parser, name: str) -> None:
    _add_data_flag(parser, required=False)
    run = parser.group(RUN_GROUP)
    if name != "train":
        add_config(parser)
    if name == "find-lr":
        run.add_argument(
            "--plot",
            metavar="FILE",
            default="learning_rate.png",
            help="Image file for the plot. (default: %(default)s)",
        )
        return
    help = "Validation data. (default: see --validation-split)"
    parser.group(DATA_GROUP).add_argument("--validation", metavar="DATA", help=help)
    if name == "check":
        run.add_argument("--json", action="store_true", help="Print the report as JSON.")
        return
    add_run_options(parser)
    run.add_argument("--tensorboard", metavar="DIR", help="Folder for TensorBoard logs.")


def _add_launch(parser: argparse.ArgumentParser) -> None:
    from dlkit.cli.launch import GRACE_SECONDS

    parser.usage = "dlkit launch --workers N [--restarts K] [--grace SECONDS] [--pin] -- train TASK [options]"
    parser.epilog = "Example: dlkit launch --workers 2 --restarts 3 -- train sentiment --data reviews.csv --save model"
    parser.add_argument(
        "--workers", type=int, required=True, metavar="N", help="Number of worker processes, at least 1."
    )
    parser.add_argument(
        "--restarts",
        type=int,
        default=0,
        metavar="K",
        help="Maximum number of restarts from the last checkpoint after a crash. (default: %(default)s)",
    )
    parser.add_argument(
        "--grace", type=float, default=GRACE_SECONDS, metavar="SECONDS",
        help=(
            "Seconds to wait for the other workers to exit after one has failed, before they are terminated. (default: "
            "%(default)g)"
        ),
    )  # fmt: skip
    parser.add_argument("--pin", action="store_true", help="Pin each worker to its own share of the CPU cores.")
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- train TASK ...",
        help="dlkit command that each worker runs; only train is supported.",
    )


def _add_evaluate(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="Folder of a saved model.")
    _add_data_flag(parser, required=True)
    parser.add_argument(
        "--label-map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help=(
            "Map the label OLD in the data to the model's label NEW; '*=NEW' maps all labels that the model does not "
            "know. Can be repeated."
        ),
    )
    parser.add_argument(
        "--predictions",
        metavar="FILE",
        help=(
            "Write each row with its true value, prediction and per-row metrics to a new .csv, .jsonl or .parquet "
            "file; question answering also accepts .json (SQuAD format)."
        ),
    )
    parser.add_argument("--json", action="store_true", help="Print the metrics as JSON.")


def _add_predict(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="Folder of a saved model.")
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help=(
            f"Input texts, files with one input each (such as images), or a dataset: {SOURCES}. For a task with "
            "several inputs, a JSON object with their names. Use - to read one input per line from stdin. Without "
            "INPUT, predict for the inputs stored in the model: all users of a recommender, or the training series of "
            "a forecaster trained with --keep-history."
        ),
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=(
            "Write the predictions to a .csv, .jsonl or .parquet file; for a folder of images, also COCO results "
            "(.json) for detection, or a folder of masks for segmentation."
        ),
    )
    parser.add_argument(
        "--keep-columns",
        metavar="A,B|all",
        default="",
        help="Columns of the data to copy to the --output file, before the predictions: a comma-separated list or all.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace an existing output file once the new one is complete."
    )
    parser.add_argument(
        "--text", action="store_true", help="Treat every input as text, even if it is the name of a file."
    )
    add_read_options(parser)
    parser.add_argument(
        "--draw",
        metavar="DIR",
        help="Save a plot of each prediction to DIR, which must be new or empty. Requires the extra 'plots'.",
    )
    parser.add_argument(
        "--explain", action="store_true", help="Show the contribution of each word to the score (sentiment only)."
    )
    parser.add_argument("--json", action="store_true", help="Print predictions as JSON Lines, one object per input.")


def _add_export(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="Folder of a saved model.")
    parser.add_argument(
        "directory",
        metavar="DIRECTORY",
        help=(
            "Base directory of the exported model, such as saved_models/reviews; each version is written to a numbered "
            "subdirectory."
        ),
    )
    parser.add_argument(
        "--version",
        type=int,
        help=(
            "Version number, a positive integer that does not exist yet. Default: the highest existing version plus 1."
        ),
    )
    parser.add_argument(
        "--examples",
        default="saved",
        metavar="FILE|saved|sample|synthetic",
        help=(
            "Example inputs stored in the export: saved, the training rows saved with the model; sample, the built-in "
            "sample data; synthetic, generated inputs, so that no training rows are exported; or a data file. "
            "(default: %(default)s)"
        ),
    )
    parser.add_argument(
        "--test",
        metavar="DATA",
        help=(
            "Evaluate on this data first and record the metrics in the export. The data must have the column names of "
            "the task."
        ),
    )


def _add_server(parser: Parser) -> None:
    from dlkit.serving.server_config import DOCKER_IMAGE

    parser.add_argument("directories", nargs="+", metavar="DIRECTORY", help="Base directories of exported models.")
    parser.add_argument(
        "--output",
        required=True,
        metavar="FOLDER",
        help="Output folder; existing files of the same names are overwritten.",
    )
    parser.add_argument(
        "--image",
        help=f"Container image of the server. (default: {DOCKER_IMAGE})",
    )
    parser.add_argument(
        "--max-batch-size",
        type=int,
        default=32,
        metavar="ROWS",
        help="max_batch_size of the server's batching parameters, in rows. (default: %(default)s)",
    )


def _add_verify(parser: Parser) -> None:
    parser.add_argument(
        "directory",
        metavar="DIRECTORY",
        help="Directory of a version, or the base directory, whose latest version is verified.",
    )
    parser.add_argument(
        "--library",
        action="append",
        default=[],
        metavar="NAME",
        help=(
            "Python package with custom TensorFlow operations to import before loading. tensorflow_text is allowed by "
            "default. Can be repeated."
        ),
    )
    parser.add_argument("--json", action="store_true", help="Print the report as JSON.")


def _add_data_flag(parser: Parser, *, required: bool) -> None:
    help = LABELED_DATA_HELP if required else TRAINING_DATA_HELP
    parser.group(DATA_GROUP).add_argument("--data", required=required, help=help)
    add_read_options(parser)


def _tasks(args: argparse.Namespace) -> None:
    from dlkit.tasks import find_task, task_names

    for name in task_names():
        task = find_task(name)
        print(f"{name:24}{task.__name__:22}{summary(task)}")


def _create_task(args: argparse.Namespace) -> Any:
    """Create the task with the flags' hyperparameters, after checking that the files in the flags exist."""
    from dlkit.tasks import find_task

    task_class = find_task(args.task)
    task = task_class(**parsed_hparams(args, task_class))
    check_early(args, task)
    return task


def _task_and_data(args: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Return the task with the flags' hyperparameters, its training data and its validation data."""
    from dlkit.run_file import SampleData

    task = _create_task(args)
    samples = {} if args.data else task.samples()
    train = args.data or SampleData(samples["train"])
    validation = getattr(args, "validation", None)
    if not validation and samples.get("validation"):
        validation = SampleData(samples["validation"])
    return task, train, validation


def _train(args: argparse.Namespace) -> None:
    task, train, validation = _task_and_data(args)
    task.fit(
        train,
        validation,
        **read_options(args),
        tensorboard=args.tensorboard,
        verbose=0 if args.quiet else "auto",
        **run_options(args, task),
    )
    if not task.is_chief:
        return
    from dlkit.cli.show import show_history

    show_history(task)
    if args.save:
        print(f"saved: {args.save}")


def _check(args: argparse.Namespace) -> None:
    """Exit with code 2 if training would be refused."""
    task, train, validation = _task_and_data(args)
    found = task.check(train, validation, **read_options(args))
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        from dlkit.cli.show import show_report

        show_report(found)
    if found["errors"]:
        sys.exit(2)


def _launch(args: argparse.Namespace) -> None:
    """Exit with the workers' exit code, if it is not 0."""
    from dlkit.cli.launch import launch

    if args.command[:1] not in ([], ["--"]):
        as_text = " ".join(args.command)
        raise DlkitError(f"launch must have -- before the workers' command. Received: {as_text}. Write: -- {as_text}.")
    command = args.command[1:]
    if command[:1] == ["train"]:  # what every worker would refuse is refused once
        worker = _parse(command)
        _create_task(worker)
        command += ["--save", worker.save] if worker.save and worker.config else []  # restarts look there
    code = launch(command, args.workers, args.restarts, grace=args.grace, pin=args.pin)
    if code:
        sys.exit(code)


def _find_lr(args: argparse.Namespace) -> None:
    task, train, _ = _task_and_data(args)
    found = task.find_learning_rate(train, plot=args.plot, **read_options(args))
    print(f"learning rate: {found:.2g}   plot: {args.plot}")


def _evaluate(args: argparse.Namespace) -> None:
    check_early(args)
    import dlkit
    from dlkit.cli.show import show_metrics

    names = dict(parse_pairs(args.label_map, "--label-map", "OLD=NEW, as in car=vehicle"))
    metrics = dlkit.load(args.model).evaluate(
        args.data, label_map=names, predictions=args.predictions, **read_options(args)
    )
    if args.json:
        print(json.dumps(metrics, ensure_ascii=False))
        return
    show_metrics(metrics)
    if args.predictions:
        print(f"\neach row with its prediction and metrics: {args.predictions}")


def _predict(args: argparse.Namespace) -> None:
    check_early(args)
    import dlkit
    from dlkit.cli.draw import check_drawing, draw_predictions, folder_inputs
    from dlkit.cli.predict import predict_inputs, predict_to_file
    from dlkit.cli.show import show_prediction
    from dlkit.vision.png import as_json

    task = dlkit.load(args.model)
    if args.draw:
        check_drawing(task, Path(args.draw))
        if len(args.inputs) == 1 and Path(args.inputs[0]).is_dir():
            draw_predictions(task, folder_inputs(task, Path(args.inputs[0])), Path(args.draw))
            return
    inputs: list[Any] = _read_inputs(args.inputs)
    as_text = args.text or args.inputs == ["-"]
    if len(task.inputs) > 1 and inputs and (as_text or all(text.lstrip().startswith("{") for text in inputs)):
        inputs, as_text = [_parse_object(text, list(task.inputs)) for text in inputs], True
    if args.output:
        predict_to_file(task, inputs, as_text, args)
        return
    explain = getattr(task, "explain", None)
    if args.explain and explain is None:
        raise DlkitError(f"the task {task.task_name()} does not support --explain.")
    for value, answer, rows in predict_inputs(
        task, inputs, as_text, explain if args.explain else None, read_options(args)
    ):
        if args.json:
            print(json.dumps({"input": value, **answer}, ensure_ascii=False, default=as_json))
        else:
            show_prediction(value, answer, rows)
    if args.draw:
        draw_predictions(task, inputs, Path(args.draw))


def _generate(args: argparse.Namespace) -> None:
    check_early(args)
    import dlkit

    inputs: dict[str, Any] = dict(parse_pairs(args.input, "--input", "NAME=VALUE, as in steps=50"))
    task = dlkit.load(args.model)
    files = generate_files(
        task, Path(args.output), args.count, args.seed, {**({LABEL: args.label} if args.label else {}), **inputs}
    )
    print(f"{len(files)} files: {args.output}")


def _read_inputs(args: list[str]) -> list[str]:
    if args == ["-"]:
        from dlkit.data.bytes import decode_utf8

        text = decode_utf8(sys.stdin.buffer.read(), "standard input")
        return [line.rstrip("\r\n") for line in io.StringIO(text)]
    for text in args:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DlkitError(f"the argument {text!r} is not UTF-8, at position {error.start}. Convert it.") from error
    return args


def _parse_object(text: str, names: list[str]) -> dict[str, Any]:
    """Parse an input of several columns, written as a JSON object."""
    value = None
    with contextlib.suppress(DlkitError), as_data_error("the input"):
        value = json.loads(text)
    if not isinstance(value, dict):
        example = json.dumps(dict.fromkeys(names, "..."))
        raise DlkitError(f"an input of this task is a JSON object: {example}. Received: {text[:60]}")
    return value


def _export(args: argparse.Namespace) -> None:
    check_early(args)
    import dlkit
    from dlkit.cli.show import show_export

    task = dlkit.load(args.model)
    if args.test:
        task.evaluate(args.test)
    show_export(task.export(args.directory, version=args.version, examples=args.examples))


def _info(args: argparse.Namespace) -> None:
    from dlkit.cli.info import describe_model, show_info

    found = describe_model(Path(args.model))
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        show_info(found)


def _completion(args: argparse.Namespace) -> None:
    print(completion_script(args.shell, command_parser, TASK_COMMANDS))


def _server_config(args: argparse.Namespace) -> None:
    from dlkit.serving.server_config import DOCKER_IMAGE, write_server_files

    line = write_server_files(
        args.directories, args.output, image=args.image or DOCKER_IMAGE, max_batch_size=args.max_batch_size
    )
    print(f"written: {args.output}\n\nserve them:\n  {line}\n\nor: kubectl apply -f {args.output}/kubernetes.yaml")


def _verify(args: argparse.Namespace) -> None:
    from dlkit.cli.show import show_proof
    from dlkit.serving.verify import verify

    report = verify(args.directory, args.library)
    if args.json:
        print(json.dumps(report))
    else:
        show_proof(report)
