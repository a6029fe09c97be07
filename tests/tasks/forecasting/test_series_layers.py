"""Layers of forecasting by hand and against pandas: stamps, windows, calendar, naive forecasts, quantiles."""

import numpy as np
import pytest

from dlkit.lazy import tf
from dlkit.tasks.forecasting.answer_forecast import AnswerForecast
from dlkit.tasks.forecasting.frequency import parse_frequency
from dlkit.tasks.forecasting.naive_forecasts import MixForecasts, NaiveForecasts, naive_places
from dlkit.tasks.forecasting.quantiles import OrderedQuantiles, Pinball
from dlkit.tasks.forecasting.read_series import ReadSeries, fill_gaps
from dlkit.tasks.forecasting.stages import shortened, windows_of
from dlkit.tasks.forecasting.stamps import Calendar, civil, months_later, parse_stamps, write_stamps

pandas = pytest.importorskip("pandas")
NAN = np.nan


def strings(values):
    return tf.constant(np.array(values, object), tf.string)


def test_stamps_are_read_and_written_as_pandas_does():
    random = np.random.default_rng(0)
    seconds = random.integers(-60_000_000_000, 60_000_000_000, 5000)  # years 68 to 3871
    stamps = seconds.astype("datetime64[s]")
    texts = [str(stamp).replace("T", " ") for stamp in stamps]
    read, valid = parse_stamps(strings(texts))
    assert valid.numpy().all()
    np.testing.assert_array_equal(read, seconds)
    assert [text.decode() for text in write_stamps(read).numpy()] == texts
    year, month, day = (part.numpy() for part in civil(tf.math.floordiv(read, 86_400)))
    np.testing.assert_array_equal(year, stamps.astype("datetime64[Y]").astype(int) + 1970)
    np.testing.assert_array_equal(month, stamps.astype("datetime64[M]").astype(int) % 12 + 1)
    np.testing.assert_array_equal(
        day, (stamps.astype("datetime64[D]") - stamps.astype("datetime64[M]")).astype(int) + 1
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
def test_short_stamps_and_wrong_ones(text, full):
    seconds, valid = parse_stamps(strings([text]))
    assert bool(valid[0]) == (full is not None)
    if full:
        assert write_stamps(seconds).numpy()[0].decode() == full


@pytest.mark.parametrize("first", ["2019-01-31", "2020-02-29", "2019-12-15 06:30:00", "2019-11-30"])
def test_months_later_are_the_last_days_or_the_same(first):
    start = np.datetime64(first, "s")
    made = months_later(tf.fill([30], tf.constant(start.astype(int), tf.int64)), tf.range(1, 31, dtype=tf.int64))
    np.testing.assert_array_equal(made.numpy().astype("datetime64[s]"), parse_frequency("month").after(start, 30))


def test_a_calendar_is_that_of_pandas():
    stamps = pandas.date_range("2020-02-28 20:00", periods=60, freq="h")
    origin = tf.constant([stamps[9].to_datetime64().astype("datetime64[s]").astype(int)], tf.int64)
    made = Calendar(-9, 50, [0, 3600, 0])(origin).numpy()[0]
    assert made.shape[1] == Calendar(-9, 50, [0, 3600, 0]).features
    np.testing.assert_array_equal(made[:, :12].argmax(1) + 1, stamps.month)
    np.testing.assert_allclose(made[:, 12] * 31 + 1, stamps.day, rtol=1e-6)
    np.testing.assert_array_equal(made[:, 19:26].argmax(1), stamps.day_of_week)
    np.testing.assert_array_equal(made[:, 26:50].argmax(1), stamps.hour)
    months = Calendar(1, 14, [1, 0, 0])(origin).numpy()[0]
    np.testing.assert_array_equal(months[:, :12].argmax(1), [month % 12 for month in range(2, 16)])


def test_gaps_are_filled_by_what_came_before():
    values = tf.constant([[0.0, 2, 0, 0, 5, 0]])
    there = tf.constant([[False, True, False, False, True, False]])
    np.testing.assert_allclose(fill_gaps(values, there, "last"), [[0, 2, 2, 2, 5, 5]])
    np.testing.assert_allclose(fill_gaps(values, there, "linear"), [[0, 2, 3, 4, 5, 5]])
    np.testing.assert_allclose(fill_gaps(values, there, "mean"), values)
    none = tf.zeros([1, 6], tf.bool)
    np.testing.assert_allclose(fill_gaps(tf.zeros([1, 6]), none, "linear"), np.zeros([1, 6]))


def reader(**options):
    return ReadSeries(5, 2, [0, 86_400, 0], **{"typical": 0.0, **options})


def days(*numbers):
    return strings([[f"2021-03-{number:02d}" if number else "" for number in row] for row in numbers])


def test_a_window_ends_with_the_newest_stamp_wherever_it_stands():
    made = reader().grid(
        {"ds": days([9, 7, 5, 0], [1, 2, 3, 4]), "y": tf.constant([[9.0, 7, 5, 1], [1, 2, NAN, 4]])}, 2
    )
    np.testing.assert_array_equal(made["y"], [[5, NAN, 7, NAN, 9], [NAN, 1, 2, NAN, 4]])
    newest = np.array(["2021-03-09", "2021-03-04"], "datetime64[s]").astype(int)
    np.testing.assert_array_equal(made["origin"], newest)


def test_scaling_is_that_of_the_values_given():
    made = reader()({"ds": days([1, 2, 3, 5]), "y": tf.constant([[1.0, 2, 3, 6]])})
    mean, spread = 3.0, np.sqrt((4 + 1 + 0 + 9) / 5)
    np.testing.assert_allclose([made["center"][0], made["scale"][0]], [mean, spread], rtol=1e-6)
    np.testing.assert_allclose(made["values"][0], (np.array([1, 2, 3, 3, 6]) - mean) / spread, atol=1e-6)
    np.testing.assert_array_equal(made["there"][0], [1, 1, 1, 0, 1])
    assert int(made["given"][0]) == 4


def test_one_value_and_none_have_a_scale():
    made = reader(typical=0.5)({"ds": days([1], [1]), "y": tf.constant([[-8.0], [NAN]])})
    np.testing.assert_allclose(made["center"], [-8, 0])
    np.testing.assert_allclose(made["scale"], [np.sqrt(16 / 2), 1])


def test_covariates_stand_beside_the_values_and_ahead():
    layer = reader(past={"temp": {"mean": 1.0, "deviation": 2.0}}, known={"open": {"mean": 0.0, "deviation": 1.0}})
    made = layer(
        {
            "ds": days([3, 5], [4, 5]),
            "y": tf.constant([[1.0, 2], [3, 4]]),
            "temp": tf.constant([[3.0, NAN], [5, 7]]),
            "open": tf.constant([[1.0, 2, 3, 4], [5, 6, 7, 8]]),
        }
    )
    np.testing.assert_allclose(made["past"][..., 0], [[0, 0, 1, 0, 0], [0, 0, 0, 2, 3]])
    np.testing.assert_allclose(made["known"][..., 0], [[0, 0, 1, 0, 2, 3, 4], [0, 0, 0, 5, 6, 7, 8]])


def test_static_covariates_are_names_or_numbers():
    layer = reader(static={"kind": ["a", "b"], "size": {"mean": 2.0, "deviation": 4.0}})
    asked = {"ds": days([1], [1]), "y": tf.constant([[1.0], [1]])}
    made = layer({**asked, "kind": strings(["b", "new"]), "size": strings(["10", ""])})
    np.testing.assert_allclose(made["static"], [[0, 1, 2], [0, 0, 0]])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ds": strings([["2021-03-01", "soon"]])}, "(?s)must hold stamps as 2016-10-01.*soon"),
        ({"ds": strings([["2021-03-01", "2021-03-02 05:00"]])}, "not a number of steps of 86400 seconds"),
        ({"y": tf.constant([[1.0]])}, "at least as many values as `ds` has stamps"),
        ({"y": tf.constant([[1.0, 2, 3]])}, "`y` must have no more values"),
        ({"open": tf.constant([[1.0, 2, 3]])}, r"`open` must be known ahead: .* for the 2 steps"),
        ({"open": tf.constant([[1.0, 2, 3, NAN]])}, "`open` must be known ahead"),
    ],
)
def test_what_a_request_lacks_is_named(given, words):
    good = {"ds": days([1, 2]), "y": tf.constant([[1.0, 2]]), "open": tf.constant([[1.0, 2, 3, 4]])}
    layer = reader(known={"open": {"mean": 0.0, "deviation": 1.0}})
    layer(good)
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        layer({**good, **given})


