"""Tables of series in, tables of forecasts out: from the library, from the command line, and without any table."""

import dataclasses
import json

import numpy as np
import pytest

import dlkit
from dlkit.data.read import read
from dlkit.errors import DataError
from dlkit.training.prepare import build_task

pandas = pytest.importorskip("pandas")

MONTHS = pandas.date_range("2015-01-01", periods=60, freq="MS")
NAMES = ["unique_id", "ds", "yhat-lo-80", "yhat-lo-50", "yhat", "yhat-hi-50", "yhat-hi-80"]


def series(name, months=MONTHS, level=100.0):
    steps = np.arange(len(months))
    values = level * (1 + 0.3 * np.sin(steps * np.pi / 6)) + np.random.default_rng(0).normal(0, 1, len(steps))
    columns = {"promo": (steps % 3 == 0).astype(float), "temp": 1.0, "kind": {1: "x", 2: "y"}.get(name, "z")}
    return pandas.DataFrame({"unique_id": name, "ds": months, "y": values, **columns})


FRAME = pandas.concat([series(3), series(1, level=10.0), series(2, MONTHS[:40])])
AHEAD = pandas.DataFrame({"ds": pandas.date_range("2020-01-01", periods=4, freq="MS"), "promo": [0.0, 0.0, 1.0, 0.0]})


def built(**hparams):
    """Not trained: its naive forecasts are chosen when it is built."""
    task = dlkit.Forecaster(horizon=4, network="nlinear", ensemble_size=1, keep_history=True, **hparams)
    build_task(task, task.read(FRAME).hold_out(0.2)[0])
    return task


@pytest.fixture(scope="module")
def model():
    return built()


@pytest.fixture(scope="module")
def promoted():
    task = built(future_covariates="promo", historical_covariates="temp", static_covariates="kind")
    for weight in task.stages_.network.trainable_variables:  # as if it had learned to look at all
        weight.assign_add(np.random.default_rng(0).normal(0, 0.2, weight.shape))
    return task


@pytest.fixture
def run(model, predicting):
    return predicting(model)


def test_every_series_goes_on_from_its_own_end(model, capsys):
    made = model.forecast(FRAME)
    assert made.unique_id.tolist() == [3] * 4 + [1] * 4 + [2] * 4  # in the table's order, integers as they were
    assert sorted(made) == sorted(NAMES)
    assert made.ds.dt.strftime("%Y-%m").tolist()[:4] == ["2020-01", "2020-02", "2020-03", "2020-04"]
    assert made.ds.dt.strftime("%Y-%m").tolist()[8:] == ["2018-05", "2018-06", "2018-07", "2018-08"]
    for name, of in FRAME.groupby("unique_id"):
        one = model.forecast({"ds": of.ds, "y": of.y})  # one history: as it was
        mine = made[made.unique_id == name]
        np.testing.assert_allclose(mine.yhat, one["forecast"], rtol=1e-5)
        np.testing.assert_allclose(mine["yhat-lo-80"], one["quantiles"]["0.1"], rtol=1e-5)
        np.testing.assert_allclose(mine["yhat-hi-50"], one["quantiles"]["0.75"], rtol=1e-5)
    said = capsys.readouterr().err
    assert "1 of 3 series end before the last timestamp, 2019-12-01T00:00:00" in said and "own last one: '2'" in said


def test_the_table_may_be_wide_a_file_or_columns_with_other_names(model, tmp_path, monkeypatch):
    made = model.forecast(FRAME)
    FRAME.rename(columns={"ds": "month"}).to_csv(tmp_path / "s.csv", index=False)
    read = model.forecast(tmp_path / "s.csv", columns={"ds": "month"})
    np.testing.assert_allclose(read[NAMES[2:]], made[NAMES[2:]], rtol=1e-5)
    assert read.unique_id.tolist() == made.unique_id.astype(str).tolist()
    timestamps = dataclasses.replace(model.timestamps, wide=True)
    monkeypatch.setattr(model, "inputs", {**model.inputs, "ds": timestamps})
    by_name = model.forecast(FRAME.pivot(index="ds", columns="unique_id", values="y").rename(columns=str))
    assert by_name.unique_id.unique().tolist() == ["1", "2", "3"]
    np.testing.assert_allclose(by_name.yhat[:4], made[made.unique_id == 1].yhat, rtol=1e-5)


