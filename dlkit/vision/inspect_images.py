"""What a report says of the images of a table: sizes, channels, depth, transparency, orientation."""

from __future__ import annotations

import collections
import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error
from dlkit.report import Report, most_common
from dlkit.vision.image_header import parse_orientation

MAX_INSPECTED_PIXELS = 4_000_000  # pixels of an image whose alpha is looked at
_CHANNELS = {"1": "grey", "L": "grey", "I": "grey", "F": "grey", "LA": "grayscale with alpha", "P": "palette",
             "RGB": "color", "RGBA": "color with alpha", "CMYK": "CMYK", "YCbCr": "color"}  # fmt: skip


def inspect_images(report: Report, table: Table, name: str, share: float = 0.4) -> None:
    """Adds what the headers of a table's images tell, and of those with alpha or 16 bits a few pixels.

    Args:
        report: to add to.
        table: the training rows.
        name: the column of the images.
        share: of the report's time.
    """
    sizes: list[tuple[int, int]] = []
    kinds: collections.Counter[str] = collections.Counter()
    found: dict[str, list[str]] = collections.defaultdict(list)
    for row in report.sample(len(table), share):
        value = table.columns[name][row]
        try:
            with as_data_error(table.where(row), "an image file"):
                facts = _facts(value)
        except DataError as error:
            found["broken"].append(str(error))
            continue
        if facts is None:
            continue
        size, kind, flags = facts
        sizes.append(size)
        kinds[kind] += 1
        for flag in flags:
            found[flag].append(table.where(row))
    if not sizes:
        return
    heights, widths = np.array(sizes).T
    middle = f"{int(np.median(heights))} x {int(np.median(widths))}"
    spread = f"{heights.min()} x {widths.min()} to {heights.max()} x {widths.max()}"
    alike = heights.min() == heights.max() and widths.min() == widths.max()
    report.statistics["image size"] = f"{middle} (height x width)" if alike else f"{middle} median, {spread}"
    report.statistics["image kinds"] = most_common(dict(kinds))
    if found["turned"]:
        report.statistics["EXIF orientation"] = f"{len(found['turned'])} of {len(sizes)} images are rotated by it"
    if found["deep"]:
        report.statistics["16 bits"] = f"{len(found['deep'])} of {len(sizes)} images, scaled by their maximum value"
    _warn(report, found, len(sizes) + len(found["broken"]))


def _warn(report: Report, found: dict[str, list[str]], count: int) -> None:
    said = {
        "broken": ("images cannot be read", "They are excluded from training."),
        "blank": (
            "images are entirely white on a white background: their alpha channel holds a white shape",
            "Composite them onto a background of another color before training.",
        ),
    }
    for flag, (what, cure) in said.items():
        if found.get(flag):
            report.add_warning(f"{len(found[flag])} of {count} {what}", found[flag], cure)


def _facts(value: Any) -> tuple[tuple[int, int], str, list[str]] | None:
    """(height, width), what kind an image is, and what is remarkable; None for a value that is no file."""
    from PIL import Image

    if isinstance(value, np.ndarray):
        channels = value.shape[2] if value.ndim == 3 else 1
        deep = value.dtype == np.uint16
        flags = ["deep"] if deep else []
        return value.shape[:2], {1: "grey", 3: "color", 4: "color with alpha"}.get(channels, "other"), flags  # type: ignore[return-value]
    if isinstance(value, (str, os.PathLike)):
        value = Path(value).read_bytes()
    if not isinstance(value, (bytes, bytearray)):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, on files that are odd and can be read
        with Image.open(io.BytesIO(value)) as image:
            kind = "16 bit" if image.mode.startswith("I") else _CHANNELS.get(image.mode, image.mode)
            flags = ["turned"] if parse_orientation(bytes(value)) > 1 else []
            if image.mode.startswith("I"):
                flags.append("deep")
            transparent = image.mode in ("RGBA", "LA") or "transparency" in image.info
            if transparent and image.width * image.height <= MAX_INSPECTED_PIXELS:
                flags += ["blank"] if _is_white_shape(np.asarray(image.convert("RGBA"))) else []
            return (image.height, image.width), kind, flags


def _is_white_shape(pixels: np.ndarray) -> bool:
    """Whether an image shows something by its alpha alone, in white."""
    alpha, opaque = pixels[..., 3], pixels[pixels[..., 3] > 0][:, :3]
    return bool(len(opaque)) and alpha.min() < 128 <= alpha.max() and int(opaque.min()) > 247
