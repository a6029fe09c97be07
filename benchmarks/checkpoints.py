"""Measure the seconds and bytes of checkpoints, and their share of a run's time, for networks of two sizes.

python benchmarks/checkpoints.py [--rows N] [--epochs N] [--folder DIR]

A bag of 200,000 n-grams, 5 and 250 numbers wide, trained by adam on movie reviews and validated after each epoch: a
checkpoint holds the weights, two moments of each, and the best weights. `every epoch` writes one after each epoch;
`default` is what `fit` does unasked: it leaves so many out that they cost at most 3 % of the time. The share is of
the time of training and validation, without reading and encoding; the first checkpoint, before the first step, counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from machine import DATA, print_machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folder", help="where to write; default: the system's temporary folder")
    given = parser.parse_args()
    print_machine()
    for width in (5, 250):
        for name, every in (("every epoch", "epoch"), ("default", 0)):
            measure(width, name, every, given)


def measure(width: int, name: str, every: int | str, given: argparse.Namespace) -> None:
    import numpy as np

    import dlkit
    from dlkit.data.read import read
    from dlkit.lazy import keras, load_tensorflow

    load_tensorflow()
    from dlkit.training.checkpoints import Checkpoints

    writes: list[float] = []
    epochs: list[float] = []
    write = Checkpoints._write

    def timed(self):
        begun = time.perf_counter()
        write(self)
        writes.append(time.perf_counter() - begun)

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.begun = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            epochs.append(time.perf_counter() - self.begun)

    task = dlkit.SentimentClassifier(
        width=width * 4, epochs=given.epochs, dropout=0.0, word_ngrams=3, seed=1, learning_rate=1e-3
    )
    table = read(DATA / "movie_reviews" / "train.csv", {**task.inputs, **task.target}).take(range(given.rows))
    steps = -(-int(given.rows * 0.9) // task.batch_size)
    Checkpoints._write = timed
    try:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            task.fit(
                {column: table.columns[column] for column in table.columns},
                save=folder,
                overwrite=True,
                strategy="one",
                checkpoint_every=steps if every == "epoch" else every,
                callbacks=[Clock()],
                verbose=0,
            )
            size = max(path.stat().st_size for path in Path(folder, "checkpoints").iterdir())
    finally:
        Checkpoints._write = write
    parameters = sum(int(np.prod(variable.shape)) for variable in task.stages_.network.trainable_variables)
    spent, one, epoch = sum(writes), statistics.median(writes), statistics.median(epochs)
    print(
        f"{parameters / 1e6:5.1f}M parameters, {name}: {len(writes)} checkpoints of {size / 1e6:.0f} MB, "
        f"{one:.2f} s each ({one / epoch:.1%} of an epoch of {epoch:.1f} s), "
        f"{spent / (sum(epochs) + spent):.1%} of the run",
        flush=True,
    )


if __name__ == "__main__":
    main()