def test_windows_of_a_row_are_those_of_requests_at_each_origin():
    layer = reader(past={"temp": {"mean": 0.0, "deviation": 1.0}}, known={"open": {"mean": 0.0, "deviation": 1.0}})
    values = np.array([3.0, NAN, 4, 6, 2, 8, 9, 1], np.float32)
    temp, opened = values[::-1].copy(), np.arange(10, dtype=np.float32)
    row = {"ds": days([1, 2, 3]), "y": values[None, :3], "temp": temp[None, :], "open": opened[None, :]}
    made, truth, rows = windows_of(
        layer, {name: tf.constant(v) for name, v in row.items()}, tf.constant(values[None, 3:]), 2
    )
    assert rows.numpy().tolist() == [0, 0, 0, 0]
    for place, end in enumerate(range(3, 7)):
        asked = {
            "ds": days(range(1, end + 1)),
            "y": values[None, :end],
            "temp": temp[None, :end],
            "open": opened[None, : end + 2],
        }
        alone = layer({name: tf.constant(v) for name, v in asked.items()})
        for name, expected in alone.items():
            np.testing.assert_allclose(made[name][place], expected[0], atol=1e-6, err_msg=name)
        units = truth[place] * alone["scale"][0] + alone["center"][0]
        np.testing.assert_allclose(units, values[end : end + 2], rtol=1e-5)