def test_how_far_and_which_quantiles(model):
    made = model.forecast(FRAME, horizon=2, quantile_levels=[0.15, 0.5, 0.9])
    assert list(made) == ["unique_id", "ds", "yhat", "yhat-lo-70", "yhat-hi-80"] and len(made) == 6
    whole = model.forecast(FRAME).groupby("unique_id", sort=False).head(2)
    np.testing.assert_allclose(made[["yhat", "yhat-hi-80"]], whole[["yhat", "yhat-hi-80"]], rtol=1e-5)
    with pytest.raises(DataError, match=r"`horizon` must be between 1 and 4, the trained horizon. Received: 5"):
        model.forecast(FRAME, horizon=5)
    with pytest.raises(
        DataError, match=r"`quantile_levels` must be between 0.1 and 0.9.*\[80.0\].*80 % interval, use 0.1 and 0.9"
    ):
        model.forecast(FRAME, quantile_levels=[80])


def test_what_is_known_ahead_comes_from_a_second_table_or_from_rows_without_y(promoted, capsys):
    full = FRAME[FRAME.unique_id != 2]
    by_all = promoted.forecast(full, future=AHEAD)  # without ids: for every series
    calendar = pandas.concat([AHEAD.assign(unique_id=name) for name in (1, 3)] + [full.tail(9)]).sample(frac=1)
    pandas.testing.assert_frame_equal(promoted.forecast(full, future=calendar), by_all)
    after = AHEAD.assign(temp=None)
    rows = pandas.concat([full, after.assign(unique_id=1, kind="x"), after.assign(unique_id=3, kind="z")])
    pandas.testing.assert_frame_equal(promoted.forecast(rows), by_all)
    assert not np.allclose(promoted.forecast(full, future=AHEAD.assign(promo=1.0)).yhat, by_all.yhat)
    capsys.readouterr()
    some = promoted.forecast(full, future=pandas.concat([AHEAD.assign(unique_id=1), AHEAD.assign(unique_id=9)]))
    assert some.unique_id.unique().tolist() == [1]
    said = capsys.readouterr().err
    assert "1 of 2 series of `future` are not in the data" in said
    assert "1 of 2 series skipped: the DataFrame, series '3': 'promo', a future covariate, has values for 0 of" in said


def test_what_is_not_known_ahead_is_refused_with_the_cure(promoted, model):
    words = "'promo', a future covariate, has values for 3 of the 4 steps from 2020-01-01.*`future`, a table with"
    with pytest.raises(DataError, match=words):
        promoted.forecast(FRAME[FRAME.unique_id == 1], future=AHEAD.head(3))
    with pytest.raises(DataError, match=r"trained without any. Leave it out, or train with `future_covariates`"):
        model.forecast(FRAME, future=AHEAD)
    with pytest.raises(DataError, match="another type than those of the series"):
        promoted.forecast(FRAME, future=AHEAD.assign(ds=[1, 2, 3, 4]))


def test_a_series_that_cannot_go_on_costs_itself_alone(model, capsys):
    days = pandas.date_range("2019-01-01", periods=30)
    bad = [series(7, days), series(8).assign(y=np.nan), series(9, MONTHS[-2:])]
    made = model.forecast(pandas.concat([FRAME, *bad]))
    assert made.unique_id.unique().tolist() == [3, 1, 2, 9]
    pandas.testing.assert_frame_equal(made.head(12), model.forecast(FRAME))
    said = capsys.readouterr().err
    assert (
        "2 of 6 series skipped" in said
        and "series '7': its frequency is one day, but that of the model is one month" in said
    )
    assert "series '8' has no values" in said and "1 of 4 series have fewer than 3 values" in said
    assert len(model.predict(pandas.concat([FRAME, *bad[:2]]))) == 3
    assert "2 of 5 series skipped" in capsys.readouterr().err
    with pytest.raises(DataError, match="series '8' has no values"):
        model.forecast(pandas.concat([FRAME, *bad[1:]]), strict=True)
    with pytest.raises(DataError, match="series '7': its frequency is one day"):
        model.forecast(bad[0])
    with pytest.raises(DataError, match="mixed frequencies"):  # nothing is trained on part of a table
        dlkit.Forecaster().read(pandas.concat([FRAME, bad[0]]))


