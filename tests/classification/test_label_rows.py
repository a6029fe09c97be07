"""Labels in Unicode's form NFC."""

from types import SimpleNamespace

import pytest

from dlkit.classification.labels import MULTI_TARGET, SINGLE_TARGET, LabelRows, learn_labels
from dlkit.data.table import Table
from dlkit.errors import DataError

COMPOSED, APART = "caf\u00e9", "cafe\u0301"


def rows_of(labels, known, target):
    table = Table("here", {"label": labels}, lambda row: f"here, row {row}")
    return LabelRows(SimpleNamespace(target=target, labels_=known), table)


def test_forms_of_a_name_are_one_label():
    table = Table("here", {"label": [COMPOSED, APART, "tea"]}, str)
    assert learn_labels(table, SINGLE_TARGET["label"]) == [COMPOSED, "tea"]


def test_labels_are_compared_in_composed_form():
    for labels, target in (([COMPOSED, APART, "tea"], SINGLE_TARGET), ([[COMPOSED], [APART], ["tea"]], MULTI_TARGET)):
        rows = rows_of(labels, [COMPOSED, "tea"], target)
        rows.check()
        for table in (rows.to_encode(), rows.to_evaluate()):
            raw = table.raw_column("label", target["label"])
            flat = [name for row in raw for name in (row if isinstance(row, list) else [row])]
            assert flat == [COMPOSED.encode(), COMPOSED.encode(), b"tea"]
    with pytest.raises(DataError, match="row 0: the label 'Tea' does not occur"):
        rows_of(["Tea"], [COMPOSED, "tea"], SINGLE_TARGET).check()
