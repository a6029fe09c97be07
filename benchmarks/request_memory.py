"""How much memory one large request takes, of each task.

python benchmarks/request_memory.py [TASK ...] [--images N]

Trains a small model of each task on its sample, exports it and loads the export as a server does, in a process of its
own. There it answers two small requests, and then a large one; what the process's largest resident set grows by
meanwhile is printed. The large requests: images of 49 megapixels, each of which is a PNG of 190 KB with an alpha
channel; texts of a million characters; histories of a million steps, or of a hundred thousand items.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from machine import print_machine

SIDE = 7_000
SMALL: dict[str, dict[str, Any]] = {
    "image_classification": {"network": "mlp"},
    "image_segmentation": {"width": 8, "depth": 2},
    "object_detection": {},
    "sentiment": {},
    "question_answering": {"embedding": 32, "units": 16},
    "translation": {"width": 32, "blocks": 1},
    "recommendation": {"width": 16},
    "forecasting": {"units": 16, "members": 1},
}


def bomb(side: int = SIDE) -> bytes:
    """A transparent PNG of so many pixels each way, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(bytes(4 * side + 1)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def large(name: str, images: int) -> tuple[dict[str, Any], str]:
    """The inputs of a large request of a task, and what it is."""
    import numpy as np

    text = ("All happy families are alike. " * 34_000)[:1_000_000]
    if name in ("image_classification", "image_segmentation", "object_detection"):
        return {"image": [bomb()] * images}, f"{images} images of {SIDE**2 / 1e6:.0f} megapixels"
    if name == "sentiment":
        return {"text": [text]}, "a text of 1,000,000 characters"
    if name == "translation":
        return {"source": [text]}, "a text of 1,000,000 characters"
    if name == "question_answering":
        return {"question": ["Who is alike?"], "context": [text]}, "a text of 1,000,000 characters"
    if name == "recommendation":
        return {"user_id": [""], "recent": [[str(item) for item in range(100_000)]]}, "100,000 recent items"
    months = np.datetime_as_string(
        np.arange("1000-01", 108_000, dtype="datetime64[M]")[:100_000] + np.timedelta64(0, "D")
    )
    return {"ds": [[*months]], "y": [[1.0] * len(months)]}, f"a history of {len(months):,} steps"


def measure(name: str, version: str, images: int) -> None:
    """Prints by how many MB the largest resident set grows."""
    import tensorflow as tf

    answer = tf.saved_model.load(version).signatures["serving_default"]
    specs = answer.structured_input_signature[1]

    def asked(inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
        return {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}

    inputs, said = large(name, images)
    small = {"image": [bomb(20)]} if "image" in inputs else {key: _little(value) for key, value in inputs.items()}
    for _ in range(2):
        answer(**asked(small))
    request = asked(inputs)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _status("VmRSS")
    answer(**request)
    print(f"{said}: {(_status('VmHWM') - before) / 1e3:.0f} MB")


def _little(value: list) -> list:
    return [item[:50] if isinstance(item, str) else item[:10] for item in value]


def _status(name: str) -> int:
    """A figure of this process, in KB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def export(name: str, folder: str) -> str:
    import dlkit  # noqa: F401
    from dlkit.serving import export as module
    from dlkit.tasks import find_task

    task = find_task(name)(epochs=1, **SMALL[name])
    samples = task.samples()
    task.fit(samples["train"], samples["validation"], verbose=0)
    module.run_proof = lambda path: {"ok": True, "problems": []}  # what is measured is not the proof
    return str(task.export(Path(folder) / name, examples="synthetic"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", help=f"of: {', '.join(SMALL)}")
    parser.add_argument("--images", type=int, default=10, help="images of a request (default: %(default)s)")
    parser.add_argument("--export", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--measure", metavar="VERSION", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.export:
        print(export(given.tasks[0], given.export))
        return
    if given.measure:
        measure(given.tasks[0], given.measure, given.images)
        return
    print_machine()
    for name in given.tasks or SMALL:
        with tempfile.TemporaryDirectory(prefix="dlkit-memory-") as folder:
            version = child(name, "--export", folder).splitlines()[-1]
            print(f"{name}: {child(name, '--measure', version, '--images', str(given.images))}", flush=True)


def child(*arguments: str) -> str:
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
