"""How messages name options: as arguments in Python (`overwrite=True`), as flags on the command line (--overwrite).

Messages name flags inside `naming_flags`, which the command line enters.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

FLAGS = {"columns": "column", "keep_examples": "examples"}  # of other names than their arguments
_NO_VALUE = object()
_use_flags = False  # one for all threads: a process has one reader


@contextlib.contextmanager
def naming_flags() -> Iterator[None]:
    """Make messages name flags rather than arguments."""
    global _use_flags
    previous, _use_flags = _use_flags, True
    try:
        yield
    finally:
        _use_flags = previous


def python_or_cli(python: str, command_line: str) -> str:
    """Return the first text in Python and the second on the command line."""
    return command_line if _use_flags else python


def option(name: str, value: Any = _NO_VALUE) -> str:
    """Format an option for a message, with or without a value; `...` stands for any value.

    Args:
        name: the argument's name in Python.
        value: what it is set to, if the message says so.

    Examples:
        >>> option("batch_size"), option("overwrite", True), option("quotes", False)
        ('`batch_size`', 'overwrite=True', 'quotes=False')
        >>> with naming_flags():
        ...     option("batch_size"), option("overwrite", True), option("quotes", False)
        ('--batch-size', '--overwrite', '--no-quotes')
    """
    if not _use_flags:
        return f"`{name}`" if value is _NO_VALUE else f"{name}={_format_python(value)}"
    flag = FLAGS.get(name, name).replace("_", "-")
    if value is False:
        return f"--no-{flag}"
    if value is _NO_VALUE or value is True or value is None:
        return f"--{flag}"
    if isinstance(value, dict):
        return " ".join(f"--{flag} {shlex.quote(f'{key}={item}')}" for key, item in value.items())
    return f"--{flag} {_format_flag(value)}"


def _format_python(value: Any) -> str:
    if value is ...:
        return "..."
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, dict, list)) else repr(value)


def _format_flag(value: Any) -> str:
    if value is ...:
        return "..."
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return shlex.quote(str(value))


def rename_parameters(text: str, names: Iterable[str]) -> str:
    """Replace parameter names in the message of a layer or a library by options.

    Examples:
        >>> with naming_flags():
        ...     rename_parameters("`depth` must be 8 or 14. Received: depth=7.", ["depth"])
        '--depth must be 8 or 14. Received: --depth 7.'
    """
    if not _use_flags:
        return text
    for name in names:
        flag = option(name)
        text = re.sub(rf"`{name}`", flag, re.sub(rf"(?<![\w-]){name}=(?=\S)", f"{flag} ", text))
    return text
