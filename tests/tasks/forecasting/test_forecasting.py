"""Forecasters on small series: what is served, what a forecast may know, and what a backtest asks."""

import json
import subprocess
import sys

import numpy as np
import pytest

import dlkit
from dlkit.columns import to_batch
from dlkit.data.read import read
from dlkit.errors import DataError, HparamError
from dlkit.lazy import tf
from dlkit.tasks.forecasting.stages import forecast_signature

SMALL = {
    "width": 8,
    "ensemble_size": 2,
    "epochs": 2,
    "horizon": 4,
    "season_length": 6,
    "context_length": 12,
    "batch_size": 32,
}
NETWORKS = ("nlinear", "dlinear", "mlp", "lstm", "gru", "tcn", "transformer")


def long_table(length=120, ahead=0, seed=0, shut=0.2):
    """Two series of days with a season of 6, of which `open` shuts some: y, temp and kind."""
    random = np.random.RandomState(seed)
    table = {name: [] for name in ("unique_id", "ds", "y", "open", "temp", "kind")}
    for series, level in (("a", 10.0), ("b", 1000.0)):
        steps = np.arange(length + ahead)
        opened = (random.uniform(size=len(steps)) > shut).astype(float)
        values = level * (2 + np.sin(steps * np.pi / 3)) * opened + 0.02 * level * random.standard_normal(len(steps))
        table["unique_id"] += [series] * len(steps)
        table["ds"] += np.datetime_as_string(np.datetime64("2020-01-01") + steps, "D").tolist()
        table["y"] += [float(value) if step < length else None for step, value in enumerate(values)]
        table["open"] += opened.tolist()
        table["temp"] += random.standard_normal(len(steps)).tolist()
        table["kind"] += [f"kind {series}"] * len(steps)
    return table


ALL = {"future_covariates": "open", "historical_covariates": "temp", "static_covariates": "kind"}


@pytest.fixture(scope="module")
def covariates():
    task = dlkit.Forecaster(**{**SMALL, **ALL, "epochs": 40, "backtest_windows": 5, "learning_rate": 5e-3})
    parts = dict(zip(("train", "test"), dlkit.split(long_table(), task), strict=True))
    task.fit(parts["train"], verbose=0, strategy="one")
    task.parts = parts
    return task


def test_requests_kept_to_prove_exports_are_windows(covariates):
    assert covariates.examples_
    for request in covariates.examples_:
        length = len(request["ds"])
        assert length == len(request["y"]) == len(request["temp"]) <= 12
        assert len(request["open"]) == length + 4


def request_of(task, length=20, row=0):
    table = task.parts["test"].take([row])
    made = {name: table.columns[name][0] for name in task.inputs}
    keep = slice(-length, None)
    ahead = len(made["open"]) - len(made["ds"])
    made |= {name: np.array(made[name])[keep] for name in ("ds", "y", "temp")}
    made["open"] = np.array(made["open"])[-length - ahead :]
    return made


def test_covariates_known_ahead_make_the_difference(covariates):
    metrics = covariates.evaluate(covariates.parts["test"])
    assert metrics["skill"] > 0.5
    request = request_of(covariates)
    request["open"][-4 - 4 : -4] = 1.0
    closed = {**request, "open": np.array(request["open"])}
    closed["open"][len(request["ds"]) + 1] = 0.0
    opened = {**request, "open": np.array(request["open"])}
    opened["open"][len(request["ds"]) : len(request["ds"]) + 4] = 1.0
    assert covariates.predict(closed)["forecast"][1] < 0.5 * covariates.predict(opened)["forecast"][1]


def test_no_forecast_knows_the_future(covariates):
    """Other values after an cutoff, of the series and of covariates not known ahead, change no forecast."""
    table, cutoff = long_table(), 100
    other = {name: list(values) for name, values in table.items()}
    for place in range(len(other["y"])):
        if place % 120 >= cutoff:
            other["y"][place] = 1e6 * (place % 7)
            other["temp"][place] = -1e6
    answers = []
    for source in (table, other):
        rows = read(source, {**covariates.inputs, **covariates.target})
        from dlkit.tasks.forecasting.rows import SeriesWindows

        windows = SeriesWindows(rows, covariates.timestamps, covariates.resolve_frequency(rows))
        test_rows = windows.to_table([(row, windows.cut_window(row, 0, cutoff, 4)) for row in range(2)])
        answers.append(covariates.predict_table(test_rows))
        assert not np.array_equal(test_rows.columns["future_y"][0], [0.0] * 4)
    for name in answers[0]:
        np.testing.assert_array_equal(answers[0][name], answers[1][name])


