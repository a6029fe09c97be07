"""Regressors of any table: units, quantiles, intervals, several targets."""

import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.errors import DataError, HparamError

SMALL = {"network": "mlp", "width": 32, "blocks": 1, "epochs": 15, "batch_size": 64, "learning_rate": 0.01}


def table(count, seed=0, scale=1000.0):
    random = np.random.default_rng(seed)
    x, color = random.normal(size=count), random.choice(["red", "blue"], count)
    noise = random.normal(size=count) * np.where(color == "red", 2.0, 0.2)
    y = scale * (3 * x + noise + 10)
    return {"x": x.tolist(), "color": color.tolist(), "price": y.tolist(), "half": (y / 2).tolist()}


@pytest.fixture(scope="module")
def model():
    task = dlkit.TabularRegressor(targets="price", ignore="half", **SMALL)
    task.fit(table(1200), table(600, seed=1), verbose=0)
    return task


def test_answers_are_in_the_units_of_the_target(model):
    metrics = model.evaluate(table(600, seed=2))
    assert metrics["r2"] > 0.8
    assert metrics["rmse"] < 2500 < metrics["baseline_rmse"]
    assert metrics["ridge_r2"] > 0.8
    assert metrics["quantile_crossings"] == 0


def test_intervals_have_the_stated_coverage_and_the_width_of_the_noise(model):
    assert 0.86 < model.evaluate(table(2000, seed=3))["coverage"] < 0.94
    wide, narrow = (model.predict({"x": 0.0, "color": color}) for color in ("red", "blue"))
    assert wide["upper"] - wide["lower"] > 2 * (narrow["upper"] - narrow["lower"])
    for answer in (wide, narrow):
        assert answer["quantiles"] == sorted(answer["quantiles"])
        assert answer["quantile_levels"] == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95])
        assert answer["lower"] <= answer["quantiles"][2] <= answer["upper"]
    assert model.calibration_["rows"] == [600]


def test_the_calibration_is_saved_and_exported(model, tmp_path):
    row = {"x": 0.3, "color": "red"}
    model.save(tmp_path / "m")
    assert dlkit.load(tmp_path / "m").predict(row) == model.predict(row)
    version = model.export(tmp_path / "s" / "prices")
    served = tf.saved_model.load(str(version)).signatures["serving_default"](
        x=tf.constant([0.3]), color=tf.constant(["red"])
    )
    assert float(served["upper"][0]) == pytest.approx(model.predict(row)["upper"], rel=1e-5)


def test_regress_takes_examples_that_lack_what_is_missing(model):
    example = tf.train.Example()
    example.features.feature["color"].bytes_list.value.append(b"red")
    made = model.served()["regress"].graph(inputs=tf.constant([example.SerializeToString()]))
    assert float(made["outputs"][0]) == pytest.approx(model.predict({"x": None, "color": "red"})["value"], rel=1e-5)


def test_several_targets_with_missing_values(tmp_path):
    train = table(800)
    train["half"][::2] = [None] * 400
    train["price"][1] = train["half"][1] = None
    task = dlkit.TabularRegressor(targets="price,half", **SMALL)
    task.fit(train, table(300, seed=1), verbose=0)
    metrics = task.evaluate(table(300, seed=2))
    assert metrics["r2_price"] > 0.7
    assert metrics["r2_half"] > 0.7
    answer = task.predict({"x": 0.0, "color": "blue"})
    assert answer["value_price"] == pytest.approx(10_000, rel=0.15)
    assert answer["value_half"] == pytest.approx(5_000, rel=0.15)
    assert any("without a target" in remark for remark in task.report_["remarks"])
    task.save(tmp_path / "m")
    assert dlkit.load(tmp_path / "m").predict({"x": 0.0, "color": "blue"}) == answer


def test_a_long_tail_is_learned_on_a_logarithmic_scale():
    random = np.random.default_rng(0)
    x = random.normal(size=1000)
    data = {"x": x.tolist(), "y": np.exp(2 * x + 3).tolist()}
    task = dlkit.TabularRegressor(target_transform="log", **SMALL)
    task.fit(data, verbose=0)
    answer = task.predict({"x": 1.0})
    assert answer["value"] == pytest.approx(np.exp(5), rel=0.2)
    assert answer["lower"] > 0
    data["y"][7] = -1.0
    with pytest.raises(DataError, match=r"index 7.*at least 0"):
        dlkit.TabularRegressor(target_transform="log", validation_split=0, **SMALL).fit(data, verbose=0)


