"""Measure the peak memory of training, and of training on ten times as much data.

python benchmarks/memory.py [images|interactions|ratings|series] [--rows N] [--times N]

Makes data in a temporary folder and trains on it for one epoch, each time in a process of its own, whose largest
resident set counts: JPEG files of 96 x 96 pixels, a noisy gradient across or down, for an ImageClassifier; a csv
file of random interactions, a hundred of each user, of 5,000 items, for a small Recommender that ranks or rates; or one
of hourly series of 1,000 time steps for a small Forecaster.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import print_machine

SIDE = 96


def make_images(folder: Path, count: int) -> None:
    """Write `count` images in two class folders."""
    import numpy as np

    from dlkit.lazy import tf

    random = np.random.default_rng(0)
    across = np.broadcast_to(np.linspace(0, 191, SIDE)[:, np.newaxis], (SIDE, SIDE, 3))
    for label, gradient in (("across", across.transpose(1, 0, 2)), ("down", across)):
        (folder / label).mkdir(parents=True)
        for number in range(count // 2):
            pixels = (gradient + random.integers(0, 64, (SIDE, SIDE, 3))).astype(np.uint8)
            (folder / label / f"{number}.jpg").write_bytes(tf.io.encode_jpeg(pixels).numpy())


def make_interactions(folder: Path, count: int) -> None:
    """Write `count` interactions; the share of an item falls with its number."""
    import numpy as np

    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    with (folder / "rows.csv").open("w") as file:
        file.write("user_id,item_id,rating,timestamp\n")
        for user in range(count // 100):
            items = (5_000 * random.random(100) ** 2).astype(int)
            ratings = random.integers(1, 6, 100)
            file.writelines(f"u{user},i{item},{ratings[row]},{row}\n" for row, item in enumerate(items))


def make_series(folder: Path, count: int) -> None:
    """Write `count` rows of series of 1,000 hours."""
    import numpy as np

    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    timestamps = np.datetime64("2020-01-01T00") + np.arange(1_000)
    with (folder / "rows.csv").open("w") as file:
        file.write("unique_id,ds,y\n")
        for series in range(count // 1_000):
            values = random.normal(size=1_000).cumsum()
            file.writelines(f"s{series},{timestamp},{values[row]:.4f}\n" for row, timestamp in enumerate(timestamps))


KINDS = {
    "images": (make_images, 1_000, "", "ImageClassifier", {"network": "lenet"}),
    "interactions": (make_interactions, 100_000, "rows.csv", "Recommender", {"width": 16}),
    "ratings": (
        make_interactions,
        100_000,
        "rows.csv",
        "Recommender",
        {"network": "svdpp", "objective": "ratings", "width": 16, "batch_size": 1024},
    ),
    "series": (make_series, 100_000, "rows.csv", "Forecaster", {"width": 16, "ensemble_size": 1, "horizon": 24}),
}


def train(kind: str, folder: Path) -> None:
    """Train, and print the seconds and this process's largest resident set in MB."""
    import dlkit

    _, _, file, task, hparams = KINDS[kind]
    begun = time.perf_counter()
    getattr(dlkit, task)(epochs=1, **hparams).fit(str(folder / file), verbose=0)
    seconds = time.perf_counter() - begun
    print(f"{seconds:.1f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6:.0f}")


def in_child(*arguments: str) -> str:
    # Of this process's memory a child inherits the peak; it must not import TensorFlow, nor make the images, itself.
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", nargs="?", choices=KINDS, default="images")
    parser.add_argument("--rows", type=int, help="images or rows at first (default: 1,000 images, 100,000 rows)")
    parser.add_argument("--times", type=int, default=10, help="as many the second time (default: %(default)s)")
    parser.add_argument("--make", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--train", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        return KINDS[given.kind][0](given.make, given.rows)
    if given.train:
        return train(given.kind, given.train)
    print_machine()
    peaks = []
    rows = given.rows or KINDS[given.kind][1]
    for count in (rows, given.times * rows):
        with tempfile.TemporaryDirectory(prefix="dlkit-memory-") as folder:
            data = f"{folder}/data"
            in_child(given.kind, "--rows", str(count), "--make", data)
            size = sum(path.stat().st_size for path in Path(data).rglob("*.*")) / 1e6
            seconds, peak = in_child(given.kind, "--train", data).split()
        peaks.append(float(peak))
        print(f"{given.kind}, {count}, {size:.0f} MB of files: {peak} MB at the peak, {seconds} s", flush=True)
    print(f"{given.times} times the data: {peaks[1] / peaks[0]:.3f} times the peak memory")
    return None


if __name__ == "__main__":
    main()