def test_training_windows_know_nothing_of_their_future(covariates):
    """The same of what is encoded: up to an cutoff, the tensors of windows are unchanged; their truth is not."""
    table, cutoff = long_table(), 100
    other = {name: list(values) for name, values in table.items()}
    for place in range(len(other["y"])):
        if place % 120 >= cutoff:
            other["y"][place], other["temp"][place] = -5.0, 77.0
    encoded = []
    for source in (table, other):
        rows = covariates.read(source).to_encode().take([0])
        columns = {**covariates.inputs, **covariates.target}
        raw = to_batch([rows.raw(0, columns)], columns)
        features = {name: raw[name] for name in covariates.inputs}
        encoded.append(covariates.encode(features, {name: raw[name] for name in covariates.target}))
    tensors, truths = ([made[part] for made in encoded] for part in (0, 1))
    for name in tensors[0]:  # the first window ends after one value
        np.testing.assert_array_equal(tensors[0][name][: cutoff - 1], tensors[1][name][: cutoff - 1], err_msg=name)
    left, right = (truth["quantiles"].numpy() for truth in truths)
    np.testing.assert_array_equal(left[: cutoff - 4], right[: cutoff - 4])
    assert not np.array_equal(left[cutoff - 1], right[cutoff - 1])


def test_any_length_of_history_is_answered_in_its_units(covariates):
    for length in (1, 2, 7, 20):
        small, large = (covariates.predict(request_of(covariates, length, row)) for row in (0, 9))
        assert small["num_observed"] == min(length, 12)
        assert len(small["forecast"]) == 4
        if length > 2:  # one or two days may have been shut
            assert 10 * np.mean(small["forecast"]) < np.mean(large["forecast"])
        for rows in small["quantiles"].values():
            assert np.isfinite(rows).all()
        assert (np.diff(list(small["quantiles"].values()), axis=0) >= 0).all()


def test_what_lies_before_the_window_changes_nothing(covariates):
    long, short = request_of(covariates, 40), request_of(covariates, 12)
    assert covariates.predict(long)["forecast"] == covariates.predict(short)["forecast"]


def test_order_and_gaps_of_a_request(covariates):
    request = request_of(covariates, 12)
    order = np.random.RandomState(0).permutation(12)
    mixed = {name: np.array(request[name])[order] for name in ("ds", "y", "temp")}
    mixed |= {"kind": request["kind"], "open": np.concatenate([np.array(request["open"])[order], request["open"][12:]])}
    assert covariates.predict(mixed)["forecast"] == covariates.predict(request)["forecast"]
    gap = {name: np.delete(np.array(request[name]), 5) for name in ("ds", "y", "temp", "open")}
    missing = {
        **request,
        "y": [*request["y"][:5], None, *request["y"][6:]],
        "temp": [*request["temp"][:5], None, *request["temp"][6:]],
    }
    missing["open"] = [*request["open"][:5], None, *request["open"][6:]]
    made = covariates.predict([{**gap, "kind": request["kind"]}, missing])
    np.testing.assert_allclose(made[0]["forecast"], made[1]["forecast"], rtol=1e-5)
    assert made[0]["num_observed"] == 11


def test_a_request_says_how_far_and_which_quantiles(covariates):
    request = request_of(covariates)
    whole = covariates.predict(request)
    made = covariates.forecast(request, horizon=2, quantile_levels=[0.1, 0.5, 0.3])
    assert made["ds"] == whole["ds"][:2]
    np.testing.assert_allclose(made["quantiles"]["0.1"], whole["quantiles"]["0.1"][:2], rtol=1e-5)
    np.testing.assert_allclose(made["quantiles"]["0.5"], whole["forecast"][:2], rtol=1e-5)
    low, high = (np.array(whole["quantiles"][level][:2]) for level in ("0.25", "0.5"))
    np.testing.assert_allclose(made["quantiles"]["0.3"], low + 0.2 * (high - low), rtol=1e-4)
    for wrong in ({"horizon": 5}, {"horizon": 0}, {"quantile_levels": [0.95]}):
        with pytest.raises(DataError, match=r"the trained horizon|as in training"):
            covariates.forecast(request, **wrong)


