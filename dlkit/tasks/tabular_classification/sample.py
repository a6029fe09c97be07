"""Wines of three cultivars: a table of 13 measurements that is part of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.data.split import split
from dlkit.data.table import Table
from dlkit.errors import DlkitError
from dlkit.version import install_hint

MEASUREMENTS = (
    *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
    *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280_od315_of_diluted_wines", "proline"),
)


def load_wines() -> dict[str, dict[str, Any]]:
    """Load the splits train (106), validation (36) and test (36), always the same.

    Returns:
        Split name to a dict of columns: 13 numbers, `alcohol` to `proline`, and `label`, the cultivar.
        Source: Aeberhard and Forina, 1992, "Wine", UCI.

    Raises:
        DlkitError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_wine
    except ImportError as error:
        raise DlkitError(f"the sample is part of scikit-learn. Install it: {install_hint('samples')}.") from error
    data = load_wine()
    columns: dict[str, Any] = {name: values.tolist() for name, values in zip(MEASUREMENTS, data.data.T, strict=True)}
    columns["label"] = [f"cultivar {number + 1}" for number in data.target]
    rest, test = split(Table("wines", columns, "wines, index {}".format), 0.2, seed=0)
    train, validation = split(rest, 0.25, seed=1)
    train = train.take(np.random.default_rng(0).permutation(len(train)).tolist())  # its rows are sorted by cultivar
    return {name: dict(part.columns) for name, part in (("train", train), ("validation", validation), ("test", test))}
