"""Classifiers of any table: columns of every kind, weights, splits, unseen categories and requests."""

import json
import math

import numpy as np
import pandas
import pytest
import tensorflow as tf

import dlkit
from dlkit.errors import DataError, HparamError
from dlkit.tasks.tabular_classification.metrics import score_probabilities

SMALL = {"network": "mlp", "width": 16, "blocks": 1, "epochs": 12, "batch_size": 32, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    count = 300
    color = random.choice(["red", "green", "blue"], count)
    size = random.normal(size=count)
    day = pandas.Timestamp("2024-01-01") + pandas.to_timedelta(random.integers(0, 365, count), unit="D")
    return pandas.DataFrame(
        {
            "hours-per-week": np.where(random.random(count) < 0.2, np.nan, size),
            "color": np.where(random.random(count) < 0.1, None, color),
            "zip": random.choice([10115, 80331, 50667], count),
            "insured": random.choice([True, False], count),
            "since": day,
            "note": [f"note {number} about a {name} thing" for number, name in enumerate(color)],
            "person": np.arange(count) // 5,
            "w": random.random(count),
            "income": np.where((color == "red") | (size > 1), ">50K", "<=50K"),
        }
    )


@pytest.fixture(scope="module")
def model(frame):
    task = dlkit.TabularClassifier(
        targets="income", categorical="zip", group_column="person", weight_column="w", **SMALL
    )
    task.fit(frame, verbose=0)
    return task


def row_of(frame, **changes):
    return {
        **{name: value for name, value in frame.iloc[0].to_dict().items() if name not in ("person", "w", "income")},
        **changes,
    }


def test_columns_of_all_kinds_are_told_apart(model):
    assert model.kinds_ == {
        "hours_per_week": "number",
        "color": "category",
        "zip": "category",
        "insured": "boolean",
        "since": "date",
        "note": "text",
    }
    assert model.labels_ == ["<=50K", ">50K"]
    assert "insured: boolean" in model.report_["statistics"]["columns"]


def test_it_learns_and_says_what_simpler_models_reach(model, frame):
    metrics = model.evaluate(frame)
    assert metrics["accuracy"] > metrics["baseline_accuracy"] + 0.15
    assert 0.5 < metrics["auc"] <= 1
    assert metrics["logistic_accuracy"] > metrics["baseline_accuracy"]
    assert {"log_loss", "calibration_error", "logistic_auc", "logistic_log_loss"} <= metrics.keys()


def test_names_of_the_table_and_of_the_tensors_are_both_taken(model, frame):
    theirs = row_of(frame)
    ours = {name.replace("-", "_"): value for name, value in theirs.items()}
    assert model.predict(theirs) == model.predict(ours)


def test_missing_cells_and_unseen_categories_get_an_answer(model, frame):
    for changes in (
        {"hours-per-week": None},
        {"color": "ultraviolet"},
        {"color": ""},
        {"insured": None},
        {"since": None},
        {"note": ""},
        {"zip": 99999},
        dict.fromkeys(row_of(frame)),
    ):
        assert math.isfinite(model.predict(row_of(frame, **changes))["score"])


def test_the_order_of_columns_does_not_matter_and_extra_ones_are_named(model, frame, caplog):
    shuffled = frame[frame.columns[::-1]].assign(extra=1)
    assert model.evaluate(shuffled)["log_loss"] == pytest.approx(model.evaluate(frame)["log_loss"])
    rows = model.read(shuffled)
    assert any("extra" in remark for remark in rows.table.remarks)
    assert len(model.predict(shuffled.drop(columns=["income", "w", "person"]))) == len(frame)
    with pytest.raises(DataError, match="color"):
        model.predict(frame.drop(columns="color"))
    with pytest.raises(DataError, match="color"):
        model.evaluate(frame.drop(columns="color"))


def test_groups_are_held_out_as_a_whole(frame):
    task = dlkit.TabularClassifier(targets="income", group_column="person", **SMALL)
    train, test = dlkit.split(frame, task)
    assert not set(train.columns["person"]) & set(test.columns["person"])
    assert len(train) + len(test) == len(frame)
    assert 0.15 < len(test) / len(frame) < 0.3


def test_the_latest_rows_are_held_out(frame):
    task = dlkit.TabularClassifier(targets="income", time_column="since", **SMALL)
    train, test = dlkit.split(frame, task)
    assert max(train.columns["since"]) < min(test.columns["since"])


def test_weights_decide_what_is_learned():
    table = {"x": ["a"] * 200, "w": [1.0, 3.0] * 100, "y": ["no", "yes"] * 100}
    table["x"][:2] = ["b", "b"]
    task = dlkit.TabularClassifier(weight_column="w", validation_split=0, **{**SMALL, "epochs": 40})
    task.fit(table, verbose=0)
    scores = dict(zip(*(task.predict({"x": "a"})[name] for name in ("labels", "scores")), strict=True))
    assert scores["yes"] == pytest.approx(0.75, abs=0.06)


def test_unknown_categories_are_trained_for():
    random = np.random.default_rng(0)
    color = random.choice(["red", "blue"], 400)
    table = {
        "color": color.tolist(),
        "x": random.normal(size=400).tolist(),
        "y": np.where(color == "red", "a", "b").tolist(),
    }
    task = dlkit.TabularClassifier(mask_rate=0.2, **{**SMALL, "epochs": 30})
    task.fit(table, verbose=0)
    assert task.predict({"color": "red", "x": 0})["score"] > 0.9
    assert task.predict({"color": "mauve", "x": 0})["score"] < 0.75  # it knows that it does not know


def test_a_request_may_leave_out_what_is_missing(model, frame):
    """In `classify`; in `predict`, a missing number is NaN, which the server reads, and a missing text is empty."""
    served = model.served()
    raw = model.read(frame.head(1)).table.raw(0, model.inputs)
    inputs = {name: tf.constant([value]) for name, value in raw.items()}
    missing = {**inputs, "hours_per_week": tf.constant([np.nan]), "color": tf.constant([b""])}
    expected = served["serving_default"].graph(**missing)
    example = tf.train.Example()
    for name, value in raw.items():
        if name in ("hours_per_week", "color"):
            continue
        example.features.feature[name].bytes_list.value.append(value)
    made = served["classify"].graph(inputs=tf.constant([example.SerializeToString()]))
    np.testing.assert_array_equal(made["classes"], expected["labels"])
    np.testing.assert_allclose(made["scores"], expected["scores"], rtol=1e-5)


def test_a_date_that_cannot_be_read_is_an_error_of_its_row_alone(model, frame):
    table = model.read(frame.head(2)).table
    raw = {name: tf.constant(table.raw_column(name, column)) for name, column in model.inputs.items()}
    served = model.served()["serving_default"].graph
    right, wrong = served(**raw), served(**{**raw, "since": tf.constant([b"soon", raw["since"][1].numpy()])})
    reason = wrong["error"][0].numpy()
    assert b"'since'" in reason
    assert b"'soon'" in reason
    assert (wrong["error"][1], wrong["label"][0], wrong["score"][0]) == (b"", b"", 0)
    np.testing.assert_allclose(wrong["scores"][1], right["scores"][1], rtol=1e-6)
    with pytest.raises(DataError, match="column 'since': expected a date"):
        model.predict(row_of(frame, since="soon"))


def test_classify_answers_a_row_that_cannot_be_read_with_empty_labels(model, frame):
    raw = model.read(frame.head(1)).table.raw(0, model.inputs)
    rows = []
    for since in (b"soon", raw["since"]):
        example = tf.train.Example()
        for name, value in {**raw, "since": since}.items():
            if name != "hours_per_week":
                example.features.feature[name].bytes_list.value.append(value)
        rows.append(example.SerializeToString())
    made = {key: value.numpy() for key, value in model.served()["classify"].graph(inputs=tf.constant(rows)).items()}
    assert made["classes"][0].tolist() == [b"", b""]
    assert made["scores"][0].tolist() == [0, 0]
    assert set(made["classes"][1].tolist()) == {b"<=50K", b">50K"}


def test_the_served_model_knows_booleans_and_offsets_as_python_does(model, frame):
    raw = model.read(frame.head(1)).table.raw(0, model.inputs)
    served = model.served()["serving_default"].graph
    for insured, since in (("Yes", "2024-03-01T01:30+02:00"), ("0", "2024-02-29 23:30"), ("NA", "2024-02-29")):
        given = {**raw, "insured": insured, "since": since}
        made = served(**{name: tf.constant([value]) for name, value in given.items()})
        answer = model.predict(row_of(frame, insured=insured, since=since))
        assert float(made["score"][0]) == pytest.approx(answer["score"], rel=1e-5)


def test_a_json_request_with_nan_is_what_python_sends(model, frame):
    assert json.loads('{"x": NaN}')["x"] != 0  # the token of JavaScript that TensorFlow Serving accepts, too
    answer = model.predict(row_of(frame, **{"hours-per-week": float("nan")}))
    assert answer == model.predict(row_of(frame, **{"hours-per-week": None}))


def test_contributions_add_up_to_the_score(model, frame):
    explanation = model.explain(row_of(frame))
    total = sum(explanation["contributions"].values())
    assert total == pytest.approx(explanation["score"] - explanation["reference_score"], abs=0.02)
    assert set(explanation["contributions"]) == set(model.inputs)


def test_the_columns_that_matter_are_important(model, frame, tmp_path):
    importance = model.importance(frame, plot=tmp_path / "importance.png")
    assert next(iter(importance)) in ("color", "note", "hours_per_week")
    assert importance["zip"]["mean"] < 0.1
    assert (tmp_path / "importance.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": "incme"}, "no column 'incme'.*'income'"),
        ({"targets": "income", "categorical": "zipp"}, "no column 'zipp'"),
        ({"targets": "income", "ignore": "nothing"}, "no column 'nothing'"),
        ({}, "name the column to predict"),
    ],
)
def test_columns_that_are_not_there_are_refused_by_name(frame, options, message):
    with pytest.raises(DataError, match=message):
        dlkit.TabularClassifier(**options, **SMALL).fit(frame, verbose=0)


