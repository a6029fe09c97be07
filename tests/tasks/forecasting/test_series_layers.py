"""Layers of forecasting by hand and against pandas: timestamps, windows, calendar, naive forecasts, quantiles."""

import dataclasses

import numpy as np
import pytest

from dlkit.lazy import tf
from dlkit.regression.quantiles import OrderedQuantiles, PinballLoss
from dlkit.tasks.forecasting.autoregression import choose_share, fit_autoregression
from dlkit.tasks.forecasting.exponential_smoothing import _estimate_profile, _list_models, _smooth, smooth
from dlkit.tasks.forecasting.forecast_decoding import ForecastDecoding
from dlkit.tasks.forecasting.frequency import parse_frequency
from dlkit.tasks.forecasting.initial_weights import find_autoregression, initialize_from_naive, should_use_smoothing
from dlkit.tasks.forecasting.naive_forecasts import (
    ForecastMixture,
    NaiveForecasts,
    TrendForecasts,
    get_naive_indices,
)
from dlkit.tasks.forecasting.networks import NetworkSpec, mlp_forecaster
from dlkit.tasks.forecasting.series_preprocessing import SeriesPreprocessing, fill_gaps
from dlkit.tasks.forecasting.stages import make_training_windows, truncate_contexts
from dlkit.tasks.forecasting.timestamps import (
    CalendarFeatures,
    add_months,
    add_steps,
    format_timestamps,
    parse_timestamps,
    to_civil_date,
)

pandas = pytest.importorskip("pandas")
NAN = np.nan


def strings(values):
    return tf.constant(np.array(values, object), tf.string)


def test_timestamps_are_read_and_written_as_pandas_does():
    random = np.random.default_rng(0)
    seconds = random.integers(-60_000_000_000, 60_000_000_000, 5000)  # years 68 to 3871
    timestamps = seconds.astype("datetime64[s]")
    texts = [str(timestamp).replace("T", " ") for timestamp in timestamps]
    read, valid = parse_timestamps(strings(texts))
    assert valid.numpy().all()
    np.testing.assert_array_equal(read, seconds)
    assert [text.decode() for text in format_timestamps(read).numpy()] == texts
    year, month, day = (part.numpy() for part in to_civil_date(tf.math.floordiv(read, 86_400)))
    np.testing.assert_array_equal(year, timestamps.astype("datetime64[Y]").astype(int) + 1970)
    np.testing.assert_array_equal(month, timestamps.astype("datetime64[M]").astype(int) % 12 + 1)
    np.testing.assert_array_equal(
        day, (timestamps.astype("datetime64[D]") - timestamps.astype("datetime64[M]")).astype(int) + 1
    )


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("2016-10", "2016-10-01 00:00:00"),
        ("2016-10-02", "2016-10-02 00:00:00"),
        ("2016-10-02T13:05", "2016-10-02 13:05:00"),
        ("2016-10-02 13:05:07.25", "2016-10-02 13:05:07"),
        ("2016-02-29", "2016-02-29 00:00:00"),
        ("2015-02-29", None),
        ("2016-13-01", None),
        ("2016-10-02 24:00", None),
        ("2016-10-02Z", None),
        ("16-10-02", None),
        ("", None),
    ],
)
def test_short_timestamps_and_wrong_ones(text, full):
    seconds, valid = parse_timestamps(strings([text]))
    assert bool(valid[0]) == (full is not None)
    if full:
        assert format_timestamps(seconds).numpy()[0].decode() == full


@pytest.mark.parametrize("first", ["2019-01-31", "2020-02-29", "2019-12-15 06:30:00", "2019-11-30"])
def test_months_later_are_the_last_days_or_the_same(first):
    start = np.datetime64(first, "s")
    made = add_months(tf.fill([30], tf.constant(start.astype(int), tf.int64)), tf.range(1, 31, dtype=tf.int64))
    np.testing.assert_array_equal(made.numpy().astype("datetime64[s]"), parse_frequency("month").make_future(start, 30))


def test_a_calendar_is_that_of_pandas():
    timestamps = pandas.date_range("2020-02-28 20:00", periods=60, freq="h")
    cutoff = tf.constant([timestamps[9].to_datetime64().astype("datetime64[s]").astype(int)], tf.int64)
    made = CalendarFeatures(-9, 50, [0, 3600, 0])(cutoff).numpy()[0]
    assert made.shape[1] == CalendarFeatures(-9, 50, [0, 3600, 0]).num_features
    np.testing.assert_array_equal(made[:, :12].argmax(1) + 1, timestamps.month)
    np.testing.assert_allclose(made[:, 12] * 31 + 1, timestamps.day, rtol=1e-6)
    np.testing.assert_array_equal(made[:, 19:26].argmax(1), timestamps.day_of_week)
    np.testing.assert_array_equal(made[:, 26:50].argmax(1), timestamps.hour)
    months = CalendarFeatures(1, 14, [1, 0, 0])(cutoff).numpy()[0]
    np.testing.assert_array_equal(months[:, :12].argmax(1), [month % 12 for month in range(2, 16)])


def test_gaps_are_filled_by_what_came_before():
    values = tf.constant([[0.0, 2, 0, 0, 5, 0]])
    there = tf.constant([[False, True, False, False, True, False]])
    np.testing.assert_allclose(fill_gaps(values, there, "last"), [[0, 2, 2, 2, 5, 5]])
    np.testing.assert_allclose(fill_gaps(values, there, "linear"), [[0, 2, 3, 4, 5, 5]])
    np.testing.assert_allclose(fill_gaps(values, there, "mean"), values)
    none = tf.zeros([1, 6], tf.bool)
    np.testing.assert_allclose(fill_gaps(tf.zeros([1, 6]), none, "linear"), np.zeros([1, 6]))


