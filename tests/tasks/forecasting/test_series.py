"""Tables of series: what becomes a row, on which grid, and what is told or refused."""

import datetime

import numpy as np
import pytest

import dlkit
from dlkit.data.read import read
from dlkit.errors import DataError, HparamError
from dlkit.tasks.forecasting.columns import Float64Series, Timestamps, encode_timestamps, to_timestamps
from dlkit.tasks.forecasting.frequency import Frequency, infer_frequency, parse_frequency
from dlkit.tasks.forecasting.sample import load_airline_passengers, load_sunspots

pandas = pytest.importorskip("pandas")


def table_of(source, **hparams):
    task = dlkit.Forecaster(**hparams)
    return read(source, {**task.inputs, **task.target})


def hours(count, start="2021-03-01"):
    return np.datetime_as_string(np.datetime64(start, "h") + np.arange(count), "s").tolist()


@pytest.mark.parametrize(
    ("alias", "name", "shown"),
    [
        ("h", "hour", "hour"),
        ("15min", "15 minutes", "15 minutes"),
        ("D", "day", "day"),
        ("W-SUN", "week", "week"),
        ("2W", "2 weeks", "2 weeks"),
        ("MS", "month", "month"),
        ("ME", "1 month", "month"),
        ("QS", "quarter", "quarter"),
        ("YE", "year", "year"),
        ("B", "business day", "business day"),
        ("BME", "BM", "month, on its last business day"),
        ("BMS", "BMS", "month, on its first business day"),
        ("BQE", "BQE", "quarter, on its last business day"),
    ],
)
def test_a_frequency_is_inferred_as_pandas_makes_it_and_as_it_is_written(alias, name, shown):
    timestamps = pandas.date_range("2019-01-31", periods=30, freq=alias).to_numpy().astype("datetime64[s]")
    step = infer_frequency([timestamps], "here")
    assert step == parse_frequency(alias) == parse_frequency(name)
    assert str(step) == shown
    np.testing.assert_array_equal(step.make_future(timestamps[:10], 20), timestamps[10:])
    np.testing.assert_array_equal(step.make_grid(timestamps, 30, floor=False), timestamps)


@pytest.mark.parametrize("day", [1, 15, 28, 29, 30, 31])
def test_months_go_on_from_the_day_that_they_stand_on(day):
    """A bill of the 28th does not become one of the month's end in February, whose 28th is its end."""
    months = np.arange("2019-01", "2024-01", dtype="datetime64[M]")
    lengths = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(int)
    timestamps = (months.astype("datetime64[D]") + np.minimum(day, lengths) - 1).astype("datetime64[s]")
    step = infer_frequency([timestamps], "here").with_anchor([timestamps])
    assert (step, step.anchor) == (Frequency(months=1), day)
    np.testing.assert_array_equal(step.make_future(timestamps[:26], 34), timestamps[26:])  # the last one is of February
    np.testing.assert_array_equal(step.make_future(timestamps[25], 34), timestamps[26:])  # alone: as in training
    other = np.array(["2023-01-12", "2023-02-12"], "datetime64[s]")
    assert str(step.make_future(other, 1)[0]) == "2023-03-12T00:00:00"


def test_whole_numbers_count_steps():
    assert infer_frequency([np.array([3, 5, 7, 11])], "here") == Frequency(integer=2) == parse_frequency("2")
    assert Frequency(integer=2).season_lengths() == []


@pytest.mark.parametrize(
    ("text", "seasons"),
    [("hour", [24, 168]), ("day", [7, 365]), ("week", [52]), ("month", [12]), ("quarter", [4]), ("year", [])],
)
def test_the_usual_seasons(text, seasons):
    assert parse_frequency(text).season_lengths() == seasons


@pytest.mark.parametrize("text", ["fortnight", "", "0 hours", "h h"])
def test_what_is_no_frequency_is_refused(text):
    with pytest.raises(HparamError, match="`frequency` must be such as hour"):
        parse_frequency(text)