def test_contributions_add_up_to_the_value(model):
    explanation = model.explain({"x": 1.5, "color": "red"})
    total = sum(explanation["contributions"].values())
    difference = explanation["value"] - explanation["reference_value"]
    assert total == pytest.approx(difference, rel=0.05)
    assert next(iter(explanation["contributions"])) == "x"


def test_levels_and_coverage_are_checked():
    with pytest.raises(HparamError, match="ascending"):
        dlkit.TabularRegressor(quantile_levels=(0.9, 0.1))
    assert dlkit.TabularRegressor(quantile_levels=(0.2,), coverage=0.8).levels == [0.1, 0.2, 0.5, 0.9]


def test_targets_that_are_no_numbers_are_refused_by_row():
    data = table(50)
    data["price"][3] = "much"
    with pytest.raises(DataError, match=r"index 3.*expected a number"):
        dlkit.TabularRegressor(targets="price", **SMALL).fit(data, verbose=0)
    data["price"][3] = float("inf")
    with pytest.raises(DataError, match=r"index 3.*finite"):
        dlkit.TabularRegressor(targets="price", **SMALL).fit(data, verbose=0)


def test_a_column_that_gives_the_target_away_is_named():
    warnings = " ".join(dlkit.TabularRegressor(targets="price").check(table(100))["warnings"])
    assert "'half' alone gives the target away" in warnings
    assert "'x'" not in warnings


def test_rows_of_both_parts_constant_columns_and_ids_are_named():
    data, other = table(100), table(30, seed=1)
    data = {**data, "id": list(range(100)), "same": ["a"] * 100}
    other = {**other, "id": list(range(200, 230)), "same": ["a"] * 30}
    repeated = {name: [*values, *data[name][:3]] for name, values in other.items()}
    found = " ".join(dlkit.TabularRegressor(targets="price", ignore="half").check(data, repeated)["warnings"])
    for text in ("3 of 33 validation rows also occur", "'same' has the same value", "'id' has another value"):
        assert text in found


def test_the_latest_rows_and_whole_groups_are_held_out():
    data = {**table(100), "year": [*range(100)][::-1], "who": [number // 4 for number in range(100)]}
    train, test = dlkit.split(data, dlkit.TabularRegressor(targets="price", time_column="year"))
    assert max(train.columns["year"]) < min(test.columns["year"])
    train, test = dlkit.split(data, dlkit.TabularRegressor(targets="price", group_column="who"))
    assert not set(train.columns["who"]) & set(test.columns["who"])


def test_a_refitted_model_keeps_the_calibration_of_the_first_run():
    task = dlkit.TabularRegressor(targets="price", ignore="half", refit=True, **{**SMALL, "epochs": 2})
    task.fit(table(400), verbose=0)
    factors = task.selection_["calibration"]["factors"]
    layer = task.stages_.postprocess.get_layer("conformal_intervals")
    np.testing.assert_allclose(layer.factors.numpy(), factors, rtol=1e-6)
    assert factors != [1.0]


def test_the_bounds_are_those_of_the_coverage_whatever_other_levels_there_are():
    for levels in ((0.01, 0.5), (0.5, 0.99), (0.05, 0.25, 0.5, 0.75, 0.95), (0.2, 0.3, 0.4)):
        task = dlkit.TabularRegressor(quantile_levels=levels, coverage=0.9)
        assert [task.levels[index] for index in task.interval_levels] == [0.05, 0.5, 0.95]


def test_regress_refuses_a_date_that_cannot_be_read():
    data = table(60)
    days = ["2024-01-01", "2024-05-03T12:30:00"] * 30
    task = dlkit.TabularRegressor(targets="price", ignore="half,color", **{**SMALL, "epochs": 1})
    task.fit({**data, "since": days}, verbose=0)
    regress = task.served()["regress"].graph

    def serialize(since):
        example = tf.train.Example()
        example.features.feature["x"].float_list.value.append(0.5)
        example.features.feature["since"].bytes_list.value.append(since)
        return example.SerializeToString()

    made = regress(inputs=tf.constant([serialize(b"2024-05-03T14:30:00+02:00"), serialize(b"")]))["outputs"].numpy()
    answers = task.predict([{"x": 0.5, "since": days[1]}, {"x": 0.5, "since": None}])
    np.testing.assert_allclose(made, [answer["value"] for answer in answers], rtol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"since.* must be .*Received: .*soon.* In row 1."):
        regress(inputs=tf.constant([serialize(b"2024-05-03"), serialize(b"soon")]))
