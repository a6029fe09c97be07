"""Measure the training throughput of `fit`, compared with a plain Keras loop on the same network and images.

python benchmarks/throughput.py [--rows N] [--rounds N] [--data DIR]

Three runs take turns in one process, an epoch each: plain Keras, dlkit, and dlkit with flips and shifts. Each is
traced and warmed up in an epoch of its own, which does not count. The order changes from round to round, and ratios
are taken within a round, so that what slows the machine down for a while slows all of them down. Plain Keras is
`keras.Model.fit` on from_tensor_slices, shuffle, batch and prefetch over arrays in memory, without augmentation.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import DATA, print_machine

import dlkit
from dlkit.lazy import keras, tf

BATCH = 128
PLAIN = "plain Keras"


class Turns(keras.callbacks.Callback):
    """Runs a training in a thread of its own, one epoch at a time; notes the seconds of each, clock and CPU."""

    def __init__(self, train: Callable[[Turns], None]):
        super().__init__()
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []  # of the whole process: the other trainings stand still
        self._turn, self._done = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        threading.Thread(target=self._run, args=(train,), daemon=True).start()

    def epoch(self) -> float:
        """Train for an epoch, and return its seconds."""
        self._turn.set()
        self._done.wait()
        self._done.clear()
        if self._error:
            raise self._error
        return self.seconds[-1]

    def on_epoch_begin(self, epoch, logs=None):
        self._turn.wait()
        self._turn.clear()
        self._begun = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._begun[0])
        self.cpu_seconds.append(time.process_time() - self._begun[1])
        self._done.set()

    def _run(self, train: Callable[[Turns], None]) -> None:
        try:
            train(self)
        except BaseException as error:
            self._error = error
            self._done.set()


def task(epochs: int, **hparams) -> dlkit.ImageClassifier:
    return dlkit.ImageClassifier(
        **{"batch_size": BATCH, "epochs": epochs, "validation_split": 0.0, "augmentation": "none", **hparams}
    )


def train_plain(images: np.ndarray, labels: np.ndarray, epochs: int, turns: Turns) -> None:
    from dlkit.tasks.image_classification.resnet import cifar_resnet
    from dlkit.training.optimizer import make_optimizer

    network = cifar_resnet(images.shape[1:], 10)
    print(
        f"{sum(np.prod(variable.shape) for variable in network.trainable_variables)} trainable parameters", flush=True
    )
    steps = -(-len(images) // BATCH)
    network.compile(
        make_optimizer(task(epochs), network, steps * epochs),
        loss={"logits": keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)},
        metrics={"logits": [keras.metrics.CategoricalAccuracy(name="accuracy")]},
    )
    rows = {"image": images}, {"logits": keras.utils.to_categorical(labels, 10)}
    dataset = tf.data.Dataset.from_tensor_slices(rows)
    dataset = dataset.shuffle(len(images)).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    network.fit(dataset, epochs=epochs, shuffle=False, callbacks=[turns], verbose=0)


def train_dlkit(images: np.ndarray, labels: np.ndarray, epochs: int, turns: Turns, **hparams) -> None:
    task(epochs, **hparams).fit((images, labels), callbacks=[turns], verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=12_800, help="images in an epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=6, help="epochs of each that count (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder that holds fashion_mnist")
    given = parser.parse_args()
    print_machine()
    with np.load(given.data / "fashion_mnist" / "train.npz") as file:
        images, labels = file["images"][: given.rows, ..., np.newaxis], file["labels"][: given.rows]
    data = images, labels, given.rounds + 1  # the first epoch traces and warms up
    trainings: dict[str, Callable[[Turns], None]] = {
        PLAIN: lambda turns: train_plain(*data, turns),
        "dlkit": lambda turns: train_dlkit(*data, turns),
        "dlkit, flip + shift": lambda turns: train_dlkit(*data, turns, flip="horizontal", shift=2),
    }
    runs = {}
    for name, train in trainings.items():
        runs[name] = Turns(train)
        runs[name].epoch()  # before the next one is made: neither shall be traced while the other one runs
    orders = itertools.cycle(itertools.permutations(runs))
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for order in itertools.islice(orders, given.rounds):
        for name in order:
            speeds[name].append(len(images) / runs[name].epoch())
    for name, values in speeds.items():
        spread = f"{min(values):.0f} to {max(values):.0f}"
        cpu = 1e6 * statistics.median(runs[name].cpu_seconds[1:]) / len(images)
        row = f"{name:20} {statistics.median(values):6.0f} images/s ({spread}), {cpu:.0f} CPU µs an image"
        if name != PLAIN:
            ratios = [ours / plain for ours, plain in zip(values, speeds[PLAIN], strict=True)]
            pairs = " ".join(f"{ratio:.3f}" for ratio in ratios)
            row += f", {statistics.median(ratios):.3f} of plain Keras (in pairs: {pairs})"
        print(row)


if __name__ == "__main__":
    main()
