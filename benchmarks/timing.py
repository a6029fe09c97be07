"""What benchmarks share: a clock of epochs, the median of calls, knobs from the command line."""

from __future__ import annotations

import ast
import statistics
import time
from collections.abc import Callable
from typing import Any


def clock() -> Any:
    """A callback whose `seconds` are those of each epoch."""
    from dlkit.lazy import keras, load_tensorflow

    load_tensorflow()

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch, logs=None):
            self.begun = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.begun)

    return Clock()


def median_ms(work: Callable[[], Any], times: int = 30) -> float:
    """Milliseconds of a call, after a first one that does not count."""
    work()
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(seconds)


def knobs_of(texts: list[str]) -> dict[str, Any]:
    """`KNOB=VALUE` texts as knobs: numbers and truth values as Python writes them, all else as text."""
    return {name: _value(text) for name, _, text in (knob.partition("=") for knob in texts)}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
