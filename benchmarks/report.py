"""Measure the report on the data at the start of a run: its seconds, and its share of an epoch.

python benchmarks/report.py [images|pairs|interactions ...]

60,000 PNG images in class folders (Fashion-MNIST), 30,000 pairs of sentences (English and Spanish verses), and
1,000,000 random interactions, each trained for one epoch with the task's defaults. The share of more epochs is less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import DATA, print_machine
from memory import make_interactions


def images(folder: Path) -> tuple[str, Path]:
    """Write 60,000 images into folders by class."""
    import numpy as np

    from dlkit.lazy import tf

    with np.load(DATA / "fashion_mnist" / "train.npz") as arrays:
        values, labels, names = arrays["images"], arrays["labels"], arrays["label_names"]
    for name in names:
        (folder / name.replace("/", "-")).mkdir(parents=True)
    for row, (pixels, label) in enumerate(zip(values, labels, strict=True)):
        encoded = tf.io.encode_png(pixels[..., np.newaxis]).numpy()
        (folder / names[label].replace("/", "-") / f"{row}.png").write_bytes(encoded)
    return "image_classification", folder


def pairs(folder: Path) -> tuple[str, Path]:
    """Return the 29,630 verses to train on."""
    return "translation", DATA / "en_es" / "train.tsv"


def interactions(folder: Path) -> tuple[str, Path]:
    """Write 1,000,000 random interactions of 10,000 users with 5,000 items."""
    make_interactions(folder, 1_000_000)
    return "recommendation", folder / "rows.csv"


KINDS = {"images": images, "pairs": pairs, "interactions": interactions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=list(KINDS), help=f"of {', '.join(KINDS)}")
    given = parser.parse_args()
    print_machine()
    for kind in given.kinds:
        with tempfile.TemporaryDirectory(prefix="dlkit-report-") as folder:
            _measure(kind, *KINDS[kind](Path(folder) / "data"))


def _measure(kind: str, name: str, data: Path) -> None:
    from dlkit.tasks import find_task
    from dlkit.training import fit as fitting

    looks: list[float] = []
    reports: list[Any] = []
    own = fitting.inspect_data

    def timed(*rows: Any) -> Any:
        begun = time.perf_counter()
        reports.append(own(*rows))
        looks.append(time.perf_counter() - begun)
        return reports[-1]

    fitting.inspect_data = timed
    begun = time.perf_counter()
    try:
        find_task(name)(epochs=1).fit(str(data), strategy="one", verbose=0)
    finally:
        fitting.inspect_data = own
    seconds, look = time.perf_counter() - begun, sum(looks)
    seen = reports[0].statistics.get("inspected", "all rows")
    print(f"{kind}: the look took {look:.1f} s, {look / seconds:.1%} of {seconds:.0f} s of an epoch; rows: {seen}")


if __name__ == "__main__":
    main()
