"""Layers of tables against NumPy, the calendar of Python and answers computed by hand."""

import datetime
import math

import numpy as np
import pytest

from dlkit.lazy import keras, tf
from dlkit.tabular.category_lookup import MISSING, UNKNOWN, CategoryLookup
from dlkit.tabular.columns import BooleanCell, format_date
from dlkit.tabular.date_features import DateFeatures
from dlkit.tabular.ensemble_layers import EnsembleDense, MemberDense
from dlkit.tabular.feature_embedding import CellEmbedding
from dlkit.tabular.mask_cells import mask_cells
from dlkit.tabular.number_scaling import QuantileScaling, RobustScaling, spread_values


def test_quantiles_become_a_normal_distribution():
    values = np.random.default_rng(0).lognormal(size=(5000, 2)).astype(np.float32)
    values[::10, 1] = np.nan
    scaling = QuantileScaling()
    scaling.adapt(values)
    made = scaling(values)
    scaled, missing = made["numbers"].numpy(), made["missing"].numpy()
    assert np.isfinite(scaled).all()
    np.testing.assert_array_equal(missing, np.isnan(values))
    assert (scaled[missing > 0] == 0).all()
    for column in range(2):
        seen = scaled[missing[:, column] == 0, column]
        assert abs(seen.mean()) < 0.02
        assert abs(seen.std() - 1) < 0.03
    order = np.argsort(values[:, 0])
    assert (np.diff(scaled[order, 0]) >= 0).all()


@pytest.mark.parametrize("kind", [QuantileScaling, RobustScaling])
def test_scaled_numbers_are_finite_whatever_comes(kind):
    scaling = kind()
    scaling.adapt(np.array([[1.0, 5.0, np.nan, 3e38], [2.0, 5.0, np.nan, -3e38], [np.inf, 5.0, np.nan, 1.0]]))
    strange = np.array([[value] * 4 for value in (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 0, 1e-45)], np.float32)
    scaled = scaling(strange)["numbers"].numpy()
    assert np.isfinite(scaled).all()
    assert scaled[1, 0] == scaled[:, 0].max()
    assert (scaled[:, 2] == 0).all() or kind is QuantileScaling


def test_a_value_that_half_of_the_rows_have_gets_its_mean_rank():
    scaling = QuantileScaling()
    scaling.adapt(np.array([[0.0]] * 50 + [[float(number)] for number in range(1, 51)]))
    scaled = scaling(np.array([[0.0], [50.0]], np.float32))["numbers"].numpy()[:, 0]
    assert scaled[0] == pytest.approx(-0.6745, abs=0.01)  # the quantile 0.25 of a normal distribution
    assert scaled[1] > 2


def test_dates_agree_with_the_calendar_of_python():
    random = np.random.default_rng(0)
    moments = [
        datetime.datetime(1600, 1, 1) + datetime.timedelta(seconds=int(s)) for s in random.integers(0, 2**34, 200)
    ]
    made = DateFeatures()([tf.constant([moment.isoformat() for moment in moments])]).numpy()
    for moment, features in zip(moments, made, strict=True):
        epoch = moment - datetime.datetime(1970, 1, 1)
        assert features[0] == pytest.approx(epoch.total_seconds() / 86_400, rel=1e-6)
        day = (moment - datetime.datetime(moment.year, 1, 1)).total_seconds() / 86_400
        week = moment.weekday() + (moment.hour * 3600 + moment.minute * 60 + moment.second) / 86_400
        assert features[1] == pytest.approx(math.sin(2 * math.pi * day / 365.2425), abs=1e-4)
        assert features[3] == pytest.approx(math.sin(2 * math.pi * week / 7), abs=1e-4)
        assert features[6] == pytest.approx(math.cos(2 * math.pi * (week % 1)), abs=1e-4)


def test_what_is_no_date_is_missing():
    strange = ["", "soon", "2024-13-01", "2024-00-01", "2024-01-32", "20240101", "2024-01-01T25"]
    strange += ["2023-02-29", "2024-04-31", "2024-01-01T24:00", "2024-01-01T00:60", "2024-01-01+02:00"]
    strange += ["2024-01-01T00:00+24:00", "2024-01-01T00:00+2", "2024-01-01T00:00Z+02:00"]
    assert np.isnan(DateFeatures()([tf.constant(strange)]).numpy()).all()
    good = ["2024-01-01", " 2024-01-01T00:00 ", "2024-01-01 00:00:00Z", "2024-01-01T00:00:00.25"]
    made = DateFeatures()([tf.constant(good)]).numpy()
    np.testing.assert_array_equal(made, np.repeat(made[:1], 4, axis=0))


def test_offsets_of_times_are_those_of_python():
    moments = [
        *("2024-01-01T01:30+02:00", "2023-12-31 23:00:00-0130", "2024-02-29T00:00:00.5+05", "2024-03-01T00:00-00:00"),
        *("2024-06-01T12:30:00Z", "0001-01-01T12:00+05:45", "2024-12-31T23:59:59-23:59", "2024-02-29"),
    ]
    made, expected = (DateFeatures()([tf.constant(dates)]).numpy() for dates in (moments, [*map(format_date, moments)]))
    np.testing.assert_array_equal(made, expected)
    assert made[0, 0] == pytest.approx(19722 + 23.5 / 24, rel=1e-7)  # the last day of 2023
    assert made[0, 1] < 0 < made[4, 1]


