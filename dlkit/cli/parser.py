"""Parsing of the command line, its help, and errors for unknown arguments."""

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
_FLAG_COLUMNS = 26  # columns for the flags
_MAX_LINES = 4  # lines that one option takes at most

TASK_GROUP, DATA_GROUP, TRAINING_GROUP, RUN_GROUP = "Task options", "Data", "Training", "Run"  # in their order
SHORT_HELP_FLAGS = (
    *("--data", "--validation", "--test", "--column"),
    *("--epochs", "--minutes", "--batch-size", "--learning-rate"),
    *("--config", "--save", "--resume", "--overwrite", "--export", "--plot", "--json"),
)
_GPU_HINT = "A GPU is used if available; --strategy selects the devices."
NOTES = {
    **dict.fromkeys(("--gpu", "--gpus", "--cuda", "--device", "--devices", "--accelerator"), _GPU_HINT),
    "--test": "The scripts in apps/ take it (python apps/TASK.py --test DATA); here, train first and then run: dlkit "
    "evaluate MODEL --data DATA.",
}


class Parser(argparse.ArgumentParser):
    """An argument parser that raises DlkitError and accepts no abbreviated flags.

    Where `short` is set, its help shows the task's own options in the order of its class, then of the groups data,
    training and run the usual ones, and names --help-all, which shows everything. Each option has the first sentence
    of its text and its choices; from the top, each gets its further sentences while there are lines for them.
    """

    short = False

    def __init__(self, **options: Any):
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> typing.NoReturn:
        listed = "a list of commands" if self.prog == "dlkit" else "its options"
        raise DlkitError(f"{message}. Run {self.prog} --help for {listed}.")

    def format_help(self) -> str:
        return self._short_help() if self.short else super().format_help()

    def format_full_help(self) -> str:
        """Return what --help-all prints."""
        return super().format_help()

    def shorten(self) -> None:
        """Make the help short, and add --help-all."""
        self.short = True
        self.add_argument("--help-all", action=_HelpAll, nargs=0, help="Show all options with their full descriptions.")

    def group(self, title: str) -> Any:
        """Return the argument group with this title."""
        found = [group for group in self._action_groups if group.title == title]
        return found[0] if found else self.add_argument_group(title)

    def _short_help(self) -> str:
        width = max(shutil.get_terminal_size().columns - 2, 60)
        groups = {title: self._short_actions(title) for title in (TASK_GROUP, DATA_GROUP, TRAINING_GROUP, RUN_GROUP)}
        header = [f"usage: {self.usage}", *textwrap.wrap(self.description or "", width)]
        if not groups[TASK_GROUP]:  # no task yet
            header += textwrap.wrap(f"TASK: {self._actions_named('task')[0].help}", width)
        count = sum(bool(action.option_strings) for action in self._actions)
        options = f"All {count} options" if groups[TASK_GROUP] else "All options of a task"
        footer = f"{options}: {(self.usage or self.prog).partition(' [')[0]} --help-all"
        lines_left = SHORT_HELP_LINES - len(header) - 2 - sum(bool(actions) for actions in groups.values())
        lines_left -= sum(map(len, groups.values()))
        unlisted: list[str] = []
        while lines_left < len(_wrap_flags(unlisted, width)):  # more options than lines: the last are named
            unlisted.insert(0, groups[TASK_GROUP].pop().option_strings[0])
            lines_left += 1
        lines_left -= len(_wrap_flags(unlisted, width))
        entries = self._choose_entries([action for actions in groups.values() for action in actions], width, lines_left)
        lines = [*header, ""]
        note = " (defaults in brackets)"
        for title, actions in groups.items():
            lines += [f"{title}{note}:"] if actions else []
            note = "" if actions else note
            for action in actions:
                lines += entries[action]
            if title == TASK_GROUP and unlisted:
                lines += _wrap_flags(unlisted, width)
        return "\n".join([*lines, footer, ""])

    def _choose_entries(
        self, actions: Sequence[argparse.Action], width: int, extra_lines: int
    ) -> dict[argparse.Action, list[str]]:
        """Return the lines of each option: one, and at most `extra_lines` more in all."""
        texts = {}
        for action in actions:
            text, default = split_default(self._get_formatter()._expand_help(action))
            texts[action] = text, f" [{default}]" if default else ""
        chosen = {
            action: _format_entry(action, _short_forms(text)[0], default, width, 1)
            for action, (text, default) in texts.items()
        }
        for count in range(_MAX_LINES):  # first what each option must say, and then one more sentence of each
            for action, (text, default) in texts.items():
                entry = _format_entry(action, "".join(_short_forms(text)[count : count + 1]), default, width)
                missing = len(entry) - len(chosen[action])
                if count < len(_short_forms(text)) and len(entry) <= _MAX_LINES and missing <= extra_lines:
                    chosen[action] = entry
                    extra_lines -= missing
        return chosen

    def _short_actions(self, title: str) -> list[argparse.Action]:
        actions = self.group(title)._group_actions
        if title == TASK_GROUP:
            return list(actions)
        actions_shown = [action for action in actions if action.option_strings[0] in SHORT_HELP_FLAGS]
        return sorted(actions_shown, key=lambda action: SHORT_HELP_FLAGS.index(action.option_strings[0]))

    def _actions_named(self, dest: str) -> list[argparse.Action]:
        return [action for action in self._actions if action.dest == dest]


