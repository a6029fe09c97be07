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
from dlkit.report import Report, most

TURNED = 274  # EXIF's tag of the orientation; 1 is upright
_CHANNELS = {"1": "grey", "L": "grey", "I": "grey", "F": "grey", "LA": "grey with alpha", "P": "palette",
             "RGB": "color", "RGBA": "color with alpha", "CMYK": "CMYK", "YCbCr": "color"}  # fmt: skip


def look_at_images(report: Report, table: Table, name: str, share: float = 0.4) -> None:
    """Adds what the headers of a table's images tell, and of those with alpha or 16 bits a few pixels.

    Args:
        report: to add to.
        table: the training rows.
        name: the column of the images.
        share: of the report's time.
    """
    from PIL.Image import DecompressionBombError

    sizes: list[tuple[int, int]] = []
    kinds: collections.Counter[str] = collections.Counter()
    found: dict[str, list[str]] = collections.defaultdict(list)
    for row in report.sample(len(table), share):
        value = table.columns[name][row]
        try:
            facts = _facts(value)
        except DecompressionBombError as error:
            found["broken"].append(f"{table.where(row)}: {error}")
            continue
        except (OSError, SyntaxError, ValueError) as error:
            found["broken"].append(f"{table.where(row)}: {getattr(error, 'strerror', None) or 'not an image file'}")
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
    report.facts["image size"] = f"{middle} (height x width)" if alike else f"{middle} in the middle, {spread}"
    report.facts["image kinds"] = most(dict(kinds))
    _warn(report, found, len(sizes) + len(found["broken"]))


def _warn(report: Report, found: dict[str, list[str]], count: int) -> None:
    said = {
        "broken": ("images cannot be read", "They are left out of training."),
        "turned": (
            "images carry an EXIF orientation that turns them, and are read as they are stored",
            "Turn them before training, for example by Pillow's ImageOps.exif_transpose, annotations along.",
        ),
        "deep": ("images have 16 bits, of which the upper 8 count", "Scale them to the whole range before training."),
        "dark": (
            "images have 16 bits and no value above 4095: most of what they show is lost, since the upper 8 bits count",
            "Scale them to the whole range of 16 bits, or save them with 8.",
        ),
        "shape": (
            "images have one color wherever they are opaque: their alpha carries the shape, which is not read",
            "Paint them on a background before training.",
        ),
    }
    for flag, (what, cure) in said.items():
        if found.get(flag):
            report.warn(f"{len(found[flag])} of {count} {what}", found[flag], cure)


def _facts(value: Any) -> tuple[tuple[int, int], str, list[str]] | None:
    """(height, width), what kind an image is, and what is remarkable; None for a value that is no file."""
    from PIL import Image

    if isinstance(value, np.ndarray):
        channels = value.shape[2] if value.ndim == 3 else 1
        deep = value.dtype == np.uint16
        flags = ["dark" if value.max(initial=0) < 4096 else "deep"] if deep else []
        return value.shape[:2], {1: "grey", 3: "color", 4: "color with alpha"}.get(channels, "other"), flags  # type: ignore[return-value]
    if isinstance(value, (bytes, bytearray)):
        file: Any = io.BytesIO(value)
    elif isinstance(value, (str, os.PathLike)):
        file = Path(value)
    else:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, on files that are odd and can be read
        with Image.open(file) as image:
            kind = "16 bit" if image.mode.startswith("I") else _CHANNELS.get(image.mode, image.mode)
            flags = ["turned"] if image.getexif().get(TURNED, 1) not in (0, 1) else []
            if image.mode.startswith("I"):
                flags.append("dark" if np.asarray(image).max(initial=0) < 4096 else "deep")
            if image.mode in ("RGBA", "LA") or "transparency" in image.info:
                flags += ["shape"] if _is_shape(np.asarray(image.convert("RGBA"))) else []
            return (image.height, image.width), kind, flags


def _is_shape(pixels: np.ndarray) -> bool:
    """Whether an image shows something by its alpha alone."""
    alpha, opaque = pixels[..., 3], pixels[pixels[..., 3] > 0][:, :3]
    return bool(len(opaque)) and alpha.min() < 128 <= alpha.max() and int(np.ptp(opaque, axis=0).max()) < 8