def test_timestamps_of_all_kinds_become_one():
    expected = [b"2021-03-01 00:00:00", b"2021-03-02 00:00:00"]
    days = ["2021-03-01", "2021-03-02"]
    for given in (
        days,
        [day.encode() for day in days],
        [datetime.date(2021, 3, 1), datetime.date(2021, 3, 2)],
        [datetime.datetime(2021, 3, 1), datetime.datetime(2021, 3, 2)],
        np.array(days, "datetime64[D]"),
        pandas.to_datetime(days),
        pandas.Series(pandas.to_datetime(days)),
        ["2021-03-01 00:00", "2021-03-02T00:00:00"],
    ):
        assert encode_timestamps(to_timestamps(given)) == expected
    for given in ([20210301, 20210302], ["20210301", "20210302"], ["2021/03/01", "2021/03/02"]):
        assert encode_timestamps(to_timestamps(given)) == expected
    quarters = [b"2020-04-01 00:00:00", b"2020-07-01 00:00:00"]
    for given in ([202004, 202007], ["202004", "202007"], ["2020Q2", "2020-Q3"], ["2020-04", "2020-07"]):
        assert encode_timestamps(to_timestamps(given)) == quarters
    assert encode_timestamps(to_timestamps([20210301, 20210302], integer_index=True)) == [b"20210301", b"20210302"]
    assert encode_timestamps(to_timestamps(["2021-03-01 00:00:00.25"])) == [b"2021-03-01 00:00:00.250000"]
    assert encode_timestamps(to_timestamps([3, 4])) == encode_timestamps(to_timestamps(["3", "4"])) == [b"3", b"4"]


@pytest.mark.parametrize(
    "given",
    [["soon"], ["2021-03-01", "soon"], [1.5], [None], ["2021-02-30"], "2021-03-01", 5, [True], ["2021-W05"]],
)
def test_what_is_no_timestamp_is_refused_by_its_place(given):
    with pytest.raises(DataError, match=r"timestamp"):
        Timestamps().raw(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["2021-03-01", "2021-03-01T05:00Z"], "timestamp 1 has a time zone"),
        (["2021-03-01 05:00-05:00"], "timestamp 0 has a time zone"),
        (["2021-03-01 04:00", "2021-03-01 05:00+0100"], "timestamp 1 has a time zone"),
        (pandas.to_datetime(["2021-03-01"]).tz_localize("Europe/Berlin"), "timestamp 0 has a time zone"),
        (pandas.Series(pandas.to_datetime(["2021-03-01"]).tz_localize("UTC")), "timestamp 0 has a time zone"),
        (["2021-03-01", "1/2/2020"], "timestamp 1 is not valid: .*: the order of day and month is ambiguous"),
        ([20210630, 20210631, 20210701], "timestamp 1, 20210631, is not a date, but others look like YYYYMMDD"),
        (["2021-03-01", "20210302"], "timestamp 1 is not valid among dates"),
    ],
)
def test_no_timestamp_is_read_as_another_one(given, words):
    with pytest.raises(DataError, match=words):
        Timestamps().raw(given)


def test_whole_numbers_that_could_be_dates_count_steps_where_that_is_said():
    table = table_of({"ds": [200001, 200002, 200003], "y": [1, 2, 3]}, frequency="1")
    assert table.columns["ds"][0].tolist() == [200001, 200002, 200003]
    assert table_of({"ds": [200011, 200012, 200013, 200014], "y": [1, 2, 3, 4]}).columns["ds"][0].dtype.kind == "i"


def test_steps_may_be_parts_of_a_second():
    timestamps = np.datetime64("2021-03-01", "us") + 250_000 * np.arange(8)
    table = table_of({"ds": timestamps.astype(str).tolist(), "y": list(range(8))})
    np.testing.assert_array_equal(table.columns["ds"][0], timestamps)
    assert table.remarks[0] == "1 series, 8 rows, frequency: 0.25 seconds"
    uneven = [*hours(3), "2021-03-01 03:00:00.5"]
    with pytest.raises(DataError, match=r"03:00:00|02:00:00.*is not a multiple of one hour"):
        table_of({"ds": uneven, "y": list(range(4))})


