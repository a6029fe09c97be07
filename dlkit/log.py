"""The logger `dlkit`. By default, info messages go to stdout and warnings to stderr.

As with any logger, a level silences it and handlers receive its records:

As of any logger, its level silences it, and handlers that the program adds get its records:

    logging.getLogger("dlkit").setLevel(logging.WARNING)
    logging.getLogger("dlkit").addHandler(logging.FileHandler("run.log"))  # in place of the terminal
"""

from __future__ import annotations

import logging
import sys

logger = logging.getLogger("dlkit")


class _TerminalHandler(logging.Handler):
    """Prints messages, unless this logger has other handlers or the root logger prints them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; errors are raised, as by `print`."""
        if not any(handler is not self for handler in logger.handlers) and not _root_logs_to_terminal():
            print(self.format(record), file=sys.stdout if record.levelno <= logging.INFO else sys.stderr)


def _root_logs_to_terminal() -> bool:
    """Return whether the program has set up logging to the terminal."""
    terminal = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return logger.propagate and any(
        getattr(handler, "stream", sys.stderr) in terminal
        for handler in logging.getLogger().handlers
        if not isinstance(handler, logging.NullHandler)
    )


if not any(isinstance(handler, _TerminalHandler) for handler in logger.handlers):
    logger.addHandler(_TerminalHandler())
    if logger.level == logging.NOTSET:  # else the program has chosen one before
        logger.setLevel(logging.INFO)
