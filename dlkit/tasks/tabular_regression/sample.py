"""Progression of diabetes in 442 patients: a table that is part of scikit-learn."""

from __future__ import annotations

from typing import Any

from dlkit.data.split import split
from dlkit.data.table import Table
from dlkit.errors import DlkitError
from dlkit.version import install_hint

PATIENT_COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def load_diabetes_table() -> dict[str, dict[str, Any]]:
    """Load the splits train (266), validation (88) and test (88), always the same.

    Returns:
        Split name to a dict of columns: nine numbers, the category `sex` ("sex 1" or "sex 2"), and `target`, a
        measure of the progression of the disease after a year. Source: Efron et al., 2004, "Least Angle Regression".

    Raises:
        DlkitError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_diabetes
    except ImportError as error:
        raise DlkitError(f"the sample is part of scikit-learn. Install it: {install_hint('samples')}.") from error
    data = load_diabetes(scaled=False)
    columns: dict[str, Any] = {name: values.tolist() for name, values in zip(PATIENT_COLUMNS, data.data.T, strict=True)}
    columns["sex"] = [f"sex {value:.0f}" for value in columns["sex"]]  # which of the codes is which is not documented
    columns["target"] = data.target.tolist()
    rest, test = split(Table("patients", columns, "patients, index {}".format), 0.2, seed=0)
    train, validation = split(rest, 0.25, seed=1)
    return {name: dict(part.columns) for name, part in (("train", train), ("validation", validation), ("test", test))}