def test_a_long_table_becomes_a_row_a_series_in_the_order_of_timestamps(tmp_path):
    lines = ["unique_id,ds,y,temp"]
    for name, size in (("b", 5), ("a", 4)):
        lines += [f"{name},{timestamp},{place},{place / 2}" for place, timestamp in enumerate(hours(size))]
    lines[1:] = lines[:0:-1]
    path = tmp_path / "series.csv"
    path.write_text("\n".join(lines))
    table = table_of(path, historical_covariates="temp")
    assert table.columns["unique_id"] == ["a", "b"]
    assert [len(ds) for ds in table.columns["ds"]] == [4, 5]
    np.testing.assert_array_equal(table.columns["y"][1], range(5))
    np.testing.assert_array_equal(table.columns["temp"][1], np.arange(5) / 2)
    assert table.columns["future_y"] == [[], []]
    assert table.remarks[0] == "2 series, 9 rows, frequency: hour"
    assert table.where(1).endswith("series.csv, series 'b'")


def test_a_wide_table_has_a_series_a_column(tmp_path):
    frame = pandas.DataFrame({"ds": hours(4), "north": [1.0, 2, 3, 4], "south": [None, 6.0, 7, 8]})
    frame.to_csv(tmp_path / "wide.csv", index=False)
    frame.to_parquet(tmp_path / "wide.parquet")
    for source in (frame, tmp_path / "wide.csv", tmp_path / "wide.parquet", frame.to_dict("list")):
        table = table_of(source, wide=True)
        assert table.columns["unique_id"] == ["north", "south"]
        np.testing.assert_array_equal(table.columns["y"], [[1, 2, 3, 4], [np.nan, 6, 7, 8]])


def test_a_wide_table_of_other_series_is_measured_by_a_loaded_model(tmp_path):
    random = np.random.default_rng(0)
    frame = pandas.DataFrame({"date": hours(60), "north": random.random(60), "south": random.random(60)})
    task = dlkit.Forecaster(wide=True, horizon=2, epochs=1, width=8, ensemble_size=1, batch_size=8, context_length=8)
    task.fit(frame, columns={"ds": "date"}, save=tmp_path / "m", verbose=0)
    loaded = dlkit.load(tmp_path / "m")
    other = pandas.DataFrame({"date": hours(40), "west": random.random(40)})
    assert loaded.evaluate(other, columns={"ds": "date"})["num_windows"] == 1
    with pytest.raises(DataError, match="a wide table must be a csv, tsv or parquet file"):
        loaded.evaluate((np.zeros(3), np.zeros(3)))


def test_gaps_duplicates_and_missing_values_are_counted_and_kept_apart():
    ds = [*hours(3), hours(3)[-1], *hours(6)[5:]]
    y = [1.0, None, 3.0, 5.0, 7.0]
    table = table_of({"ds": ds, "y": y})
    np.testing.assert_array_equal(table.columns["y"][0], np.array([1, np.nan, 4, np.nan, np.nan, 7], np.float32))
    assert [remark.split(" ", 1)[0] for remark in table.remarks[1:]] == ["2", "1", "1"]
    assert "missing steps" in table.remarks[1]
    last = table_of({"ds": ds, "y": y}, duplicates="last")
    assert last.columns["y"][0][2] == 5.0


@pytest.mark.parametrize(
    ("ds", "hparams", "words"),
    [
        ([*hours(3), *hours(6)[5:]], {"fill": "raise"}, r"series 'x': 2 steps of one hour are missing.*02:00:00"),
        ([*hours(3), *hours(3)[2:]], {"duplicates": "raise"}, r"series 'x': 1 duplicate timestamps.*02:00:00"),
        ([*hours(4), "2021-03-01 03:20"], {}, r"series 'x': the timestamp .* is not a multiple of one hour"),
        ([*hours(2), "soon"], {}, r"index 2, column 'ds': timestamp 0 is not valid: str 'soon'"),
        ([*hours(2), 7], {}, r"index 2, column 'ds'|timestamp 2 is not valid"),
        (["2021-03-01"] * 3, {}, "frequency cannot be inferred. Set `frequency`"),
        (hours(3), {"frequency": "1"}, "does not fit its timestamps"),
    ],
)
def test_what_cannot_be_is_refused_with_series_and_timestamp(ds, hparams, words):
    source = {"unique_id": ["x"] * len(ds), "ds": ds, "y": list(range(len(ds)))}
    with pytest.raises(DataError, match=words):
        table_of(source, **hparams)


def test_timestamps_between_the_steps_may_count_for_the_one_before():
    ds = ["2021-03-01 00:10", "2021-03-01 01:00", "2021-03-01 02:00", "2021-03-01 03:00"]
    table = table_of({"ds": ds, "y": [1.0, 2, 3, 4]}, irregular="floor", frequency="h")
    np.testing.assert_array_equal(table.columns["ds"][0], np.array(hours(4), "datetime64[s]"))


