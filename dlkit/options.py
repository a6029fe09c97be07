"""How messages name options: in Python as arguments, `overwrite=True`, on the command line as flags, --overwrite.

A message is made for who reads it: inside `naming_flags`, which the command line opens, that is who typed flags.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

FLAGS = {"columns": "column", "header": "columns", "keep_examples": "examples"}  # of other names than their arguments
_NO_VALUE = object()
_flags = False  # one for all threads: a process has one reader


@contextlib.contextmanager
def naming_flags() -> Iterator[None]:
    """Inside, messages name flags."""
    global _flags
    before, _flags = _flags, True
    try:
        yield
    finally:
        _flags = before


def python_or_cli(python: str, command_line: str) -> str:
    """The first in Python, the second on the command line."""
    return command_line if _flags else python


def option(name: str, value: Any = _NO_VALUE) -> str:
    """An option as a message names it, alone or with a value; `...` stands for any value.

    Args:
        name: the argument's name in Python.
        value: what it is set to, if the message says so.

    Example:
        >>> option("batch_size"), option("overwrite", True), option("quotes", False)
        ('`batch_size`', 'overwrite=True', 'quotes=False')
        >>> with naming_flags():
        ...     option("batch_size"), option("overwrite", True), option("quotes", False)
        ('--batch-size', '--overwrite', '--no-quotes')
    """
    if not _flags:
        return f"`{name}`" if value is _NO_VALUE else f"{name}={_python(value)}"
    flag = FLAGS.get(name, name).replace("_", "-")
    if value is False:
        return f"--no-{flag}"
    if value is _NO_VALUE or value is True or value is None:
        return f"--{flag}"
    if isinstance(value, dict):
        return " ".join(f"--{flag} {shlex.quote(f'{key}={item}')}" for key, item in value.items())
    return f"--{flag} {_typed(value)}"


def _python(value: Any) -> str:
    if value is ...:
        return "..."
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, dict, list)) else repr(value)


def _typed(value: Any) -> str:
    if value is ...:
        return "..."
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return shlex.quote(str(value))


def rename_parameters(text: str, names: Iterable[str]) -> str:
    """A text of a layer or a library, which names its parameters: those of `names` become options.

    Example:
        >>> with naming_flags():
        ...     named_in("`depth` must be 8 or 14. Received: depth=7.", ["depth"])
        '--depth must be 8 or 14. Received: --depth 7.'
    """
    if not _flags:
        return text
    for name in names:
        flag = option(name)
        text = re.sub(rf"`{name}`", flag, re.sub(rf"(?<![\w-]){name}=(?=\S)", f"{flag} ", text))
    return text
