"""How the command line is parsed, what its help shows, and how it refuses what it does not know."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from dlkit.errors import DlkitError
from dlkit.suggestions import suggest

SHORT_HELP_LINES = 45  # that a short help takes at most, at 80 columns and more
_LEFT = 26  # columns for the flags
_SEVERAL = 4  # lines that one option takes at most

TASK_GROUP, DATA_GROUP, TRAINING_GROUP, RUN_GROUP = (
    "options of the task",
    "data",
    "training",
    "run",
)  # the groups, in their order
SHORT_HELP_FLAGS = (
    *("--data", "--validation", "--test", "--column"),
    *("--epochs", "--minutes", "--batch-size", "--learning-rate"),
    *("--config", "--save", "--resume", "--overwrite", "--export", "--plot", "--json"),
)
_GPU = "A GPU is used if available; --strategy selects the devices."
NOTES = {
    **dict.fromkeys(("--gpu", "--gpus", "--cuda", "--device", "--devices", "--accelerator"), _GPU),
    "--test": "Recipes take it (python apps/TASK.py --test DATA); here, train first and then run: dlkit evaluate MODEL "
    "--data DATA.",
}


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are errors as all others are, and which takes no shortened flags.

    Where `short` is set, its help shows the task's own options in the order of its class, then of the groups data,
    training and run the usual ones, and names --help-all, which shows everything. Each option has one line; from the
    top, each gets the further lines that its text needs while the others still have theirs.
    """

    short = False

    def __init__(self, **options: Any):
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> typing.NoReturn:
        raise DlkitError(f"{message}. Run {self.prog} --help for its options.")

    def format_help(self) -> str:
        return self._short_help() if self.short else super().format_help()

    def format_full_help(self) -> str:
        """What --help-all prints."""
        return super().format_help()

    def shorten(self) -> None:
        """Makes the help the short one, and adds --help-all."""
        self.short = True
        self.add_argument("--help-all", action=_HelpAll, nargs=0, help="Show all options with their full descriptions.")

    def group(self, title: str) -> Any:
        """The group of arguments of this title."""
        found = [group for group in self._action_groups if group.title == title]
        return found[0] if found else self.add_argument_group(title)

    def _short_help(self) -> str:
        width = max(shutil.get_terminal_size().columns - 2, 60)
        groups = {title: self._shown(title) for title in (TASK_GROUP, DATA_GROUP, TRAINING_GROUP, RUN_GROUP)}
        head = [f"usage: {self.usage}", *textwrap.wrap(self.description or "", width)]
        if not groups[TASK_GROUP]:  # no task yet
            head += textwrap.wrap(f"TASK: {self._actions_named('task')[0].help}", width)
        count = sum(bool(action.option_strings) for action in self._actions)
        last = f"All {count} options: {(self.usage or self.prog).partition(' [')[0]} --help-all"
        left = SHORT_HELP_LINES - len(head) - 2 - sum(bool(actions) for actions in groups.values())
        left -= sum(map(len, groups.values()))
        named: list[str] = []
        while left < len(textwrap.wrap(", ".join(named), width - 9)):  # more options than lines: the last are named
            named.insert(0, groups[TASK_GROUP].pop().option_strings[0])
            left += 1
        left -= len(textwrap.wrap(", ".join(named), width - 9))
        lines = [*head, ""]
        for title, actions in groups.items():
            lines += [f"{title} [default]:"] if actions else []
            for action in actions:
                entry = self._entry(action, width, left)
                left -= len(entry) - 1
                lines += entry
            if title == TASK_GROUP and named:
                lines += textwrap.wrap(
                    f"and: {', '.join(named)}", width, initial_indent="  ", subsequent_indent="       "
                )
        return "\n".join([*lines, last, ""])

    def _shown(self, title: str) -> list[argparse.Action]:
        actions = self.group(title)._group_actions
        if title == TASK_GROUP:
            return list(actions)
        usual = [action for action in actions if action.option_strings[0] in SHORT_HELP_FLAGS]
        return sorted(usual, key=lambda action: SHORT_HELP_FLAGS.index(action.option_strings[0]))

    def _actions_named(self, dest: str) -> list[argparse.Action]:
        return [action for action in self._actions if action.dest == dest]

    def _entry(self, action: argparse.Action, width: int, more: int) -> list[str]:
        """The lines of an option: one, and `more` at most."""
        flag = action.option_strings[0]
        if isinstance(action, argparse.BooleanOptionalAction):
            flag = f"--[no-]{flag[2:]}"
        elif action.nargs != 0:
            value = action.metavar or flag[2:].upper()
            flag = f"{flag} [{value}]" if action.nargs == "?" else f"{flag} {value}"
        text, default = _split_default(self._get_formatter()._expand_help(action))
        room = width - _LEFT - 2
        wrapped, words = textwrap.wrap(f"{text}{default}", room), text.split()
        while len(wrapped) > min(1 + max(more, 0), _SEVERAL):
            words.pop()
            wrapped = textwrap.wrap(f"{' '.join(words)} ...{default}", room)
        first, *rest = wrapped or [""]
        return [f"  {flag:{_LEFT - 2}}  {first}", *(" " * (_LEFT + 2) + line for line in rest)]


class _HelpAll(argparse.Action):
    def __call__(self, parser: Any, *_: Any) -> None:
        print(parser.format_full_help(), end="")
        parser.exit()


def _split_default(help: str) -> tuple[str, str]:
    """A help text and its default, as short help shows it: ` [0.1]`."""
    found = re.fullmatch(r"(.*?)\.? \(default: (.*)\)", help)
    return (found[1], f" [{found[2]}]") if found else (help, "")


def refuse_unknown(unknown: Sequence[str], flags: Iterable[str]) -> None:
    """Raises DlkitError for arguments that no parser took, with the flag that was probably suggest."""
    flags = list(flags)
    word = unknown[0].split("=")[0]
    if not word.startswith("-") and "--data" in flags:
        raise DlkitError(f"unknown argument {word!r}. Pass data with a flag: --data {word}")
    names = {flag.lstrip("-").replace("-", "_"): flag for flag in flags}
    name = suggest(word.lstrip("-").replace("-", "_"), names)
    guess = f" Did you mean {names[name]}?" if name else " --help lists all options."
    raise DlkitError(f"unknown argument {unknown[0]!r}.{f' {NOTES[word]}' if word in NOTES else guess}")


def flags_of(parser: argparse.ArgumentParser, command: str = "") -> list[str]:
    """All flags of a parser and of its commands, or of one of these alone."""
    flags: list[str] = []
    for action in parser._actions:
        flags += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            chosen = [action.choices[command]] if command in action.choices else list(action.choices.values())
            flags += [flag for sub in chosen for flag in flags_of(sub)]
    return flags