def test_the_step_begins_where_most_timestamps_are_though_the_last_ones_are_late():
    ds = [*hours(6)[:4], "2021-03-01T04:10:00", "2021-03-01T05:10:00"]
    table = table_of({"ds": ds, "y": list(range(6))}, irregular="floor")
    np.testing.assert_array_equal(table.columns["ds"][0], np.array(hours(6), "datetime64[s]"))


@pytest.mark.parametrize(
    ("frequencies", "words"),
    [
        (
            {"m": "MS", "d": "D", "e": "D"},
            "The frequency is one day, but 1 of 3 series have another: series 'm': month",
        ),
        ({"w": "W", "h": "h", "i": "h"}, "series 'w': week"),
        ({"d": "D", "m": "MS", "n": "MS", "o": "MS"}, "series 'd': day"),
    ],
)
def test_mixed_frequencies_are_refused_by_series(frequencies, words):
    frames = [
        pandas.DataFrame({"unique_id": name, "ds": pandas.date_range("2015-01-01", periods=30, freq=alias), "y": 1.0})
        for name, alias in frequencies.items()
    ]
    if "d" in frequencies and "n" in frequencies:
        frames[0] = frames[0][:20]
    with pytest.raises(DataError, match=f"mixed frequencies. .*{words}"):
        table_of(pandas.concat(frames))
    holes = frames[-1].drop(index=[3, 7, 8, 15])
    assert table_of(pandas.concat([frames[-1], holes.assign(unique_id="x")]))


def test_business_days_have_no_weekends_but_their_holidays_are_gaps():
    days = pandas.bdate_range("2021-01-04", periods=60).delete([11, 30])
    table = table_of({"ds": days, "y": np.arange(58.0)})
    assert table.remarks[0].endswith("frequency: business day")
    assert len(table.columns["y"][0]) == 60
    np.testing.assert_array_equal(
        table.columns["ds"][0], pandas.bdate_range("2021-01-04", periods=60).to_numpy().astype("datetime64[s]")
    )
    with pytest.raises(DataError, match="is not a multiple of one business day"):
        table_of({"ds": [*days, pandas.Timestamp("2021-04-10")], "y": np.arange(59.0)}, frequency="B")


def test_small_changes_of_large_values_are_read():
    y = 1e9 + 10 * np.sin(np.arange(40))
    timestamps = [str(np.datetime64("2010-01", "M") + place) for place in range(40)]
    np.testing.assert_array_equal(table_of({"ds": timestamps, "y": y}).columns["y"][0], y)


def test_a_covariate_may_be_a_category():
    ds = hours(6)
    source = {"ds": ds, "y": [1, 2, 3, 4, None, None], "holiday": ["", "Easter", None, "", "Easter", ""]}
    for given in (source, pandas.DataFrame(source)):
        table = table_of(given, future_covariates="holiday")
        assert table.columns["holiday"][0].tolist() == ["", "Easter", "", "", "Easter", ""]
    with pytest.raises(DataError, match="index 1, column 'temp': expected a finite number"):
        table_of({"ds": ds[:3], "y": [1, 2, 3], "temp": ["1", "much", "2"]}, historical_covariates="temp")
    with pytest.raises(DataError, match="decimal point"):
        table_of({"ds": ds[:3], "y": [1, 2, 3], "temp": ["1,5", "2,5", "2,0"]}, historical_covariates="temp")


def test_pandas_missing_values_are_missing_ones():
    frame = pandas.DataFrame({"ds": hours(4), "y": pandas.array([1, None, 3, 4], "Int64"), "t": [1.0, 2, 3, 4]})
    frame["t"] = pandas.array([0.5, None, None, 2], "Float64")
    frame["kind"] = pandas.array(["a", None, "a", "a"], "string")
    table = table_of(frame, historical_covariates="t", static_covariates="kind")
    np.testing.assert_array_equal(table.columns["y"][0], [1, np.nan, 3, 4])
    np.testing.assert_array_equal(table.columns["t"][0], [0.5, np.nan, np.nan, 2])
    assert table.columns["kind"] == ["a"]
    np.testing.assert_array_equal(Float64Series().raw(pandas.array([1, None], "Int64")), [1, np.nan])
    np.testing.assert_array_equal(Float64Series().raw([1, pandas.NA, None]), [1, np.nan, np.nan])


