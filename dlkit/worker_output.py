"""Lines of several processes on one terminal: whole, and told apart."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

LINE_END = re.compile(rb"(\r*\n|\r+(?=[^\r\n]))")

_writing = threading.Lock()


def forward(pipe: IO[bytes], stream: Any, index: int) -> None:
    """Passes on what comes from a worker's pipe, until it ends, behind the worker's number."""
    for line in _lines(pipe):
        _write(stream, b"[%d] %s\n" % (index, line))


def _lines(pipe: Any) -> Iterator[bytes]:
    """The lines of a pipe as they come. A carriage return ends one too, as progress bars use it."""
    rest = b""
    while chunk := pipe.read1(1 << 16):
        *done, rest = LINE_END.split(rest + chunk)
        for line, end in zip(done[::2], done[1::2], strict=True):
            if line or end.endswith(b"\n"):
                yield line
    if rest.rstrip(b"\r"):
        yield rest.rstrip(b"\r")


def say(line: str) -> None:
    """Prints a line of the launcher's own on stderr."""
    _write(sys.stderr, f"{line}\n".encode())


def _write(stream: Any, line: bytes) -> None:
    """Writes a line whole. Where nobody reads any more (`| head`), the training goes on unseen."""
    with _writing:
        try:
            stream.buffer.write(line)
            stream.buffer.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