def test_timestamps_between_the_steps_cost_their_series_where_histories_are_answered():
    task, days = dlkit.Forecaster(), pandas.date_range("2020-01-06", periods=60)
    odd = pandas.DatetimeIndex([*days[:-1], days[-1] + pandas.Timedelta("3h")])
    frame = pandas.concat([series("a", days), series("odd", odd)])
    table = read(frame, task.inputs)
    assert table.columns["unique_id"] == ["a"]
    assert "1 of 2 series skipped: the DataFrame, series 'odd': the timestamp" in " ".join(table.remarks)
    with pytest.raises(DataError, match="series 'odd': the timestamp"):
        task.read(frame)


def test_a_cell_that_cannot_be_read_costs_its_series():
    task, frame = dlkit.Forecaster(), pandas.concat([series("a"), series("b"), series("c")]).astype({"ds": str})
    frame.iloc[70, 1] = "soon"
    frame["y"] = [value if row != 130 else "much" for row, value in enumerate(frame.y)]
    table = read(frame, task.inputs)
    assert table.columns["unique_id"] == ["a"]
    said = " ".join(table.remarks)
    assert "2 of 3 series skipped" in said and "'soon'" in said and "'much'" in said
    with pytest.raises(DataError, match="'soon'"):
        read(frame[frame.unique_id == "b"], task.inputs)
    with pytest.raises(DataError, match="'soon'"):
        task.read(frame)


def test_kept_ends_go_on_without_a_table_and_are_kept_only_if_asked(model, promoted):
    pandas.testing.assert_frame_equal(model.forecast(), model.forecast(FRAME))  # held-out steps are among them
    future = pandas.concat([AHEAD, AHEAD.assign(ds=pandas.date_range("2018-05-01", periods=4, freq="MS"))])
    made = promoted.forecast(FRAME, future=future)
    pandas.testing.assert_frame_equal(promoted.forecast(future=future), made)
    assert json.loads(json.dumps(promoted.stored_series_)) == promoted.stored_series_
    assert len(promoted.stored_series_[0]["ds"]) <= 97  # what the window and the backtest read
    assert [kept["kind"] for kept in promoted.stored_series_] == ["z", "x", "y"]
    plain = dlkit.Forecaster(horizon=4)
    plain.stored_series_ = [{"of": "an earlier training"}]
    plain.read(FRAME).hold_out(0.2)
    assert plain.stored_series_ == []
    with pytest.raises(DataError, match=r"stores no series: give a table.*keep_history=True"):
        plain.rows.stored(plain)


def test_of_several_rows_of_one_series_the_last_is_kept():
    rows = {"unique_id": ["a", "a"], "ds": [["2020-01-01"], ["2020-01-01", "2020-02-01"]], "y": [[1.0], [1.0, 2.0]]}
    task = dlkit.Forecaster(horizon=1, keep_history=True)
    task.read({**rows, "future_y": [[2.0], [3.0, None]]}).hold_out(0.0)
    (kept,) = task.stored_series_
    assert kept["y"] == [1.0, 2.0, 3.0, None] and kept["ds"][-1] == "2020-04-01 00:00:00"


def test_a_table_of_series_becomes_one_of_forecasts_from_the_command_line(model, run, tmp_path):
    FRAME.to_csv(tmp_path / "s.csv", index=False)
    said = run(tmp_path / "s.csv", "--output", tmp_path / "out.csv")
    assert "3 predictions" in said.out and "own last one: '2'" in said.err
    written, made = pandas.read_csv(tmp_path / "out.csv", parse_dates=["ds"]), model.forecast(FRAME)
    assert list(written) == list(made) == list(model.predict(FRAME, as_frame=True))
    np.testing.assert_allclose(written.drop(columns="ds"), made.drop(columns="ds"), rtol=1e-5)
    assert (written.ds == made.ds).all()
    run("--output", tmp_path / "kept.parquet")  # without a table
    kept = pandas.read_parquet(tmp_path / "kept.parquet")
    pandas.testing.assert_series_equal(kept.unique_id, made.unique_id)
    np.testing.assert_allclose(kept.yhat, made.yhat, rtol=1e-5)


def test_a_forecast_is_a_table_on_the_terminal(run):
    _, head, *rows = run('{"ds": ["2024-01", "2024-02", "2024-03"], "y": [410, 380, 400]}').out.splitlines()
    assert head.split() == ["ds", "yhat", "yhat-lo-80", "yhat-lo-50", "yhat-hi-50", "yhat-hi-80"]
    assert [row.split()[0] for row in rows] == ["2024-04-01", "2024-05-01", "2024-06-01", "2024-07-01"]
    assert {len(row.rstrip()) for row in rows} == {len(head.rstrip())}  # aligned to the right
    assert run().out.count("unique_id: ") == 3