@pytest.mark.parametrize(
    ("source", "hparams", "words"),
    [
        ({"ds": hours(3)}, {}, "no column 'y'"),
        ({"ds": hours(3), "y": [1, "much", 3]}, {}, r"index 1, column 'y': expected a finite number"),
        ({"ds": hours(3), "y": [None] * 3}, {}, "has no values of 'y'"),
        (
            {"ds": hours(3), "y": [1, 2, 3], "kind": ["a", "b", "a"]},
            {"static_covariates": "kind"},
            "'kind' is not constant: 'a' and 'b'",
        ),
        ({"ds": hours(3), "y": [1, 2, 3]}, {"historical_covariates": "temp"}, "no column 'temp'"),
        ({"ds": [hours(3)], "y": [[1, 2, 3]]}, {"historical_covariates": "temp"}, "There is no 'temp'"),
        ({"ds": [hours(3)], "y": []}, {}, "must have the same length"),
    ],
)
def test_columns_that_lack_or_do_not_fit_are_named(source, hparams, words):
    with pytest.raises(DataError, match=words):
        table_of(source, **hparams)


def test_a_covariate_known_ahead_goes_on_after_the_last_value():
    table = table_of({"ds": hours(5), "y": [1, 2, 3, None, None], "open": [0, 1, 0, 1, 1]}, future_covariates="open")
    assert len(table.columns["y"][0]) == len(table.columns["ds"][0]) == 3
    np.testing.assert_array_equal(table.columns["open"][0], [0, 1, 0, 1, 1])


def test_a_file_read_in_parts_is_the_same(tmp_path, monkeypatch):
    lines = ["unique_id,ds,y"]
    lines += [f"s{place % 3},{timestamp},{place}" for place, timestamp in enumerate(hours(60))]
    path = tmp_path / "series.csv"
    path.write_text("\n".join(lines))
    whole = table_of(path, frequency="3h")
    monkeypatch.setattr("dlkit.data.read_chunks.CHUNK_ROWS", 7)
    parts = table_of(path, frequency="3h")
    for left, right in zip(whole.columns["y"], parts.columns["y"], strict=True):
        np.testing.assert_array_equal(left, right)
    assert len(parts) == 3


def test_a_covariate_that_turns_from_numbers_to_texts_is_refused_in_any_part(tmp_path, monkeypatch):
    path = tmp_path / "series.csv"
    path.write_text(
        "\n".join(["ds,y,kind", *(f"{time},1,{'a' if place > 20 else 2}" for place, time in enumerate(hours(60)))])
    )
    monkeypatch.setattr("dlkit.data.read_chunks.CHUNK_ROWS", 7)
    with pytest.raises(DataError, match="from here on, most values of the covariate 'kind' are texts"):
        table_of(path, future_covariates="kind")


def test_the_samples_are_whole():
    assert (sum(load_airline_passengers()["y"]), len(load_airline_passengers()["y"])) == (40_363.0, 144)
    assert len(load_sunspots()["y"]) == 309
    assert max(load_sunspots()["y"]) == 190.2  # of 1957
    parts = dlkit.Forecaster.samples()
    ends = {
        part: max(len(y) + len(f) for y, f in zip(rows["y"], rows["future_y"], strict=True))
        for part, rows in parts.items()
    }
    firsts = {part: min(map(len, rows["y"])) for part, rows in parts.items()}
    assert ends["train"] <= firsts["validation"]
    assert ends["validation"] <= firsts["test"]


@pytest.mark.slow
def test_years_of_sunspots_are_forecast(tmp_path):
    task = dlkit.Forecaster(horizon=4, backtest_windows=8, season_length=11, epochs=60, learning_rate=5e-3)
    train, test = dlkit.split(load_sunspots(), task)
    task.fit(train, verbose=0)
    metrics = task.evaluate(test)
    assert metrics["skill"] > 0.1
    assert task.export(tmp_path / "sunspots").is_dir()


def long_rows(**lengths):
    timestamps = np.datetime64("2020-01", "M") + np.arange(100)
    return pandas.DataFrame(
        [(name, str(timestamps[n]), float(n)) for name, count in lengths.items() for n in range(count)],
        columns=["unique_id", "ds", "y"],
    )


