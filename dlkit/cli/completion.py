"""Shell completion of commands, tasks, flags and choices: a static script that starts no Python."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from dlkit.cli.parser import Parser
from dlkit.errors import DlkitError
from dlkit.hparams import summary
from dlkit.version import install_hint

SHELLS = ("bash", "zsh", "fish")
_FILES = ("data", "validation", "test", "config", "plot", "examples", "inputs")  # the arguments that name files
_FOLDERS = ("save", "model", "directory", "directories", "data_dir", "tensorboard", "export")


def completion_script(shell: str, build: Callable[[Sequence[str]], Parser], commands: Sequence[str]) -> str:
    """Generate the completion script for a shell.

    Args:
        shell: one of `SHELLS`.
        build: makes the parser of a command line.
        commands: those that take a task, whose flags differ.

    Raises:
        DlkitError: the package that writes scripts is missing.
    """
    if importlib.util.find_spec("shtab") is None:
        raise DlkitError(f"shell completion needs a package: {install_hint('completion')}.")
    import shtab

    return str(shtab.complete(_complete_parser(build, commands), shell))


def _complete_parser(build: Callable[[Sequence[str]], Parser], commands: Sequence[str]) -> Parser:
    """Build a parser with a subcommand for each task, so that the flags of every task are known."""
    from dlkit.tasks import find_task, task_names

    parser = build([])
    subcommands = _commands_of(parser)
    for command in commands:
        _remove_task(subcommands[command])
        tasks = subcommands[command].add_subparsers(metavar="TASK")
        for name in task_names():
            task_parser = _commands_of(build([command, name]))[command]
            _remove_task(task_parser)
            description = summary(find_task(name))
            tasks.add_parser(name, help=description.replace("%", "%%"), parents=[task_parser], add_help=False)
    _mark_files(parser)
    return parser


def _commands_of(parser: argparse.ArgumentParser) -> dict[str, Any]:
    return next((action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)), {})


def _remove_task(parser: argparse.ArgumentParser) -> None:
    for group in [parser._positionals, *parser._action_groups]:
        group._group_actions[:] = [action for action in group._group_actions if action.dest != "task"]
    parser._actions[:] = [action for action in parser._actions if action.dest != "task"]


def _mark_files(parser: argparse.ArgumentParser) -> None:
    """Mark which arguments are completed with files, with folders, or with the choices of a hyperparameter."""
    import shtab

    for action in parser._actions:
        if action.dest in _FILES + _FOLDERS:
            action.complete = shtab.FILE if action.dest in _FILES else shtab.DIRECTORY  # type: ignore[attr-defined]
        elif getattr(action, "completed", None):
            action.choices = action.completed  # type: ignore[attr-defined]
    for sub in _commands_of(parser).values():
        _mark_files(sub)