class _HelpAll(argparse.Action):
    def __call__(self, parser: Any, *_: Any) -> None:
        print(parser.format_full_help(), end="")
        parser.exit()


def _format_entry(
    action: argparse.Action, text: str, default: str, width: int, max_lines: int | None = None
) -> list[str]:
    """Return the lines of an option; a text that needs more than `max_lines` is cut."""
    flag = action.option_strings[0]
    if isinstance(action, argparse.BooleanOptionalAction):
        flag = f"--[no-]{flag[2:]}"
    elif action.nargs != 0:
        value = action.metavar or flag[2:].upper()
        flag = f"{flag} [{value}]" if action.nargs == "?" else f"{flag} {value}"
    text_width = width - _FLAG_COLUMNS - 2
    overhang = " " * (len(flag) + 2 - _FLAG_COLUMNS)  # of a long flag
    if overhang and max_lines is None:
        below = textwrap.wrap(f"{text}{default}", text_width)
        return [f"  {flag}", *(" " * (_FLAG_COLUMNS + 2) + line for line in below)]
    wrapped = textwrap.wrap(f"{text}{default}", text_width, initial_indent=overhang)
    if max_lines and len(wrapped) > max_lines:
        text = text.partition(": ")[0]  # without its choices
        wrapped = textwrap.wrap(f"{text}{default}", text_width, initial_indent=overhang)
    words = text.split()
    while max_lines and len(wrapped) > max_lines:
        words.pop()
        wrapped = textwrap.wrap(f"{' '.join(words)} ...{default}", text_width, initial_indent=overhang)
    first, *rest = wrapped or [""]
    start = f"  {flag:{_FLAG_COLUMNS - 2}}  {first.removeprefix(overhang)}"
    return [start, *(" " * (_FLAG_COLUMNS + 2) + line for line in rest)]


def _short_forms(text: str) -> list[str]:
    """Return what the short help may say of an option: its first sentence with its choices, and then more sentences.

    Examples:
        >>> _short_forms("Random flips. Each has a probability of 0.5. One of: none, horizontal.")
        ['Random flips: none, horizontal', 'Random flips: none, horizontal. Each has a probability of 0.5']
    """
    first, *others = re.split(r"(?<=\.) (?=[A-Z0-9])", text)
    choices = [sentence for sentence in others if sentence.startswith("One of: ")]
    others = [sentence for sentence in others if sentence not in choices]
    if choices:
        first = f"{first.removesuffix('.')}: {choices[0].removeprefix('One of: ')}"
    forms = [" ".join([first, *others[:count]]) for count in range(len(others) + 1)]
    return [form.removesuffix(".") for form in forms]


def split_default(help: str) -> tuple[str, str]:
    """Split a help text from its default.

    Examples:
        >>> split_default("Dropout rate. (default: 0.1)"), split_default("Dropout rate.")
        (('Dropout rate.', '0.1'), ('Dropout rate.', ''))
    """
    found = re.fullmatch(r"(.*?) \(default: (.*)\)", help)
    return (found[1], found[2]) if found else (help, "")


def refuse_unknown(unknown: Sequence[str], flags: Iterable[str]) -> None:
    """Raise DlkitError for unknown arguments, with the flag that was probably meant."""
    flags = list(flags)
    word = unknown[0].split("=")[0]
    if not word.startswith("-") and "--data" in flags:
        raise DlkitError(f"unknown argument {word!r}. Pass data with a flag: --data {word}")
    names = {flag.lstrip("-").replace("-", "_"): flag for flag in flags}
    name = suggest(word.lstrip("-").replace("-", "_"), names)
    guess = f" Did you mean {names[name]}?" if name else " --help lists all options."
    raise DlkitError(f"unknown argument {unknown[0]!r}.{f' {NOTES[word]}' if word in NOTES else guess}")


def _wrap_flags(flags: Sequence[str], width: int) -> list[str]:
    """Return the lines that name options without their help."""
    if not flags:
        return []
    return textwrap.wrap(
        f"and: {', '.join(flags)}", width, initial_indent="  ", subsequent_indent="       ", break_on_hyphens=False
    )


def flags_of(parser: argparse.ArgumentParser, command: str = "") -> list[str]:
    """Return all flags of a parser and of its commands, or of one command only."""
    flags: list[str] = []
    for action in parser._actions:
        flags += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            chosen = [action.choices[command]] if command in action.choices else list(action.choices.values())
            flags += [flag for sub in chosen for flag in flags_of(sub)]
    return flags