@pytest.mark.parametrize("text", ["yes", "True", "1", "0", "no", " F ", "y", "0.0", "NA", "", "none"])
def test_booleans_of_the_graph_are_those_of_python(text):
    lookup = CategoryLookup([["true", "no"], ["false", "true"]], booleans=[1])
    raw = BooleanCell().raw(text)
    copy = CategoryLookup.from_config(lookup.get_config())
    for layer in (lookup, copy):
        ids = layer([tf.constant(["True", "yes"]), tf.constant([text, "maybe"])]).numpy()
        assert ids.tolist() == [[UNKNOWN, {b"": MISSING, b"false": 2, b"true": 3}[raw]], [UNKNOWN, UNKNOWN]]


def test_a_category_of_one_column_is_not_that_of_another():
    lookup = CategoryLookup([["a", "1:b"], ["b"]])
    ids = lookup([tf.constant(["a", "b", "1:b", "", " a "]), tf.constant(["a", "b", "1:b", "", "c"])]).numpy()
    assert ids.tolist() == [[2, 0], [0, 2], [3, 0], [1, 1], [2, 0]]
    copy = CategoryLookup.from_config(lookup.get_config())
    np.testing.assert_array_equal(copy([tf.constant(["1:b"]), tf.constant(["b"])]).numpy(), [[3, 2]])


def test_members_of_an_ensemble_are_dense_layers_of_scaled_inputs():
    x = np.random.default_rng(0).normal(size=(5, 1, 3)).astype(np.float32)
    layer = EnsembleDense(4, members=2, random_signs=True)
    y = layer(x).numpy()
    kernel, r, s, b = (weight.numpy() for weight in layer.weights)
    assert set(np.abs(r).ravel()) == {1.0}
    for member in range(2):
        expected = (x[:, 0] * r[member]) @ kernel * s[member] + b[member]
        np.testing.assert_allclose(y[:, member], expected, rtol=1e-5, atol=1e-6)
    head = MemberDense(2)
    z = head(y).numpy()
    weights, bias = (weight.numpy() for weight in head.weights)
    np.testing.assert_allclose(z[:, 1], y[:, 1] @ weights[1] + bias[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("encoding", ["none", "piecewise", "periodic"])
@pytest.mark.parametrize("flat", [True, False])
def test_embeddings_have_the_widths_that_they_state(encoding, flat):
    layer = CellEmbedding(2, [5, 3], 1, 10, encoding, width=8, category_width=4, flat=flat)
    row = {
        "numbers": tf.constant([[0.5, 0.0]]),
        "missing": tf.constant([[0.0, 1.0]]),
        "categories": tf.constant([[4, 99]]),  # no id of the second column: the last one
        "token_ids": tf.constant([[[2, 3, 0]]]),
    }
    made = layer(row)
    assert made.shape == ((1, 8 + 8 + 4 + 4 + 16) if flat else (1, 5, 8))
    assert sum(layer.widths) == (40 if flat else 5 * 8)
    cells = {name: keras.Input(value.shape[1:], dtype=value.dtype) for name, value in row.items()}
    assert layer(cells).shape[1:] == made.shape[1:]


def test_a_piecewise_linear_encoding_is_that_of_its_bins():
    layer = CellEmbedding(1, encoding="piecewise", width=1, flat=True)
    layer.build(None)
    layer.built = True
    layer.adapt(np.array([[0.0], [1.0], [2.0]]))
    layer.slope.assign([[0.0]])
    edges = layer.edges.numpy()[0]
    assert (np.diff(edges) >= 0).all()
    layer.kernel.assign(np.diff(edges)[None, :, None])  # the sum of all bins is then the number itself
    row = {"numbers": tf.constant([[0.25], [1.5], [9.0], [-9.0]]), "missing": tf.zeros([4, 1])}
    np.testing.assert_allclose(layer(row).numpy()[:, 0], [0.25, 1.5, 2.0, 0.0], atol=1e-5)


def test_masking_depends_on_the_step_alone_and_hides_its_share():
    cells = {"numbers": tf.ones([400, 5]), "missing": tf.zeros([400, 5]), "categories": tf.fill([400, 3], 7)}
    one, again, next_step = (mask_cells(cells, 0.25, 3, tf.constant(step)) for step in (1, 1, 2))
    for name in cells:
        np.testing.assert_array_equal(one[name], again[name])
        assert (one[name].numpy() != next_step[name].numpy()).any()
    assert one["missing"].numpy().mean() == pytest.approx(0.25, abs=0.03)
    assert ((one["numbers"].numpy() == 0) == (one["missing"].numpy() == 1)).all()
    for id_ in (UNKNOWN, MISSING):
        assert (one["categories"].numpy() == id_).mean() == pytest.approx(0.125, abs=0.03)


def test_a_column_that_is_mostly_zero_has_bins_for_its_other_values():
    values = np.zeros(4000)
    values[::20] = np.arange(200) + 1.0
    edges = spread_values(values, 65)
    assert (edges[0], edges[-1]) == (0, 200)
    assert 45 < len(edges) <= 65  # quantiles of all rows would give 5
    even = spread_values(np.arange(6400.0), 65)
    assert len(even) == 65
    assert np.diff(even).max() <= 101
    assert spread_values(np.array([2.0, 1.0, 2.0]), 65).tolist() == [1.0, 2.0]
