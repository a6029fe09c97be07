"""The kinds of columns, and what their cells become."""

import datetime
import math

import numpy as np
import pandas
import pytest

from dlkit.errors import DataError
from dlkit.tabular.columns import BooleanCell, CategoryCell, DateCell, NumberCell, TextCell, Weight, format_date
from dlkit.tabular.discover import find_kind

KINDS = {
    "numbers as text": (["1", "2.5", "", "-3e4"], "number", 1),
    "numbers with words for missing": (["1", "NA", "?", "2"], "number", 2),
    "infinite": ([1.0, math.inf, None], "number", 1),
    "an array": (np.array([1.0, math.nan]), "number", 1),
    "integers": (np.array([1, 2]), "number", 0),
    "zeros and ones": ([0, 1, 1], "number", 0),
    "truth values": ([True, None, False], "boolean", 1),
    "yes and no": (["yes", "no", " No "], "boolean", 0),
    "words": (["red", "blue", "", None], "category", 2),
    "none is a word": (["none", "shed", "none"], "category", 0),
    "codes with letters": (["1a", "2b", "3"], "category", 0),
    "dates": (["2024-02-29", "2023-01-01 12:30", ""], "date", 1),
    "datetimes": ([datetime.date(2024, 1, 1), pandas.Timestamp("2024-01-02 03:04")], "date", 0),
    "sentences": (["a good film with a twist", "a bad film that is too long"], "text", 0),
    "the same long label": (["very much in favor"] * 5 + ["not at all in favor"] * 5, "category", 0),
    "nothing": (["", None, math.nan], "category", 3),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_a_column_is_found_from_its_values(name):
    values, kind, missing = KINDS[name]
    found = find_kind(values)
    assert (found.kind, found.missing) == (kind, missing)


def test_a_few_words_among_numbers_are_named():
    found = find_kind([str(number) for number in range(50)] + ["n.a.", "7O"])
    assert (found.kind, list(found.strays)) == ("category", [50, 51])
    assert list(find_kind(["1", "2", "a", "b"]).strays) == []


@pytest.mark.parametrize(
    ("cell", "value", "raw"),
    [
        (CategoryCell(), 3.0, b"3"),
        (CategoryCell(), np.int64(3), b"3"),
        (CategoryCell(), 3.5, b"3.5"),
        (CategoryCell(), True, b"true"),
        (CategoryCell(), " a ", b"a"),
        (CategoryCell(), math.nan, b""),
        (CategoryCell(), None, b""),
        (BooleanCell(), "Yes", b"true"),
        (BooleanCell(), 0, b"false"),
        (BooleanCell(), None, b""),
        (DateCell(), "2024-02-29T12:30:00+02:00", b"2024-02-29T10:30:00"),
        (DateCell(), np.datetime64("2024-02-29"), b"2024-02-29"),
        (DateCell(), pandas.NaT, b""),
        (TextCell(), None, b""),
        (NumberCell(), " 7 ", 7.0),
        (NumberCell(), "-inf", -math.inf),
        (NumberCell(), 1e39, math.inf),
        (Weight(), None, 1.0),
    ],
)
def test_cells_become_raw_values(cell, value, raw):
    assert cell.raw(value) == raw


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (NumberCell(), "much"),
        (NumberCell(), [1.0]),
        (CategoryCell(), ["a"]),
        (CategoryCell(), {"a": 1}),
        (BooleanCell(), "maybe"),
        (DateCell(), "2024-02-30"),
        (DateCell(), "0001-01-01T00:00+02:00"),
        (DateCell(), 20240229),
        (Weight(), -1),
        (Weight(), math.inf),
        (Weight(), ""),
    ],
)
def test_what_is_no_such_cell_is_refused(cell, value):
    with pytest.raises(DataError, match="expected"):
        cell.raw(value)


def test_a_missing_number_is_strict_json():
    assert [NumberCell().to_request(np.float32(value)) for value in (1.5, math.nan, math.inf)] == [1.5, None, "inf"]
    assert math.isnan(NumberCell().from_request(None))
    assert NumberCell().from_request("inf") == math.inf


def test_seconds_stay_and_fractions_go():
    assert format_date(datetime.datetime(2024, 1, 2, 3, 4, 5, 678)) == "2024-01-02T03:04:05"
