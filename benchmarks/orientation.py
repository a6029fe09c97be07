"""What reading the EXIF orientation costs, and what it is worth on photos that lie on their side.

python benchmarks/orientation.py decode [--pairs N]
python benchmarks/orientation.py masks [--epochs N] [--seed N]

`decode` decodes and resizes one JPEG of 640 x 480 in the served graph: as models saved before do it, and as new ones
do, without a tag and turned, in turns. `masks` trains the default segmenter twice, on the tissue's slices and on the
same of which a third is stored turned, in each of the seven orientations, with the tag that turns it back, and scores
both on the test slices, stored upright and so turned.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import DATA, print_machine
from timing import noise_jpeg

BACK = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # the orientation that undoes one
HPARAMS: dict[str, Any] = {"flip": "horizontal", "losses": "cross_entropy", "depth": 3, "validation_split": 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("decode", "masks"))
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print_machine()
    if given.what == "decode":
        decode(given.pairs)
    else:
        masks(given.epochs, given.seed)


def decode(pairs: int) -> None:
    """Median milliseconds of each, by the clock and of the processor, and of the ratios to the first of a turn."""
    from PIL import Image

    from dlkit.lazy import tf
    from dlkit.vision.decode_image import DecodeImage, as_displayed

    plain = noise_jpeg()
    exif = Image.Exif()
    exif[274] = 6
    file = io.BytesIO()
    Image.open(io.BytesIO(plain[0].numpy())).save(file, "JPEG", quality=95, exif=exif.tobytes())
    turned = tf.constant([file.getvalue()])
    again = io.BytesIO()  # the same without the tag
    Image.open(io.BytesIO(plain[0].numpy())).save(again, "JPEG", quality=95)
    upright = tf.constant([again.getvalue()])

    def graph(**options: Any) -> Callable[[Any], Any]:
        layer = DecodeImage(224, 224, with_size=True, **options)
        return tf.function(layer, input_signature=[tf.TensorSpec([None], tf.string)]).get_concrete_function()

    before, now = graph(), graph(**as_displayed())
    ways = {
        "before": lambda: before(upright),
        "now, no tag": lambda: now(upright),
        "now, turned": lambda: now(turned),
    }
    clocks = {"clock": time.perf_counter, "processor": time.process_time}
    times: dict[str, dict[str, list[float]]] = {clock: {name: [] for name in ways} for clock in clocks}
    for number in range(pairs + 10):
        for name, way in ways.items():
            starts = {clock: now_is() for clock, now_is in clocks.items()}
            way()
            for clock, now_is in clocks.items():
                if number >= 10:
                    times[clock][name].append(1000 * (now_is() - starts[clock]))
    for clock, of in times.items():
        for name, values in of.items():
            ratio = statistics.median(mine / first for mine, first in zip(values, of["before"], strict=True))
            print(f"{clock}, {name}: {statistics.median(values):.2f} ms, {ratio:.3f} of before")


def masks(epochs: int, seed: int) -> None:
    """Mean IoU by what it was trained on and what it is scored on."""
    import dlkit

    with tempfile.TemporaryDirectory() as folder:
        parts = {}
        for part in ("train", "test"):
            parts["upright", part] = str(DATA / "tissue" / part)
            parts["a third turned", part] = str(turn_a_third(DATA / "tissue" / part, Path(folder) / part))
        for trained in ("upright", "a third turned"):
            task = dlkit.ImageSegmenter(epochs=epochs, seed=seed, **HPARAMS)
            task.fit(parts[trained, "train"], verbose=0)
            for scored in ("upright", "a third turned"):
                iou = task.evaluate(parts[scored, "test"])["mean_iou"]
                print(f"trained on {trained}, scored on {scored}: mean IoU {iou:.4f}", flush=True)


def turn_a_third(source: Path, target: Path) -> Path:
    """A copy of a folder of images and masks, every third image stored turned with the tag that turns it back."""
    import shutil

    from PIL import Image

    from dlkit.vision.orientation import orient_array

    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for number, file in enumerate(sorted((target / "images").iterdir())[::3]):
        exif = Image.Exif()
        exif[274] = orientation = 2 + number % 7
        with Image.open(file) as image:
            pixels = np.ascontiguousarray(orient_array(np.asarray(image), BACK[orientation]))
        Image.fromarray(pixels).save(file, exif=exif.tobytes())
    return target


if __name__ == "__main__":
    main()
