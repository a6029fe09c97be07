"""Rows of series, one series per row: on the grid that those of long tables are on, with all that is of their steps."""

import numpy as np
import pytest

import dlkit
from dlkit.columns import to_batch
from dlkit.data.read import read
from dlkit.errors import DataError

pandas = pytest.importorskip("pandas")

NAN = np.nan
SMALL = {"width": 8, "ensemble_size": 1, "epochs": 1, "horizon": 3, "season_length": 4, "context_length": 6}
ALL = {"future_covariates": "price,holiday", "historical_covariates": "temp", "static_covariates": "kind"}


def table_of(source, **hparams):
    task = dlkit.Forecaster(**hparams)
    return read(source, {**task.inputs, **task.target})


def hours(*steps):
    return [f"2021-03-0{1 + step // 24}T{step % 24:02}:00:00" for step in steps]


def assert_same(left, right, but=()):
    assert set(left.columns) == set(right.columns)
    for name in set(left.columns) - set(but):
        for one, other in zip(left.columns[name], right.columns[name], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def row_of(length=30, ahead=0, order=None, gone=(), name="a"):
    """One series of hours; its values of the steps `gone` are missing, and its history is in some order."""
    order = [step for step in (range(length) if order is None else order) if step not in gone]
    after = range(length, length + ahead)
    return {
        "unique_id": name,
        "ds": hours(*order),
        "y": [10.0 + step % 4 + 0.1 * step for step in order],
        "temp": [step / 2 for step in order],
        "price": [100.0 + step for step in [*order, *after]],
        "holiday": ["Easter" if step % 5 == 0 else "" for step in [*order, *after]],
        "kind": f"kind {name}",
    }


def long_of(row, gone=()):
    """The same series as rows of a long table, the values ahead in rows without `y`."""
    count = len(row["ds"])
    ahead = len(row["price"]) - count
    last = count + len(gone) - 1
    return {
        "unique_id": [row["unique_id"]] * (count + ahead),
        "ds": [*row["ds"], *hours(*range(last + 1, last + 1 + ahead))],
        "y": [*row["y"], *[None] * ahead],
        "temp": [*row["temp"], *[None] * ahead],
        "price": row["price"],
        "holiday": row["holiday"],
        "kind": [row["kind"]] * (count + ahead),
    }


def encoded(task, source):
    """The tensors that a forecaster of these rows is trained on."""
    rows = task.read(source)
    rows.hold_out(0.0)
    task.stages_ = task.build(rows.table)
    table, columns = rows.to_encode(), {**task.inputs, **task.target}
    raw = to_batch([table.raw(row, columns) for row in range(len(table))], columns)
    tensors, truth = task.encode({name: raw[name] for name in task.inputs}, {name: raw[name] for name in task.target})
    return {name: tensor.numpy() for name, tensor in {**tensors, **truth}.items()}


def assert_same_windows(left, right, count):
    assert len(left["values"]) == count
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_a_shuffled_row_gives_the_windows_of_the_sorted_one():
    order = np.random.default_rng(0).permutation(30).tolist()
    assert order != sorted(order)
    made = [encoded(dlkit.Forecaster(**SMALL, **ALL), [row_of(ahead=3, order=of)]) for of in (None, order)]
    assert_same_windows(*made, count=27)  # after 1, ..., 27 hours
    future = {"future_y": [50.0, 51.0, 52.0, 53.0]}
    made = [
        encoded(dlkit.Forecaster(**SMALL, **ALL), [{**row_of(ahead=4, order=of), **future}]) for of in (None, order)
    ]
    assert_same_windows(*made, count=2)  # after 30 hours and 31


def test_a_row_with_a_gap_gives_the_windows_of_the_long_table_with_the_gap():
    row = row_of(ahead=3, gone=(4, 5, 17))
    long = long_of(row, gone=(4, 5, 17))
    assert_same(table_of([row], **ALL), table_of(long, **ALL))
    assert_same_windows(*[encoded(dlkit.Forecaster(**SMALL, **ALL), source) for source in ([row], long)], count=27)
    assert table_of([row], **ALL).remarks == [
        "1 rows of series, 27 timestamps, frequency: hour",
        "3 missing steps are filled as `fill` says",
        "3 missing values of 'price' are replaced by the mean",
    ]


def test_rows_are_evaluated_as_the_long_table_whatever_their_order():
    task = dlkit.Forecaster(**SMALL, **ALL, network="nlinear")
    rows = [row_of(gone=(4, 5, 17)), row_of(length=28, name="b")]
    task.fit(rows, verbose=0)
    mixed = [row_of(order=np.random.default_rng(1).permutation(30).tolist(), gone=(4, 5, 17)), rows[1]]
    long = pandas.concat(
        [pandas.DataFrame(long_of(row, gone)) for row, gone in zip(rows, ((4, 5, 17), ()), strict=True)]
    )
    metrics = task.evaluate(long)
    assert metrics["num_windows"] == 2
    assert task.evaluate(mixed) == task.evaluate(rows) == metrics
    cut = [{**row_of(27, 3, order=of), "future_y": [1.0, 2.0, 3.0]} for of in (None, [*range(9, 27), *range(9)])]
    assert task.evaluate(cut[:1]) == task.evaluate(cut[1:])


def test_steps_of_a_row_are_known_by_hand():
    """Sorted, with a gap of two hours, one hour twice, and a missing value."""
    row = {"ds": [hours(5, 0, 2, 1, 2)], "y": [[7.0, 1.0, 3.0, None, 5.0]], "temp": [[70, 10, 30, 20, 50]]}
    table = table_of(row, historical_covariates="temp")
    np.testing.assert_array_equal(table.columns["ds"][0], np.array(hours(*range(6)), "datetime64[s]"))
    np.testing.assert_array_equal(table.columns["y"][0], [1, NAN, 4, NAN, NAN, 7])
    np.testing.assert_array_equal(table.columns["temp"][0], [10, 20, 40, NAN, NAN, 70])
    assert table.columns["future_y"] == [[]]
    assert table.remarks == [
        "1 rows of series, 5 timestamps, frequency: hour",
        "2 missing steps are filled as `fill` says",
        "1 duplicate timestamps: the mean is used",
        "1 missing values are filled as `fill` says",
    ]
    last = table_of(row, historical_covariates="temp", duplicates="last")
    np.testing.assert_array_equal(last.columns["y"][0], [1, NAN, 5, NAN, NAN, 7])
    floored = table_of(
        {"ds": [["2021-03-01 03:20", *hours(0, 1, 2)]], "y": [[4, 1, 2, 3]], "future_y": [[9.0]]}, irregular="floor"
    )
    np.testing.assert_array_equal(floored.columns["ds"][0], np.array(hours(0, 1, 2, 3), "datetime64[s]"))
    np.testing.assert_array_equal(floored.columns["y"][0], [1, 2, 3, 4])
    np.testing.assert_array_equal(floored.columns["future_y"][0], [9])
    assert "1 irregular timestamps are moved to the preceding step" in floored.remarks


def test_what_follows_the_cutoff_follows_the_latest_timestamp():
    """The cutoff is the last timestamp, even without a value; covariates of both parts stay at their steps."""
    rows = {
        "ds": [hours(3, 0, 1), hours(0, 1)],
        "y": [[None, 1.0, 2.0], [1.0, None]],
        "future_y": [[5.0, None, 7.0, None], None],
        "price": [[103, 100, 101, 104, 105, 106, 107, 108], [100, 101, 102]],
        "holiday": [["d", "a", "b", "e", "f"], ["a", "b"]],
        "temp": [[33, 30, 31, 34], [30, 31]],
        "kind": [b"x", 7],
    }
    table = table_of(rows, **ALL)
    columns = table.columns
    np.testing.assert_array_equal(columns["ds"][0], np.array(hours(0, 1, 2, 3), "datetime64[s]"))
    np.testing.assert_array_equal(columns["y"][0], [1, 2, NAN, NAN])
    np.testing.assert_array_equal(columns["future_y"][0], [5, NAN, 7, NAN])
    np.testing.assert_array_equal(columns["price"][0], [100, 101, NAN, 103, 104, 105, 106, 107, 108])
    assert columns["holiday"][0].tolist() == ["a", "b", "", "d", "e", "f"]
    np.testing.assert_array_equal(columns["temp"][0], [30, 31, NAN, 33, 34])
    # Without values after it, the series ends at its last value, as one of a long table does.
    assert [len(columns[name][1]) for name in ("ds", "y", "future_y", "temp", "price", "holiday")] == [1, 1, 0, 1, 3, 2]
    assert columns["kind"] == ["x", "7"]
    some = table_of({**rows, "holiday": [["1"] * 5, ["2", "Easter"]]}, **ALL)  # one category makes the column one
    assert some.columns["holiday"][0].tolist() == ["1", "1", "", "1", "1", "1"]
    assert "1 missing steps" in table.remarks[1] and "2 missing values" in table.remarks[2]  # of 3:00 and of 5:00


def test_rows_of_one_series_are_rows_of_their_own_and_are_named():
    rows = {
        "unique_id": ["a", "a", "b", "a"],
        "ds": [hours(1, 0), hours(0, 1, 2), [], hours(3, 1)],
        "y": [[2.0, 1.0], [None] * 3, [], [4.0, 2.0]],
    }
    table = table_of(rows)
    assert table.columns["unique_id"] == ["a", "a"]
    np.testing.assert_array_equal(table.columns["y"][1], [2, NAN, 4])
    assert table.where(1) == "the rows of series, index 3, series 'a'"
    assert table.remarks[-1] == (
        "2 of 4 series skipped: the rows of series, index 1, series 'a' has no values of 'y'; the rows of series, "
        "index 2, series 'b' has no values of 'y'"
    )
    with pytest.raises(DataError, match="index 1, series 'a' has no values"):
        dlkit.Forecaster().read(rows, strict=True)
    some = [{"ds": hours(0, 1), "y": [1, 2]}, {"ds": hours(0, 1), "y": [1, 2], "future_y": [3.0]}]
    assert [len(values) for values in table_of(some).columns["future_y"]] == [0, 1]


DAYS = [f"2021-03-{day:02}" for day in range(1, 9)]


@pytest.mark.parametrize(
    ("rows", "hparams", "words"),
    [
        (
            {"ds": [hours(0, 1), hours(0, 1, 2, 5)], "y": [[1, 2], [1, 2, 3, 4]]},
            {"fill": "raise"},
            r"index 1: 2 steps of one hour are missing, the first after 2021-03-01T02:00:00\. Fill them, or",
        ),
        (
            {"ds": [hours(2, 0, 1, 2)], "y": [[1, 2, 3, 4]]},
            {"duplicates": "raise"},
            r"index 0: 1 duplicate timestamps, the first: 2021-03-01T02:00:00\. Remove them, or .* `duplicates`",
        ),
        (
            {"unique_id": ["x"], "ds": [[*hours(0, 3, 2), "2021-03-01 01:20"]], "y": [[1, 2, 3, 4]]},
            {"frequency": "h"},
            r"index 0, series 'x': the timestamp 2021-03-01T01:20:00 is not a multiple of one hour .* `irregular`",
        ),
        (
            {
                "unique_id": ["x"] * 3,
                "ds": [hours(*range(9)), hours(*range(9)), DAYS],
                "y": [[1] * 9, [1] * 9, [1] * 8],
            },
            {},
            r"mixed frequencies. .* 1 of 3 series have another: index 2, series 'x': day\. Use separate",
        ),
        (
            {"ds": [hours(0, 1), [5, 6]], "y": [[1, 2], [1, 2]]},
            {},
            r"index 1, column 'ds': the timestamp 5 is an integer, but 2021-03-01T00:00:00 in .*index 0 is a date. Use",
        ),
        ({"ds": [hours(0, 1), ["soon"]], "y": [[1, 2], [1]]}, {}, r"index 1, column 'ds': timestamp 0 is not valid"),
        ({"ds": [[], []], "y": [[], []]}, {}, r"no timestamps in the column 'ds'"),
        (
            {"ds": [hours(0, 1), []], "y": [[1, 2], []], "future_y": [[], [3]]},
            {},
            r"index 1: 'future_y' has 1 values, but 'ds' has no timestamp that they follow",
        ),
        (
            {"ds": [hours(0, 2, 1)], "y": [[1, 2]]},
            {},
            r"index 0: 'y' has 2 values, but 'ds' has 3 timestamps, the last 2021-03-01T02:00:00\. Give one value for",
        ),
        (
            {"ds": [hours(0, 1, 2, 3)], "y": [[1, 2]], "future_y": [[3, 4]]},
            {},
            r"'y' has 2 values, .*\. Remove the timestamps of 'future_y': 'ds' ends at the cutoff",
        ),
        (
            {"ds": [hours(0, 1, 2)], "y": [[1, 2, 3]], "temp": [[1, 2, 3, 4]]},
            {"historical_covariates": "temp"},
            r"index 0: 'temp' has 4 values, but 'ds' has 3 timestamps.*for each timestamp, null where it is missing\.",
        ),
        (
            {"ds": [hours(0, 1, 2)], "y": [[1, 2, 3]], "price": [[1, 2]]},
            {"future_covariates": "price"},
            r"index 0: 'price' has 2 values, but 'ds' has 3 .* missing, and those of the steps after the last one\.",
        ),
        ({"ds": [hours(0, 1)], "y": [["much", 2]]}, {}, r"index 0, column 'y': expected a list of numbers"),
        (
            {"ds": [hours(0, 1), hours(0, 1)], "y": [[1, 2], [1, 2]], "holiday": [["a", ""], None]},
            {"future_covariates": "holiday"},
            r"index 1, column 'holiday': expected a list of categories",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_row_timestamp_and_cure(rows, hparams, words):
    with pytest.raises(DataError, match=words):
        table_of(rows, **hparams)


def test_rows_to_forecast_are_left_to_the_graph_and_a_calendar_goes_on_from_their_latest_timestamp():
    task = dlkit.Forecaster(**SMALL, future_covariates="price", network="nlinear")
    encoded(task, [row_of()])
    order = [*range(20, 30), *range(20)]
    rows = {"unique_id": ["a"], **{name: [row_of(order=order)[name]] for name in ("ds", "y", "price")}}
    assert read(rows, task.inputs).columns["ds"] == rows["ds"]
    calendar = pandas.DataFrame({"ds": hours(30, 31, 32), "price": [1.0, 2.0, 3.0]})
    ordered = {"unique_id": ["a"], **{name: [row_of()[name]] for name in ("ds", "y", "price")}}
    made, expected = (task.forecast(of, future=calendar) for of in (rows, ordered))
    pandas.testing.assert_frame_equal(made, expected)
    assert made.ds.astype(str).str[11:13].tolist() == ["06", "07", "08"]