def test_a_shortened_window_is_what_a_short_request_makes():
    layer = reader(typical=0.3)
    y = np.array([[3.0, 5, 4, 6, 2]], np.float32)
    made = layer({"ds": days([1, 2, 3, 4, 5]), "y": tf.constant(y)})
    tensors = {name: made[name] for name in ("values", "there")}
    truth = (tf.constant([[7.0, 8.0]]) - made["center"][:, None]) / made["scale"][:, None]
    kept = set()
    for step in range(40):
        short, moved = shortened(tensors, truth, 1.0, 0.3, 0, tf.constant(step))
        count = int(short["there"].numpy().sum())
        kept.add(count)
        values = short["values"].numpy()[0, 5 - count :]
        np.testing.assert_allclose(values.mean(), 0, atol=1e-5)
        slope = (moved[0, 1] - moved[0, 0]) / (truth[0, 1] - truth[0, 0])
        if count > 1:  # the same line through values and truth
            np.testing.assert_allclose(
                (values[-1] - values[0]) / slope, (y[0, 4] - y[0, 5 - count]) / made["scale"][0], atol=1e-4
            )
    assert kept >= {1, 2, 3}
    same, moved = shortened(tensors, truth, 0.0, 0.3, 0, tf.constant(1))
    np.testing.assert_array_equal(same["values"], tensors["values"])
    np.testing.assert_array_equal(moved, truth)


def test_naive_forecasts_stand_a_season_back():
    places = naive_places(10, 3, [4])
    np.testing.assert_array_equal(places, [[9, 6, 2], [9, 7, 3], [9, 8, 4]])
    values = tf.range(10, dtype=tf.float32)[tf.newaxis]
    np.testing.assert_array_equal(NaiveForecasts(places)(values)[0], places)
    two = tf.stack([values, -values], 2)
    np.testing.assert_array_equal(NaiveForecasts(places)(two)[0, 0], [9, -9, 6, -6, 2, -2])
    np.testing.assert_array_equal(naive_places(10, 5, [4])[:, 1], [6, 7, 8, 9, 6])


def test_a_mixture_leaves_out_what_is_not_there():
    forecasts = tf.constant([[[1.0, 2.0, 4.0]]])
    mix = MixForecasts()
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
    loss = Pinball([0.1, 0.5], reduction="none")(truth, answer).numpy()
    np.testing.assert_allclose(loss, [(0.1 * 1 + 0.5 * 2 + 0 + 0) / 4, 0], rtol=1e-6)


def test_an_answer_is_in_units_with_its_stamps_and_other_levels_lie_between():
    layer = AnswerForecast([1, 0, 0], [0.1, 0.5, 0.9])
    quantiles = tf.constant([[[[-1.0, 0, 2], [-2, 0, 4]], [[-3, 0, 2], [-2, 2, 4]]]])
    origin = tf.constant([np.datetime64("2021-01-31", "s").astype(int)], tf.int64)
    made = layer(quantiles, tf.constant([100.0]), tf.constant([10.0]), origin)
    assert made["ds"].numpy().tolist() == [[b"2021-02-28", b"2021-03-31"]]
    np.testing.assert_allclose(made["quantiles"], [[[80, 100, 120], [80, 110, 140]]])
    np.testing.assert_allclose(made["forecast"], [[100, 110]])
    asked = layer.at(made, tf.constant([1]), tf.constant([[0.3, 0.5, 0.6]]))
    np.testing.assert_allclose(asked["quantiles"][0, 0], [90, 100, 105], rtol=1e-5)
    assert np.isnan(asked["quantiles"][0, 1]).all()
    assert asked["ds"].numpy().tolist() == [[b"2021-02-28", b""]]
    for horizon, level in ((0, 0.5), (3, 0.5), (1, 0.05), (1, 0.95)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"as in training|the trained one"):
            layer.at(made, tf.constant([horizon]), tf.constant([[level]]))


def test_hours_are_written_with_their_time_and_whole_numbers_as_such():
    layer = AnswerForecast([0, 3600, 0], [0.1, 0.5])
    start = tf.constant([np.datetime64("2021-01-31 22:00", "s").astype(int)], tf.int64)
    quantiles, one = tf.zeros([1, 1, 2, 2]), tf.ones([1])
    stamps = [b"2021-01-31 23:00:00", b"2021-02-01 00:00:00"]
    assert layer(quantiles, one, one, start)["ds"].numpy().tolist() == [stamps]
    whole = AnswerForecast([0, 0, 5], [0.1, 0.5])(quantiles, one, one, tf.constant([-3], tf.int64))
    assert whole["ds"].numpy().tolist() == [[b"2", b"7"]]