def test_a_series_without_values_and_words_for_missing_ones_stop_no_other(tmp_path):
    rows = long_rows(a=6, b=3, c=6).astype({"y": object})
    rows.loc[rows.unique_id == "b", "y"] = ""
    rows.loc[2, "y"] = "NA"
    rows.loc[4, "y"] = "null"
    rows.to_csv(tmp_path / "a.csv", index=False)
    table = table_of(tmp_path / "a.csv")
    assert list(table.columns["unique_id"]) == ["a", "c"]
    assert np.isnan(table.columns["y"][0]).tolist() == [False, False, True, False, True, False]
    assert table.where(1).endswith("series 'c'")
    assert [remark for remark in table.remarks if remark.startswith("2 missing values")]
    assert table.remarks[-1] == f"1 of 3 series skipped: {tmp_path}/a.csv, series 'b' has no values of 'y'"
    task = dlkit.Forecaster()
    with pytest.raises(DataError, match="series 'b' has no values"):
        task.read(tmp_path / "a.csv", strict=True)
    rows[rows.unique_id == "b"].to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match="series 'b' has no values"):
        table_of(tmp_path / "b.csv")


def test_a_series_too_short_for_the_backtest_is_left_out_of_it():
    rows = long_rows(a=30, new=5, b=30)
    rows.loc[rows.unique_id == "new", "ds"] = [f"2021-{month:02}" for month in (4, 5, 6, 7, 8)]
    task = dlkit.Forecaster(horizon=6)
    train, test = dlkit.split(rows, task)
    assert [str(name) for name in test.columns["unique_id"]] == ["a", "b"]
    assert "1 of 3 series skipped: the DataFrame, series 'new' has 5 steps: too few" in test.remarks[-1]
    lengths = dict(zip(map(str, train.columns["unique_id"]), map(len, train.columns["y"]), strict=True))
    assert lengths == {"a": 24, "new": 5, "b": 24}
    rows.loc[rows.unique_id == "new", "ds"] = [f"2021-{month:02}" for month in (10, 11, 12)] + ["2022-01", "2022-02"]
    train, _ = dlkit.split(rows, task)  # nothing later than the first origin, 2021-12
    assert [len(values) for values in train.columns["y"]] == [24, 3, 24]
    with pytest.raises(DataError, match="series 'new' has 5 steps"):
        dlkit.split(rows, task, strict=True)
    with pytest.raises(DataError, match="has 5 steps"):
        dlkit.split(rows[rows.unique_id == "new"], task)


def test_the_index_of_a_frame_may_hold_the_timestamps():
    rows = long_rows(a=6, b=6)
    plain = table_of(rows).columns
    dates = pandas.to_datetime(rows.ds)
    others = [
        rows.assign(ds=dates).set_index("ds"),
        rows.drop(columns="ds").set_index(pandas.DatetimeIndex(dates.to_numpy())),
        rows.drop(columns="ds").set_index(pandas.PeriodIndex(dates, freq="M", name=None)),
        rows.assign(ds=dates).set_index(["unique_id", "ds"]),
    ]
    for frame in others:
        made = table_of(frame).columns
        assert [str(name) for name in made["unique_id"]] == ["a", "b"]
        for name in ("ds", "y"):
            for one, other in zip(made[name], plain[name], strict=True):
                np.testing.assert_array_equal(one, other)
    wide = pandas.DataFrame(
        {"a": range(6), "b": range(6)}, index=pandas.DatetimeIndex(dates[:6].to_numpy()), dtype=float
    )
    read_wide = dlkit.Forecaster(wide=True).read(wide).table
    np.testing.assert_array_equal(read_wide.columns["y"][1], plain["y"][1])


def test_tables_of_series_have_options_and_hints_of_all(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("2020-01-01;1,5\n2020-01-02;2,5\n")
    task = dlkit.Forecaster()
    with pytest.raises(DataError, match="decimal point instead of the comma"):
        task.read(path, delimiter=";", column_names=["ds", "y"])
    path.write_text(path.read_text().replace(",", "."))
    table = task.read(path, delimiter=";", column_names=["ds", "y"]).table
    assert table.columns["y"][0].tolist() == [1.5, 2.5]
    with pytest.raises(DataError, match="semicolon"):
        task.read(path)