def make_layer(**options):
    return SeriesPreprocessing(5, 2, **{"frequency": [0, 86_400, 0], "prior_scales": [[1.0, 1.0]], **options})


def days(*numbers):
    return strings([[f"2021-03-{number:02d}" if number else "" for number in row] for row in numbers])


def test_a_window_ends_with_the_newest_timestamp_wherever_it_stands():
    made = make_layer().align(
        {"ds": days([9, 7, 5, 0], [1, 2, 3, 4]), "y": tf.constant([[9.0, 7, 5, 1], [1, 2, NAN, 4]])}, 2
    )
    np.testing.assert_array_equal(made["y"], [[5, NAN, 7, NAN, 9], [NAN, 1, 2, NAN, 4]])
    newest = np.array(["2021-03-09", "2021-03-04"], "datetime64[s]").astype(int)
    np.testing.assert_array_equal(made["cutoff"], newest)


def test_scaling_is_that_of_the_values_given():
    made = make_layer()({"ds": days([1, 2, 3, 5]), "y": tf.constant([[1.0, 2, 3, 6]])})
    mean, spread = 3.0, np.sqrt((4 + 1 + 0 + 9) / 4)
    np.testing.assert_allclose([made["center"][0], made["scale"][0]], [mean, spread], rtol=1e-6)
    np.testing.assert_allclose(made["values"][0], (np.array([1, 2, 3, 3, 6]) - mean) / spread, atol=1e-6)
    np.testing.assert_array_equal(made["observed_mask"][0], [1, 1, 1, 0, 1])
    assert int(made["num_observed"][0]) == 4


def scale_of(*rows, prior_scales=((4.0, 2.0), (100.0, 50.0))):
    made = make_layer(prior_scales=prior_scales)(
        {"ds": days(*[range(1, len(row) + 1) for row in rows]), "y": tf.constant(rows, "float64")}
    )
    return made["center"].numpy(), made["scale"].numpy(), made["values"].numpy()


def test_a_series_is_scaled_by_itself():
    """Levels of its own and of other series say nothing, and small changes of large values survive."""
    around = np.array([3.0, -5, 4, -2])
    for level in (0, 10, 1e4, 1e9, -1e12):
        center, scale, values = scale_of([*(level + around)])
        np.testing.assert_allclose(scale, around.std(), rtol=1e-4)
        np.testing.assert_allclose(center - level, around.mean(), atol=1e-3)
        np.testing.assert_allclose(values[0, 1:], (around - around.mean()) / around.std(), atol=1e-3)


def test_a_constant_has_no_scale_and_is_answered_by_itself():
    for value in (0.0, 0.1, 7.3e9):
        center, scale, values = scale_of([value] * 4)
        assert (center[0], scale[0]) == (value, 0)
        np.testing.assert_array_equal(values, np.zeros([1, 5]))
        layer = ForecastDecoding([0, 86_400, 0, 0, 0, 1], [0.1, 0.5])
        made = layer(tf.constant([[[[-1.0, 1.0]] * 2]]), center, scale, tf.constant([0], tf.int64))
        np.testing.assert_array_equal(made["quantiles"], np.full([1, 2, 2], value))


def test_one_or_two_values_have_the_usual_deviation_of_their_level():
    one = [scale_of([value])[1][0] * np.sqrt(2) for value in (5.0, 90.0, 1.0, 1000.0, 0.0)]
    np.testing.assert_allclose(one, [2, 50, 0.5, 500, 2])  # beyond the levels they go along
    through_zero = scale_of([0.01], prior_scales=((0.0, 2.0), (4.0, 2.0)))[1]
    np.testing.assert_allclose(through_zero * np.sqrt(2), [2])
    np.testing.assert_allclose(scale_of([5.0, 5.0])[1], [2 / np.sqrt(3)])


def test_windows_without_a_change_teach_nothing():
    layer = make_layer()
    y = np.array([[2.0, 2, 2, 2, 2, 9, 1]])
    _, truth, _ = make_training_windows(
        layer, {"ds": days([1, 2, 3]), "y": tf.constant(y[:, :3])}, tf.constant(y[:, 3:]), 2
    )
    assert np.isnan(truth.numpy()[:3]).all()
    assert np.isfinite(scale_of([2.0, 2, 2, 2, 9])[1]).all()


STEPS = {
    "floor": parse_frequency("15 minutes").with_anchor([np.array(["2021-03-01 00:05"], "datetime64[s]")]),
    "business": parse_frequency("B"),
}


def test_timestamps_between_the_steps_count_for_the_one_before_as_in_a_table():
    layer = SeriesPreprocessing(4, 2, STEPS["floor"].as_list(), prior_scales=[[1.0, 1.0]], irregular="floor")
    ds = ["2021-03-01 01:05", "2021-03-01 01:20", "2021-03-01 01:41", "2021-03-01 01:52"]
    made = layer.align({"ds": strings([ds]), "y": tf.constant([[1.0, 2, 3, 4]], tf.float64)}, 2)
    np.testing.assert_array_equal(made["y"], [[1, 2, 3, 4]])
    assert made["cutoff"].numpy().astype("datetime64[s]")[0] == np.datetime64("2021-03-01T01:50:00")
    places, between = STEPS["floor"].to_step_indices(np.array(ds, "datetime64[s]"), floor=True)
    np.testing.assert_array_equal(places - places[0], [0, 1, 2, 3])
    assert between.tolist() == [False, False, True, True]
    assert str(STEPS["floor"].make_grid(np.array(ds, "datetime64[s]"), 4, floor=True)[-1]) == "2021-03-01T01:50:00"


