"""Handwritten digits: the 1,797 images of 8 by 8 pixels that are part of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.data.split import split
from dlkit.data.table import Table
from dlkit.errors import DlkitError
from dlkit.version import install_hint


def digits() -> dict[str, dict[str, Any]]:
    """Return the splits train (1,078), validation (360) and test (359), always the same, each with all ten digits.

    Returns:
        Split name to `{"image": (rows, 8, 8) uint8 in [0, 255], "label": list of "0" to "9"}`.
        Source: Alpaydin and Kaynak, 1998, "Optical Recognition of Handwritten Digits", UCI; its test part.

    Raises:
        DlkitError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DlkitError(
            f"the sample digits are part of scikit-learn. Install it: {install_hint('samples')}."
        ) from error
    data = load_digits()
    images = np.round(data.images * (255.0 / 16.0)).astype(np.uint8)  # 0..16 on file
    labels = [str(label) for label in data.target]
    table = Table("digits", {"image": images, "label": labels}, lambda row: f"digits, index {row}")
    rest, test = split(table, 0.2, seed=0)
    train, validation = split(rest, 0.25, seed=1)
    parts = {"train": train, "validation": validation, "test": test}
    return {
        name: {"image": np.stack(part.columns["image"]), "label": list(part.columns["label"])}
        for name, part in parts.items()
    }