def test_a_split_by_time_and_by_group_is_refused():
    with pytest.raises(HparamError, match="by time or by group"):
        dlkit.TabularClassifier(time_column="a", group_column="b")


def test_check_knows_the_faults_of_a_table():
    random = np.random.default_rng(0)
    labels = random.choice(["a", "b"], 100)
    table = {
        "id": list(range(100)),
        "constant": [1] * 100,
        "leak": np.where(labels == "a", "x", "z").tolist(),
        "typo": [*map(str, range(98)), "7O", "n.a."],
        "value": random.normal(size=100).tolist(),
        "y": labels.tolist(),
    }
    again = {name: values[:5] for name, values in table.items()}
    found = " ".join(dlkit.TabularClassifier().check(table, again)["warnings"])
    for text in (
        "'constant' has the same value",
        "'id' has another value in each row",
        "'leak' alone gives the target",
        "5 of 5 validation rows also occur",
        "7O",
    ):
        assert text in found
    assert "'value'" not in found


def test_areas_and_calibration_agree_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    true = random.integers(0, 3, 500)
    scores = random.dirichlet([1, 1, 1], 500).round(1) + 0.01
    scores /= scores.sum(axis=1, keepdims=True)
    made = score_probabilities(true, scores)
    assert made["auc"] == pytest.approx(roc_auc_score(true, scores, multi_class="ovr"))
    binary = score_probabilities((true > 0).astype(int), scores[:, :2])
    assert binary["auc"] == pytest.approx(roc_auc_score(true > 0, scores[:, 1]))
    sure = np.eye(2)[[0, 0, 1, 1]]
    assert score_probabilities(np.array([0, 1, 1, 1]), sure)["calibration_error"] == pytest.approx(0.25)