def test_of_values_of_one_step_the_last_counts_as_in_a_table():
    layer = make_layer(duplicates="last", frequency=parse_frequency("day").as_list())
    ds, y = days([2, 1, 2, 3, 1, 2]), [[5.0, 1, 6, 7, 2, NAN]]
    np.testing.assert_array_equal(layer.align({"ds": ds, "y": tf.constant(y)}, 2)["y"], [[NAN, NAN, 2, 6, 7]])


def daily(**options):
    return SeriesPreprocessing(5, 2, parse_frequency("day").as_list(), prior_scales=[[1.0, 1.0]], **options)


@pytest.mark.parametrize(
    ("options", "ds", "words"),
    [
        ({"duplicates": "raise"}, ["2021-03-01", "2021-03-02", "2021-03-02"], "duplicate timestamps.*2021-03-02"),
        ({"allow_gaps": False}, ["2021-03-01", "2021-03-04", "2021-03-05"], "lacks a step.*rejects, after.*2021-03-01"),
        ({}, ["2021-03-01 00:00:00.5", "2021-03-02 00:00:00"], "fractional seconds.*00.5"),
        ({}, ["2021-03-01", "2021-03-02 05:00"], "not a multiple of"),
        ({}, ["20210301", "20210302"], "must hold timestamps such as 2016-10-01"),
        ({}, ["2021-03-01", "2021-03-02T00:00:00-05:00"], "must hold timestamps such as 2016-10-01"),
    ],
)
def test_what_a_table_may_not_hold_a_request_may_not_either(options, ds, words):
    request = {"ds": strings([ds]), "y": tf.ones([1, len(ds)], tf.float64)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){words}"):
        daily(**options)(request)
    if options:
        daily()(request)


def test_what_is_refused_only_where_it_stands():
    """Padding is no repeat, and neither are a request's order and steps after its newest timestamp."""
    layer = daily(duplicates="raise", allow_gaps=False)
    made = layer({"ds": days([3, 1, 2, 0, 0], [5, 4, 3, 2, 1]), "y": tf.ones([2, 5], tf.float64)})
    np.testing.assert_array_equal(made["num_observed"], [3, 5])


def test_business_days_go_on_over_weekends():
    layer = SeriesPreprocessing(4, 3, STEPS["business"].as_list(), prior_scales=[[1.0, 1.0]])
    ds = ["2021-03-03 16:00", "2021-03-04 16:00", "2021-03-05 16:00", "2021-03-08 16:00"]
    made = layer({"ds": strings([ds]), "y": tf.constant([[1.0, 2, 3, 4]], tf.float64)})
    np.testing.assert_array_equal(made["observed_mask"], [[1, 1, 1, 1]])
    timestamps = add_steps(made["cutoff"][:, None], tf.range(-3, 9, dtype=tf.int64), STEPS["business"].as_list())
    expected = pandas.bdate_range("2021-03-03", periods=12) + pandas.Timedelta(hours=16)
    np.testing.assert_array_equal(timestamps[0].numpy().astype("datetime64[s]"), expected.to_numpy())
    assert CalendarFeatures(1, 3, STEPS["business"].as_list())(made["cutoff"])[0].numpy()[:, -7:].argmax(
        1
    ).tolist() == [
        1,
        2,
        3,
    ]
    with pytest.raises(tf.errors.InvalidArgumentError, match="a weekend day"):
        layer({"ds": strings([["2021-03-06"]]), "y": tf.ones([1, 1], tf.float64)})


@pytest.mark.parametrize("alias", ["BME", "BMS", "BQE"])
def test_business_ends_of_months_are_those_of_pandas(alias):
    expected = pandas.date_range("2019-01-31", periods=40, freq=alias).to_numpy().astype("datetime64[s]")
    cutoff = tf.constant([expected[9].astype(int)], tf.int64)
    made = add_steps(cutoff, tf.range(-9, 31, dtype=tf.int64), parse_frequency(alias).as_list())
    np.testing.assert_array_equal(made.numpy().astype("datetime64[s]"), expected)


@pytest.mark.parametrize(
    ("trained", "ds", "following"),
    [
        (28, ["2021-01-28", "2021-02-28"], "2021-03-28"),
        (28, ["2021-02-28"], "2021-03-28"),
        (0, ["2021-02-28"], "2021-03-31"),
        (31, ["2021-02-28"], "2021-03-31"),
        (0, ["2020-12-30", "2021-01-30", "2021-02-28"], "2021-03-30"),
        (31, ["2021-01-12", "2021-02-12"], "2021-03-12"),
        (1, ["2021-01-31", "2021-02-28"], "2021-03-31"),
    ],
)
def test_months_of_a_request_go_on_as_those_of_a_table(trained, ds, following):
    step = dataclasses.replace(parse_frequency("month"), anchor=trained)
    reader, answer = (
        SeriesPreprocessing(4, 2, step.as_list(), prior_scales=[[1.0, 1.0]]),
        ForecastDecoding(step.as_list(), [0.1, 0.5]),
    )
    made = reader({"ds": strings([[*ds, ""]]), "y": tf.ones([1, len(ds) + 1], tf.float64)})
    scaling = {name: made[name] for name in ("center", "scale", "cutoff", "anchor_day")}
    assert answer(tf.zeros([1, 1, 2, 2]), **scaling)["ds"].numpy()[0, 0].decode() == following
    assert str(step.make_future(np.array(ds, "datetime64[s]"), 1)[0])[:10] == following


