"""The options of a run that are no knobs of a task: where it trains, and how it is kept from being lost."""

from __future__ import annotations

import argparse
import re
from typing import Any

from dlkit.errors import KnobError

_NAMES = ("save", "resume", "strategy", "checkpoint_every", "keep", "allow_changes", "nan_retries")


def add_run_options(parser: argparse.ArgumentParser, *, save: str | None = None) -> None:
    """Adds a flag for each option; `Task.fit` says more of them."""
    group = parser.add_argument_group("run")
    shown = " (default: %(default)s)" if save else ""
    group.add_argument("--save", default=save, help=f"folder for the model and its checkpoints{shown}")
    group.add_argument("--resume", action="store_true", help="go on with the stopped run in --save")
    group.add_argument(
        "--strategy",
        default="auto",
        help="where to train: auto, one, mirrored, mirrored:N, multiworker, tpu, tpu:NAME (default: %(default)s)",
    )
    group.add_argument(
        "--checkpoint-every",
        metavar="STEPS|MINUTES",
        default="0",
        help="200 for steps, 10m for minutes; default: at the ends of epochs, for at most 3%% of the time",
    )
    group.add_argument("--keep", type=int, default=2, metavar="N", help="checkpoints to keep (default: %(default)s)")
    group.add_argument("--allow-changes", action="store_true", help="resume with other knobs or data than before")
    group.add_argument(
        "--nan-retries",
        type=int,
        default=0,
        metavar="N",
        help="times to go back to the last good checkpoint, with half the learning rate, on a NaN loss",
    )


def run_options(given: argparse.Namespace) -> dict[str, Any]:
    """The options among parsed flags, as `Task.fit` takes them."""
    return {name: getattr(given, name) for name in _NAMES}


def interval(given: int | str) -> int | float:
    """Steps (int) or seconds (float) between two checkpoints, from "200" or "10m".

    Raises:
        KnobError: it is neither.
    """
    text = str(given)
    minutes = re.fullmatch(r"(\d+(?:\.\d+)?)m(?:in)?", text)
    if minutes and float(minutes[1]):
        return float(minutes[1]) * 60.0
    if text.isdecimal():
        return int(text)
    raise KnobError(f'`checkpoint_every` must be steps, as 200, or minutes, as "10m". Received: {given!r}.')