def test_rows_of_one_batch_have_horizons_of_their_own(covariates):
    graph = forecast_signature(covariates).graph
    rows = [
        {name: column.raw(request_of(covariates, length)[name]) for name, column in covariates.inputs.items()}
        for length in (3, 9)
    ]
    batch = to_batch(rows, covariates.inputs)
    made = graph(**batch, horizon=tf.constant([1, 4]), quantile_levels=tf.constant([[0.5], [0.25]]))
    assert [sum(timestamp != b"" for timestamp in row) for row in made["ds"].numpy()] == [1, 4]
    assert made["num_steps"].numpy().tolist() == [1, 4]
    np.testing.assert_array_equal(made["forecast"][0, 1:], np.zeros(3))
    alone = covariates.forecast(request_of(covariates, 9), quantile_levels=[0.25])
    np.testing.assert_allclose(made["quantiles"][1, :, 0], alone["quantiles"]["0.25"], rtol=1e-5)


def test_a_backtest_asks_at_the_cutoffs_and_trains_before_the_first():
    task = dlkit.Forecaster(**SMALL, backtest_windows=3, step_size=2)
    train, test = dlkit.split(long_table(30), task)
    assert [len(y) for y in train.columns["y"]] == [22, 22]  # 30 - 4 - 2 * 2
    assert [len(y) for y in test.columns["y"]] == [12] * 6  # the window, and two seasons
    whole = read(long_table(30), {**task.inputs, **task.target})
    for row in range(6):
        end = (22, 24, 26)[row % 3]
        np.testing.assert_array_equal(test.columns["y"][row], whole.columns["y"][row // 3][end - 12 : end])
        np.testing.assert_array_equal(test.columns["future_y"][row], whole.columns["y"][row // 3][end : end + 4])
        assert test.columns["ds"][row][-1] == whole.columns["ds"][row // 3][end - 1]
    assert test.columns["unique_id"] == ["a"] * 3 + ["b"] * 3
    with pytest.raises(
        DataError,
        match=r"series 'a' has 8 steps: too few for 3 backtest windows .* size of 2.*at least 9; .*preceding history",
    ):
        dlkit.split(long_table(8), task)


def test_a_file_of_the_test_period_alone_is_named(covariates):
    short = {name: values[:10] for name, values in long_table(10).items()}
    with pytest.raises(DataError, match=r"too few for 5 backtest windows.*if the file covers the test period"):
        covariates.evaluate(short)
    metrics = covariates.evaluate(long_table(25))
    assert metrics["notes"] == [
        "4 of 10 backtest windows have less history than the model's context length of 12 steps, the shortest 5: if "
        "the data covers the test period only, include the preceding history"
    ]
    assert "notes" not in covariates.evaluate(long_table(120))


def untrained(table, **hparams):
    """A forecaster as it is before its first step, which answers."""
    task = dlkit.Forecaster(**{**SMALL, "ensemble_size": 1, "season_length": 0, "context_length": 0, **hparams})
    rows = task.read(table)
    rows.hold_out(0.0)
    task.stages_ = task.build(rows.table)
    task.examples_ = []
    return task


def months(count):
    return [f"{2015 + place // 12}-{place % 12 + 1:02}" for place in range(count)]


def test_small_changes_of_large_values_come_through_the_graph():
    y = 1e9 + 10 * np.sin(np.arange(48) * np.pi / 6)
    task = untrained({"ds": months(48), "y": y.tolist()})
    made = task.predict({"ds": months(48), "y": y.tolist()})
    quantiles = np.array(list(made["quantiles"].values()))
    assert np.abs(quantiles - 1e9).max() < 60
    assert len(np.unique(quantiles)) > 10  # in single precision they are multiples of 64
    shifted = task.predict({"ds": months(48), "y": (y - 1e9).tolist()})
    np.testing.assert_allclose(quantiles - 1e9, list(shifted["quantiles"].values()), atol=1e-4)


def test_counts_have_no_quantile_below_0_and_temperatures_have():
    counts = [float(59 - place) for place in range(60)]
    request = {"ds": months(60), "y": counts}
    lowest = min(map(min, untrained(request).predict(request)["quantiles"].values()))
    assert lowest == 0
    below = {**request, "y": [value - 0.5 for value in counts]}
    assert min(map(min, untrained(request).predict(below)["quantiles"].values())) < -0.5
    cold = {**request, "y": [value - 0.5 for value in counts]}
    assert min(map(min, untrained(cold).predict(cold)["quantiles"].values())) < -0.5


def test_constants_are_answered_by_themselves():
    table = {"unique_id": ["a"] * 40 + ["b"] * 40, "ds": months(40) * 2, "y": [3.0] * 40 + list(range(40))}
    task = untrained(table)
    made = task.predict({"ds": months(9), "y": [7.25] * 9})
    assert set(made["forecast"]) == {7.25} == {value for row in made["quantiles"].values() for value in row}


def test_categories_are_inputs_of_a_model_and_are_there_again_when_it_is_loaded(tmp_path):
    names = ["", "", "Easter", "May"] * 15
    table = {"ds": months(60), "y": [float(place * place % 7) for place in range(56)] + [None] * 4}
    task = untrained({**table, "holiday": names}, future_covariates="holiday")
    assert task.categories_ == {"holiday": ["Easter", "May"]}
    request = {"ds": months(8), "y": [0, 1, 2, 3, 0, 1, 2, 3], "holiday": ["", "", "Easter", "May"] * 3}
    made = task.predict(request)
    assert made["forecast"] != task.predict({**request, "holiday": [*request["holiday"][:8], *["May"] * 4]})["forecast"]
    task.save(tmp_path / "m")
    loaded = dlkit.load(tmp_path / "m")
    assert loaded.predict(request) == made
    numbers = task.predict({**request, "holiday": [None, float("nan"), "Easter", "May"] * 3})
    assert numbers == made


def test_one_rule_for_tables_and_requests():
    """What training floored, a request may hold; what it refused, a request may not."""
    clock = np.datetime64("2021-03-01", "s") + 300 * np.arange(60) + np.where(np.arange(60) > 50, 60, 0)
    table = {"ds": clock.astype(str).tolist(), "y": [float(place % 6) for place in range(60)]}
    task = untrained(table, irregular="floor")
    assert task.predict({name: values[-20:] for name, values in table.items()})["ds"][0] == "2021-03-01 05:00:00"
    even = {"ds": months(30), "y": list(range(30))}
    strict = untrained(even, fill="raise", duplicates="raise")
    gap = {"ds": ["2020-01", "2020-02", "2020-04"], "y": [1.0, 2, 3]}
    with pytest.raises(DataError, match="lacks a step of 1 months, which `fill` rejects"):
        strict.predict(gap)
    with pytest.raises(DataError, match="duplicate timestamps"):
        strict.predict({"ds": ["2020-01", "2020-02", "2020-02"], "y": [1.0, 2, 3]})
    assert untrained(even).predict(gap)["num_observed"] == 3


def test_a_bill_of_the_28th_stays_one():
    ds = [f"{month}-28" for month in months(50)]
    task = untrained({"ds": ds, "y": list(range(50))})
    for request in (ds, ds[-1:]):
        assert task.predict({"ds": request, "y": [1.0] * len(request)})["ds"][:2] == ["2019-03-28", "2019-04-28"]


def test_no_axis_of_one_is_mixed(recwarn):
    untrained({"ds": list(range(40)), "y": list(range(40))}, horizon=2)
    assert not [warning for warning in recwarn if "softmax" in str(warning.message)]


def test_a_table_is_evaluated_at_its_last_cutoffs(covariates):
    whole = long_table()
    metrics = covariates.evaluate(whole)
    assert metrics["num_windows"] == 10
    assert metrics["mase"] == pytest.approx(covariates.evaluate(covariates.parts["test"])["mase"], rel=1e-5)


def test_the_scale_is_that_of_the_training_part(covariates):
    for row, name in enumerate(("a", "b")):
        y = np.asarray(covariates.parts["train"].columns["y"][row], float)
        assert covariates.mase_scales_[name] == pytest.approx(np.abs(y[6:] - y[:-6]).mean(), rel=1e-5)


def test_what_is_held_out_is_the_end_of_each_series():
    task = dlkit.Forecaster(**SMALL)
    rows = task.read(long_table(50))
    table = rows.table
    rest, held = (part.table for part in rows.hold_out(0.2))
    assert [len(y) for y in rest.columns["y"]] == [40, 40]
    assert [len(y) for y in held.columns["future_y"]] == [10, 10]
    np.testing.assert_array_equal(held.columns["future_y"][1], table.columns["y"][1][40:])
    given = task.samples()["train"]
    rest, held = (part.table for part in task.read(given).hold_out(0.1))
    assert max(len(y) + len(f) for y, f in zip(rest.columns["y"], rest.columns["future_y"], strict=True)) <= min(
        map(len, held.columns["y"])
    )
    with pytest.raises(DataError, match="too short to hold out"):
        task.read(long_table(5)).hold_out(0.5)


def test_a_series_is_cut_into_rows_that_hold_every_origin_once(monkeypatch):
    monkeypatch.setattr("dlkit.tasks.forecasting.rows.MAX_CUTOFFS_PER_ROW", 7)
    task = dlkit.Forecaster(**SMALL)
    rows = task.read(long_table(40))
    rows.hold_out(0.0)
    task.stages_ = task.build(rows.table)
    cut = rows.to_encode()
    assert rows.windows_per_row == 7
    cutoffs = []
    for row in range(len(cut)):
        if cut.columns["unique_id"][row] == "a":
            first = int((cut.columns["ds"][row][-1] - np.datetime64("2020-01-01")) / np.timedelta64(1, "D")) + 1
            cutoffs += range(first, first + len(cut.columns["future_y"][row]) - 3)
    assert cutoffs == list(range(1, 37))


@pytest.mark.parametrize(
    ("hparams", "words"),
    [
        ({"quantile_levels": [0.1, 0.9]}, "that include 0.5"),
        ({"quantile_levels": [0.9, 0.5]}, "ascending"),
        (
            {"future_covariates": "x", "historical_covariates": "x"},
            "one of `future_covariates`, `historical_covariates` and `static_covariates`",
        ),
        ({"historical_covariates": "y"}, "must not be named ds, y or future_y"),
        ({"network": "transformer", "width": 6}, "multiple of 4"),
        ({"network": "nliner"}, "Did you mean 'nlinear'"),
    ],
)
def test_hparams_that_do_not_fit_are_refused(hparams, words):
    with pytest.raises(HparamError, match=words):
        dlkit.Forecaster(**hparams)


def test_a_covariate_that_is_not_known_ahead_is_refused_by_name(covariates):
    request = request_of(covariates)
    request["open"] = request["open"][: len(request["ds"])]
    with pytest.raises(
        DataError,
        match=r"input 0: .*`open` is a future covariate and needs a value for each timestamp of `ds` and for the 4",
    ):
        covariates.predict(request)


def test_a_table_is_forecast_from_the_command_line(covariates, tmp_path):
    covariates.save(tmp_path / "m")
    request = request_of(covariates, 5)
    body = {
        name: np.asarray(values).astype(str if name in ("ds", "kind") else float).tolist()
        for name, values in request.items()
    }
    done = subprocess.run(
        [sys.executable, "-m", "dlkit", "predict", tmp_path / "m", json.dumps(body), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ds"] == covariates.predict(request)["ds"]


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_learns_with_all_covariates_and_exports(network, tmp_path):
    task = dlkit.Forecaster(
        **{**SMALL, **ALL, "epochs": 25, "backtest_windows": 5, "network": network, "learning_rate": 5e-3}
    )
    parts = task.parted(long_table())
    task.fit(parts["train"], verbose=0, strategy="one")
    metrics = task.evaluate(parts["test"])
    if network in ("nlinear", "dlinear"):  # what is shut is no sum
        assert metrics["mase"] < 0.8 * metrics["comparison"]["naive"]["mase"]
    else:
        assert metrics["skill"] > 0.2
    assert task.export(tmp_path / network).is_dir()
