"""Labels in Unicode's form NFC, and models that were trained before they were."""

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


@pytest.mark.parametrize("known", [COMPOSED, APART])
def test_labels_are_compared_composed_and_answered_as_the_model_spells_them(known):
    for labels, target in (([COMPOSED, APART, "tea"], SINGLE_TARGET), ([[COMPOSED], [APART], ["tea"]], MULTI_TARGET)):
        rows = rows_of(labels, [known, "tea"], target)
        rows.check()
        for table in (rows.to_encode(), rows.to_evaluate()):
            raw = table.raw_column("label", target["label"])
            flat = [name for row in raw for name in (row if isinstance(row, list) else [row])]
            assert flat == [known.encode(), known.encode(), b"tea"]
            rows.with_table(table).check()
    with pytest.raises(DataError, match="row 0: the label 'Tea' does not occur"):
        rows_of(["Tea"], [known, "tea"], SINGLE_TARGET).check()
