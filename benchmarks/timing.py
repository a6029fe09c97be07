"""Shared by benchmarks: the command line of image tasks, a timer of epochs, the median time of calls, a JPEG."""

from __future__ import annotations

import argparse
import ast
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def image_arguments(
    about: str | None, data: Iterable[str], minutes: float, network: str, also: Iterable[str] = ()
) -> argparse.Namespace:
    """Return the command line of benchmarks with `accuracy`, `networks`, `latency` and more; the first data is the
    default."""
    choices = list(data)
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("accuracy", "networks", "latency", *also))
    parser.add_argument("data", nargs="?", choices=choices, default=choices[0])
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--network", default=network)
    parser.add_argument("--picture", type=Path, help="where to draw answers to test images")
    given = parser.parse_intermixed_args()
    given.hparams = hparams_of(given.hparams)
    return given


def print_scores(name: str, values: list[float], digits: int) -> None:
    """Return the mean and the spread of a metric over seeds."""
    mean, low, high = (f"{value:.{digits}f}" for value in (statistics.mean(values), min(values), max(values)))
    print(f"{name}: mean {mean}, from {low} to {high}")


def bytes_of(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def noise_jpeg() -> Any:
    """Return (1,) string: a JPEG of 640 x 480 of soft noise."""
    from dlkit.lazy import tf

    noise = tf.random.stateless_uniform([60, 80, 3], [1, 2], 0, 256, tf.int32)
    image = tf.cast(tf.image.resize(noise, [480, 640]), tf.uint8)
    return tf.constant([tf.io.encode_jpeg(image).numpy()])


def clock() -> Any:
    """Return a callback whose `seconds` are those of each epoch."""
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
    """Return the median time of a call in milliseconds, after a first call that is not counted."""
    work()
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(seconds)


def hparams_of(texts: list[str]) -> dict[str, Any]:
    """Parse `HPARAM=VALUE` texts into hyperparameters: numbers and truth values as in Python, all else as text."""
    return {name: _value(text) for name, _, text in (hparam.partition("=") for hparam in texts)}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