def test_steps_of_parts_of_a_second():
    step = [0, 250_000, 0, 0, 0, 1_000_000]
    layer, answer = SeriesPreprocessing(3, 2, step, prior_scales=[[1.0, 1.0]]), ForecastDecoding(step, [0.1, 0.5])
    ds = ["2021-03-01 00:00:00.25", "2021-03-01 00:00:00.500", "2021-03-01 00:00:01"]
    made = layer({"ds": strings([ds]), "y": tf.constant([[1.0, 2, 3]], tf.float64)})
    np.testing.assert_array_equal(made["observed_mask"], [[1, 0, 1]])
    timestamps = answer(tf.zeros([1, 1, 2, 2]), made["center"], made["scale"], made["cutoff"])["ds"]
    assert timestamps.numpy().tolist() == [[b"2021-03-01 00:00:01.250000", b"2021-03-01 00:00:01.500000"]]
    assert CalendarFeatures(0, 2, step)(made["cutoff"]).shape[-1] == CalendarFeatures(0, 2, step).num_features


def test_categories_are_known_by_their_names():
    layer = daily(future_covariates={"holiday": ["Easter", "May"]}, historical_covariates={"sky": ["blue"]})
    request = {
        "ds": days([3, 5]),
        "y": tf.constant([[1.0, 2]], tf.float64),
        "holiday": strings([["May", "", "Easter", "new"]]),
        "sky": strings([["blue", "grey"]]),
    }
    made = layer(request)
    np.testing.assert_array_equal(made["future_covariates"][0, :, 0], [0, 0, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(made["future_covariates"][0, :, 1], [0, 0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(made["historical_covariates"][0, :, 0], [0, 0, 1, 0, 0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="`holiday` is a future covariate"):
        layer({**request, "holiday": strings([["May", "", "Easter"]])})


def test_covariates_stand_beside_the_values_and_ahead():
    layer = make_layer(
        historical_covariates={"temp": {"mean": 1.0, "deviation": 2.0}},
        future_covariates={"open": {"mean": 0.0, "deviation": 1.0}},
    )
    made = layer(
        {
            "ds": days([3, 5], [4, 5]),
            "y": tf.constant([[1.0, 2], [3, 4]]),
            "temp": tf.constant([[3.0, NAN], [5, 7]]),
            "open": tf.constant([[1.0, 2, 3, 4], [5, 6, 7, 8]]),
        }
    )
    np.testing.assert_allclose(made["historical_covariates"][..., 0], [[0, 0, 1, 0, 0], [0, 0, 0, 2, 3]])
    np.testing.assert_allclose(made["future_covariates"][..., 0], [[0, 0, 1, 0, 2, 3, 4], [0, 0, 0, 5, 6, 7, 8]])


def test_static_covariates_are_names_or_numbers():
    layer = make_layer(static_covariates={"kind": ["a", "b"], "size": {"mean": 2.0, "deviation": 4.0}})
    request = {"ds": days([1], [1]), "y": tf.constant([[1.0], [1]])}
    made = layer({**request, "kind": strings(["b", "new"]), "size": strings(["10", ""])})
    np.testing.assert_allclose(made["static_covariates"], [[0, 1, 2], [0, 0, 0]])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ds": strings([["2021-03-01", "soon"]])}, "(?s)must hold timestamps such as 2016-10-01.*soon"),
        ({"ds": strings([["2021-03-01", "2021-03-02 05:00"]])}, "not a multiple of 86400 seconds"),
        ({"y": tf.constant([[1.0]])}, "at least as many values as `ds` has timestamps"),
        ({"y": tf.constant([[1.0, 2, 3]])}, "`y` must not have more values"),
        ({"open": tf.constant([[1.0, 2, 3]])}, r"`open` is a future covariate and needs .* for the 2 steps"),
        ({"open": tf.constant([[1.0, 2, 3, NAN]])}, "`open` is a future covariate"),
    ],
)
def test_what_a_request_lacks_is_named(given, words):
    good = {"ds": days([1, 2]), "y": tf.constant([[1.0, 2]]), "open": tf.constant([[1.0, 2, 3, 4]])}
    layer = make_layer(future_covariates={"open": {"mean": 0.0, "deviation": 1.0}})
    layer(good)
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        layer({**good, **given})


def test_windows_of_a_row_are_those_of_requests_at_each_origin():
    layer = make_layer(
        historical_covariates={"temp": {"mean": 0.0, "deviation": 1.0}},
        future_covariates={"open": {"mean": 0.0, "deviation": 1.0}},
    )
    values = np.array([3.0, NAN, 4, 6, 2, 8, 9, 1], np.float32)
    temp, opened = values[::-1].copy(), np.arange(10, dtype=np.float32)
    row = {"ds": days([1, 2, 3]), "y": values[None, :3], "temp": temp[None, :], "open": opened[None, :]}
    made, truth, rows = make_training_windows(
        layer, {name: tf.constant(v) for name, v in row.items()}, tf.constant(values[None, 3:]), 2
    )
    assert rows.numpy().tolist() == [0, 0, 0, 0]
    for place, end in enumerate(range(3, 7)):
        request = {
            "ds": days(range(1, end + 1)),
            "y": values[None, :end],
            "temp": temp[None, :end],
            "open": opened[None, : end + 2],
        }
        alone = layer({name: tf.constant(v) for name, v in request.items()})
        for name, expected in alone.items():
            np.testing.assert_allclose(made[name][place], expected[0], atol=1e-6, err_msg=name)
        units = truth[place] * alone["scale"][0] + alone["center"][0]
        np.testing.assert_allclose(units, values[end : end + 2], rtol=1e-5)


def test_a_shortened_window_is_what_a_short_request_makes():
    layer = make_layer()
    y = np.array([[3.0, 5, 4, 6, 2]], np.float64)
    made = layer({"ds": days([1, 2, 3, 4, 5]), "y": tf.constant(y)})
    tensors = {name: made[name] for name in ("values", "observed_mask")}
    ahead = np.array([[7.0, 8.0]])
    truth = tf.cast((ahead - made["center"][:, None]) / made["scale"][:, None], tf.float32)
    kept = set()
    for step in range(40):
        short, moved = truncate_contexts(tensors, truth, 1.0, 0, tf.constant(step))
        count = int(short["observed_mask"].numpy().sum())
        kept.add(count)
        values = short["values"].numpy()[0, 5 - count :]
        np.testing.assert_allclose(values.mean(), 0, atol=1e-5)
        if 3 <= count < 5:
            alone = layer({"ds": days(range(1, count + 1)), "y": tf.constant(y[:, 5 - count :])})
            np.testing.assert_allclose(values, alone["values"][0, 5 - count :], atol=1e-5)
            units = (ahead - alone["center"][:, None]) / alone["scale"][:, None]
            np.testing.assert_allclose(moved, units, rtol=1e-4)
        slope = (moved[0, 1] - moved[0, 0]) / (truth[0, 1] - truth[0, 0])
        if count > 1:  # the same line through values and truth
            np.testing.assert_allclose(
                (values[-1] - values[0]) / slope, (y[0, 4] - y[0, 5 - count]) / made["scale"][0], atol=1e-4
            )
    assert kept >= {1, 2, 3}
    same, moved = truncate_contexts(tensors, truth, 0.0, 0, tf.constant(1))
    np.testing.assert_array_equal(same["values"], tensors["values"])
    np.testing.assert_array_equal(moved, truth)


def test_naive_forecasts_stand_a_season_back():
    places = get_naive_indices(10, 3, [4])
    np.testing.assert_array_equal(places, [[9, 6, 2], [9, 7, 3], [9, 8, 4]])
    values = tf.range(10, dtype=tf.float32)[tf.newaxis]
    np.testing.assert_array_equal(NaiveForecasts(places)(values)[0], places)
    two = tf.stack([values, -values], 2)
    np.testing.assert_array_equal(NaiveForecasts(places)(two)[0, 0], [9, -9, 6, -6, 2, -2])
    np.testing.assert_array_equal(get_naive_indices(10, 5, [4])[:, 1], [6, 7, 8, 9, 6])


def test_trends_go_on():
    steps = np.arange(12.0)
    line, there = 3 + 2 * steps, np.ones(12)
    season = np.tile([0.0, 5, -5, 1], 3) + np.repeat([0.0, 10, 20], 4)
    gap = there.copy()
    gap[[4, 5]] = 0
    values = np.stack([line, np.where(gap, line, -99.0), season, line]).astype("float32")
    given = np.stack([there, gap, there, np.eye(12)[-1]]).astype("uint8")
    made, known = TrendForecasts(3, 6, [4])(tf.constant(values), tf.constant(given))
    ahead = 3 + 2 * np.arange(12.0, 15)
    np.testing.assert_allclose(made[0], np.stack([ahead] * 4, 1), rtol=1e-5)
    np.testing.assert_allclose(made[1, :, :2], np.stack([ahead] * 2, 1), rtol=1e-5)
    np.testing.assert_allclose(made[2, :, 2], [30, 35, 25], rtol=1e-5)
    slope = np.polyfit(steps, season, 1)[0]
    np.testing.assert_allclose(made[2, :, 3], season[8:11] + 4 * slope, rtol=1e-5)
    np.testing.assert_array_equal(known[0], np.ones([3, 4]))
    np.testing.assert_array_equal(known[3], np.zeros([3, 4]))
    long, _ = TrendForecasts(6, 6, [4])(tf.constant(values[2:3]), tf.constant(given[2:3]))
    np.testing.assert_allclose(long[0, :, 2], [30, 35, 25, 31, 40, 45], rtol=1e-5)


def test_a_mixture_leaves_out_what_is_not_there():
    forecasts = tf.constant([[[1.0, 2.0, 4.0]]])
    mix = ForecastMixture()
    np.testing.assert_allclose(mix(tf.zeros([1, 1, 3]), forecasts, tf.constant([[[1.0, 0, 1]]])), [[2.5]])
    np.testing.assert_allclose(mix(tf.zeros([1, 1, 3]), forecasts, tf.zeros([1, 1, 3])), [[1.0]])


def test_quantiles_never_cross():
    random = np.random.default_rng(0)
    median, widths = random.normal(size=(50, 3)), random.normal(scale=20, size=(50, 3, 4))
    made = OrderedQuantiles(2)(median.astype("float32"), widths.astype("float32")).numpy()
    assert (np.diff(made, axis=-1) >= 0).all()
    np.testing.assert_allclose(made[..., 2], median, rtol=1e-5)
    near = np.log1p(np.exp(widths[..., 1]))
    np.testing.assert_allclose(made[..., 2] - made[..., 1], near, rtol=1e-3, atol=1e-4)


def test_the_pinball_loss_by_hand():
    truth = np.array([[2.0, NAN], [NAN, NAN]], np.float32)
    answer = np.array([[[[1.0, 4], [9, 9]], [[2, 2], [0, 0]]]] * 2, np.float32)  # rows, members, steps, levels
    loss = PinballLoss([0.1, 0.5], reduction="none")(truth, answer).numpy()
    np.testing.assert_allclose(loss, [(0.1 * 1 + 0.5 * 2 + 0 + 0) / 4, 0], rtol=1e-6)


def test_no_quantile_is_below_the_lowest_value():
    """Unless the history is below it itself."""
    read, answer = make_layer(lower_bound=0.0), ForecastDecoding([0, 86_400, 0, 0, 0, 1], [0.1, 0.5, 0.9])
    made = read({"ds": days([1, 2, 3], [1, 2, 3]), "y": tf.constant([[1.0, 0, 3], [1, -1, 3]], tf.float64)})
    scaling = {name: made[name] for name in ("center", "scale", "cutoff", "lower_bound")}
    quantiles = answer(tf.constant([[[[-3.0, -0.5, 2]]]] * 2), **scaling)["quantiles"].numpy()
    assert quantiles[0, 0, 0] == 0 < quantiles[0, 0, 1] < quantiles[0, 0, 2]
    assert quantiles[1, 0, 0] < -1


def test_an_answer_is_in_units_with_its_timestamps_and_other_levels_lie_between():
    layer = ForecastDecoding([1, 0, 0], [0.1, 0.5, 0.9])
    quantiles = tf.constant([[[[-1.0, 0, 2], [-2, 0, 4]], [[-3, 0, 2], [-2, 2, 4]]]])
    cutoff = tf.constant([np.datetime64("2021-01-31", "s").astype(int)], tf.int64)
    made = layer(quantiles, tf.constant([100.0]), tf.constant([10.0]), cutoff)
    assert made["ds"].numpy().tolist() == [[b"2021-02-28", b"2021-03-31"]]
    np.testing.assert_allclose(made["quantiles"], [[[80, 100, 120], [80, 110, 140]]])
    np.testing.assert_allclose(made["forecast"], [[100, 110]])
    selected = layer.select(made, tf.constant([1]), tf.constant([[0.3, 0.5, 0.6]]))
    np.testing.assert_allclose(selected["quantiles"][0, 0], [90, 100, 105], rtol=1e-5)
    np.testing.assert_array_equal(selected["quantiles"][0, 1], np.zeros(3))
    assert selected["ds"].numpy().tolist() == [[b"2021-02-28", b""]]
    for horizon, level in ((0, 0.5), (3, 0.5), (1, 0.05), (1, 0.95)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"as in training|the trained horizon"):
            layer.select(made, tf.constant([horizon]), tf.constant([[level]]))


def test_fewer_steps_are_padded_by_numbers_that_json_has_and_counted():
    layer = ForecastDecoding([1, 0, 0], [0.1, 0.5, 0.9])
    again = ForecastDecoding.from_config(layer.get_config())
    cutoff = tf.constant([np.datetime64("2021-01-31", "s").astype(int)], tf.int64)
    made = again(tf.constant([[[[-1.0, 0, 2], [-2, 0, 4]]]]), tf.constant([100.0]), tf.constant([10.0]), cutoff)
    selected = again.select(made, tf.constant([1]), tf.constant([[0.3, 0.5]]))
    assert selected["num_steps"].numpy().tolist() == [1]
    np.testing.assert_allclose(selected["forecast"], [[100, 0]])
    np.testing.assert_allclose(selected["quantiles"], [[[95, 100], [0, 0]]])


def test_a_history_without_a_value_is_refused_and_so_are_numbers_beyond_float32():
    request = {"ds": days([1, 2, 3], [1, 2, 3]), "y": tf.constant([[NAN, NAN, 1], [NAN, NAN, np.inf]], tf.float64)}
    strict = SeriesPreprocessing.from_config(make_layer().get_config())
    first = {name: values[:1] for name, values in request.items()}
    assert strict(first)["num_observed"].numpy().tolist() == [1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="`y` must hold a number"):
        strict(request)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"up to 3\.4e38"):
        strict({**first, "y": tf.constant([[1.0, 2, 1e300]], tf.float64)})


def test_hours_are_written_with_their_time_and_whole_numbers_as_such():
    layer = ForecastDecoding([0, 3600, 0], [0.1, 0.5])
    start = tf.constant([np.datetime64("2021-01-31 22:00", "s").astype(int)], tf.int64)
    quantiles, one = tf.zeros([1, 1, 2, 2]), tf.ones([1])
    timestamps = [b"2021-01-31 23:00:00", b"2021-02-01 00:00:00"]
    assert layer(quantiles, one, one, start)["ds"].numpy().tolist() == [timestamps]
    whole = ForecastDecoding([0, 0, 5], [0.1, 0.5])(quantiles, one, one, tf.constant([-3], tf.int64))
    assert whole["ds"].numpy().tolist() == [[b"2", b"7"]]


def smooth_by_hand(values, observed, horizon, season_length, model):
    """The forecast and the sum of squared errors of one model, value by value, from the start that all models have."""
    level_share, trend_share, damping, season_share, seasonal = model
    profile = _estimate_profile(values[None], observed[None], season_length).numpy()[0] * seasonal
    repeated = np.resize(profile, len(values))
    numbers = np.flatnonzero(observed)[0] + np.arange(max(2 * season_length, 10))
    numbers = numbers[(numbers < len(values))]
    numbers = numbers[observed[numbers]]
    slope, level = np.polyfit(numbers, (values - repeated)[numbers], 1)
    begin = np.flatnonzero(observed)[0]
    if damping:
        level += slope * (begin - 1)
    else:
        slope, level = 0.0, np.mean((values - repeated)[numbers])
    season, squares = list(profile), 0.0
    for step in range(begin, len(values)):
        ahead, slope = level + damping * slope, damping * slope
        error = values[step] - ahead - season[step % season_length] if observed[step] else 0.0
        level, slope = ahead + level_share * error, slope + trend_share * error
        season[step % season_length] += season_share * error
        squares += error**2
    made = []
    for step in range(len(values), len(values) + horizon):
        slope *= damping
        level += slope
        made.append(level + season[step % season_length])
    return made, squares


@pytest.mark.parametrize("season_length", [1, 4])
def test_each_model_of_smoothing_goes_value_by_value(season_length):
    values = np.random.default_rng(3).normal(size=22).astype(np.float32).cumsum()
    observed = np.arange(22) >= 2
    observed[9] = False
    values = np.where(observed, values, 50.0).astype(np.float32)  # what was not observed does not count
    forecasts, criteria = _smooth(tf.constant(values[None]), tf.constant(observed[None]), 5, season_length)
    models = list(zip(*_list_models(season_length), strict=True))
    assert forecasts.shape == (1, 5, len(models)) and len(models) == (24 if season_length == 1 else 72)
    for number, model in enumerate(models):
        made, squares = smooth_by_hand(values, observed, 5, season_length, model)
        np.testing.assert_allclose(forecasts[0, :, number], made, rtol=2e-3, atol=2e-3)
        # The variance, the level, the share of errors; slope, its share, its damping; the season and its share.
        parameters = 3 + (model[2] > 0) * 2 + (0 < model[2] < 1) + model[4] * season_length
        akaike = 19 * np.log(squares / 19) + 2 * parameters
        correction = 2 * parameters * (parameters + 1) / (19 - parameters - 1)
        np.testing.assert_allclose(criteria[0, number], akaike + correction, rtol=1e-3, atol=1e-2)


def test_smoothing_repeats_a_season_and_grows_in_proportion():
    season = np.array([3.0, -1.0, 0.0, -2.0], np.float32)
    values = np.concatenate([[99.0], np.tile(season, 4)]).astype(np.float32)[None]
    observed = np.arange(17)[None] > 0
    made = smooth(tf.constant(values), tf.constant(observed), tf.constant([0.0]), 6, 4)
    np.testing.assert_allclose(made[0], np.resize(season, 6), atol=0.02)
    growing = 1.1 ** np.arange(20) * np.resize([1.0, 2.0], 20)
    zero = -2.0  # the values are above it
    made = smooth(tf.constant(growing[None] + zero, tf.float32), tf.ones([1, 20], tf.bool), tf.constant([zero]), 4, 2)
    np.testing.assert_allclose(made[0] - zero, 1.1 ** np.arange(20, 24) * np.resize([1.0, 2.0], 4), rtol=0.01)
    # No further than the window's own range of logarithms beyond it.
    steep = tf.constant([[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 100.0, 1000.0]])
    assert float(tf.reduce_max(smooth(steep, tf.ones([1, 12], tf.bool), tf.zeros([1]), 50, 1))) <= 1.001e6


def test_logarithms_are_smoothed_of_positive_values_alone():
    values = tf.constant([[1.0, 2.0, 4.0, 0.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0]])
    all_observed, gap = tf.ones([1, 12], tf.bool), tf.constant([[number != 3 for number in range(12)]])
    with_zero = smooth(values, all_observed, tf.zeros([1]), 3, 1)
    forecasts, criteria = _smooth(values, all_observed, 3, 1)
    weights = np.exp(-0.5 * (criteria.numpy()[0] - criteria.numpy()[0].min()))
    np.testing.assert_allclose(with_zero[0], forecasts.numpy()[0] @ weights / weights.sum(), rtol=1e-4)
    np.testing.assert_allclose(smooth(values, gap, tf.zeros([1]), 3, 1)[0], [4096, 8192, 16384], rtol=0.1)


@pytest.mark.parametrize("values", [[0.0] * 12, [3.0] + [0.0] * 11, [1e9, -1e9] * 6])
def test_smoothing_answers_any_window(values):
    for observed in (np.ones(12, bool), np.arange(12) == 11, np.zeros(12, bool)):
        made = smooth(tf.constant([values]), tf.constant(observed[None]), tf.constant([-1e9]), 3, 4)
        assert np.isfinite(made).all()


def smoothing_network(use_smoothing=True, **options):
    levels = [0.1, 0.5, 0.9]
    spec = NetworkSpec(12, 2, parse_frequency("D").as_list(), [4], levels, use_smoothing=use_smoothing, **options)
    return mlp_forecaster(spec, encoder_length=2, width=4, ensemble_size=2)


def test_of_the_smoothed_forecast_only_the_widths_are_trained():
    network = smoothing_network()
    inputs = {
        "values": tf.random.stateless_normal([3, 12], [1, 2]),
        "observed_mask": tf.ones([3, 12], tf.uint8),
        "cutoff": tf.zeros([3], tf.int64),
        "smoothed": tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
    }
    before = network(inputs)["quantiles"].numpy()
    assert before.shape == (3, 3, 2, 3)
    np.testing.assert_array_equal(before[:, 2, :, 1], inputs["smoothed"])
    for weight in network.trainable_weights:
        weight.assign(weight + 0.5)
    after = network(inputs)["quantiles"].numpy()
    np.testing.assert_array_equal(after[:, 2, :, 1], inputs["smoothed"])
    assert np.abs(after[:, :2] - before[:, :2]).min() > 1e-4
    assert (after[:, 2, :, 2] > before[:, 2, :, 2]).all()
    assert smoothing_network(use_smoothing=False).output["quantiles"].shape == (None, 2, 2, 3)


def test_the_weight_of_the_untrained_forecast():
    layer = ForecastDecoding([0, 3600, 0], [0.1, 0.5], untrained_weight=0.75)
    quantiles = tf.constant([[[[1.0, 2.0]], [[3.0, 6.0]], [[10.0, 20.0]]]])
    made = layer(quantiles, tf.ones([1]), tf.fill([1], 2.0), tf.zeros([1], tf.int64))
    np.testing.assert_allclose(
        made["quantiles"][0, 0], [1 + 2 * (0.25 * 2 + 0.75 * 10), 1 + 2 * (0.25 * 4 + 0.75 * 20)]
    )


def test_smoothing_is_used_where_it_is_better_than_naive_forecasts():
    spec = NetworkSpec(8, 2, parse_frequency("D").as_list(), [4], [0.1, 0.5, 0.9], use_smoothing=True)
    values = tf.random.stateless_normal([40, 8], [1, 2])
    truth = tf.random.stateless_normal([40, 2], [3, 4])
    tensors = {"values": values, "observed_mask": tf.ones([40, 8], tf.uint8), "smoothed": truth + 0.1}
    assert should_use_smoothing(spec, tensors, truth)
    assert not should_use_smoothing(spec, {**tensors, "smoothed": truth + 9.0}, truth)
    assert not should_use_smoothing(dataclasses.replace(spec, use_smoothing=False), tensors, truth)


def cosine_windows(steps=300, context=24, horizon=3):
    """Windows of a cosine, which continues exactly by a linear map of two values, and noise that does not matter."""
    series = np.cos(0.7 * np.arange(steps)) + 1e-3 * np.random.default_rng(0).normal(size=steps)
    cutoffs = np.arange(context, steps - horizon)
    values = np.stack([series[end - context : end] for end in cutoffs]).astype(np.float32)
    truth = np.stack([series[end : end + horizon] for end in cutoffs]).astype(np.float32)
    mask = tf.ones(values.shape, tf.uint8)
    return {"values": tf.constant(values), "observed_mask": mask, "cutoff": tf.constant(cutoffs)}, truth


def test_an_autoregression_continues_a_cosine():
    tensors, truth = cosine_windows()
    fitted = fit_autoregression(tensors, truth)
    values = tensors["values"].numpy()[:, -fitted.lags :]
    made = values[:, -1:] + (values - values[:, -1:]) @ fitted.kernel + fitted.bias
    assert np.abs(made - truth).max() < 0.02
    assert np.abs(fitted.held_out - truth).max() < 0.02
    assert np.abs(fitted.held_out - made).max() > 1e-5  # by other regressions, which have not seen the windows


def test_held_out_forecasts_have_not_seen_their_windows():
    tensors, truth = cosine_windows()
    noise = np.random.default_rng(1).normal(size=truth.shape).astype(np.float32)
    held_out = fit_autoregression(tensors, noise).held_out
    assert np.abs(held_out - noise).mean() > 0.95 * np.abs(noise).mean()  # noise cannot be forecast
    few = {name: part[:7] for name, part in tensors.items()}
    assert fit_autoregression(few, truth[:7]) is None
    unknown = truth.copy()
    unknown[::3, 1] = np.nan
    assert np.abs(fit_autoregression(tensors, unknown).held_out - truth).max() < 0.02


def test_the_share_of_a_forecast_is_that_of_the_least_geometric_mean_error():
    truth = np.zeros((4, 2), np.float32)
    truth[3, 1] = np.nan
    assert choose_share(truth + 0.1, truth + 1.0, truth) == 1.0
    assert choose_share(truth + 1.0, truth + 0.1, truth) == 0.0
    assert choose_share(truth + 1.0, truth - 1.0, truth) == 0.5
    assert choose_share(truth + 2.0, truth - 1.0, truth) == 0.0  # a third
    crisis = truth + np.array([[0.1], [0.1], [0.1], [20.0]], np.float32)
    assert choose_share(crisis, truth + 1.0, truth) >= 0.9  # one window of four does not decide


def test_an_autoregression_is_used_where_it_is_better():
    tensors, truth = cosine_windows()
    spec = NetworkSpec(24, 3, parse_frequency("D").as_list(), [], [0.1, 0.5, 0.9])
    found = find_autoregression(spec, tensors, tf.constant(truth))
    assert found.share > 0.9
    smoothing = dataclasses.replace(spec, use_smoothing=True)
    exact = {**tensors, "smoothed": tf.constant(truth)}
    assert find_autoregression(smoothing, exact, tf.constant(truth)) is None
    spec = dataclasses.replace(spec, lags=found.lags, autoregression_share=1.0)
    network = mlp_forecaster(spec, encoder_length=4, width=4, ensemble_size=1)
    initialize_from_naive(network, spec, tensors, tf.constant(truth), found)
    before = network(tensors)["quantiles"].numpy()
    assert np.abs(before[:, 1, :, 1] - truth).max() < 0.02  # the last member
    assert np.abs(before[:, 1, :, 2] - before[:, 1, :, 0]).max() < 0.02  # as wide as its errors
    assert np.abs(before[:, 0, :, 1] - truth).max() < 0.1  # the network begins with it, too
    for weight in network.trainable_weights:
        weight.assign(weight + 0.5)
    np.testing.assert_array_equal(network(tensors)["quantiles"][:, 1, :, 1], before[:, 1, :, 1])


def test_smoothing_and_autoregression_are_averaged():
    network = smoothing_network(lags=2, autoregression_share=0.75)
    kernel = np.zeros((2, 2), np.float32)
    network.get_layer("autoregression").set_weights([kernel, np.array([1.0, 2.0], np.float32)])
    inputs = {
        "values": tf.ones([1, 12]),
        "observed_mask": tf.ones([1, 12], tf.uint8),
        "cutoff": tf.zeros([1], tf.int64),
        "smoothed": tf.constant([[8.0, 4.0]]),
    }
    np.testing.assert_allclose(network(inputs)["quantiles"][0, 2, :, 1], [0.75 * 2 + 0.25 * 8, 0.75 * 3 + 0.25 * 4])
