"""Classifiers of several columns of labels in one network, some of whose cells are empty."""

import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.errors import DataError, HparamError
from dlkit.tasks.tabular_classification.ensemble_logits import EnsembleCrossentropy, make_metrics

SMALL = {"network": "mlp", "width": 32, "blocks": 1, "epochs": 25, "batch_size": 32, "learning_rate": 0.01}
TARGETS = "color,size of it"


def table(count, seed=0):
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, count))
    color = np.select([x < -0.5, x < 0.5], ["red", "green"], "blue")
    size = np.where(z > 0, "big", "small").astype(object)
    size[::4] = ""
    return {"x": x.tolist(), "z": z.tolist(), "color": color.tolist(), "size of it": size.tolist()}


@pytest.fixture(scope="module")
def model():
    task = dlkit.TabularClassifier(targets=TARGETS, **SMALL)
    task.fit(table(800), verbose=0)
    return task


def test_each_target_has_its_labels_and_metrics(model):
    metrics = model.evaluate(table(400, seed=1))
    assert model.target_labels_ == {"color": ["blue", "green", "red"], "size_of_it": ["big", "small"]}
    assert metrics["accuracy_color"] > 0.9
    assert metrics["accuracy_size_of_it"] > 0.9
    assert metrics["accuracy"] == pytest.approx((metrics["accuracy_color"] + metrics["accuracy_size_of_it"]) / 2)
    assert (metrics["rows_color"], metrics["rows_size_of_it"]) == (400, 300)
    assert 0.3 < metrics["baseline_accuracy"] < 0.6
    assert metrics["logistic_accuracy_size_of_it"] > 0.9
    assert model.history_["accuracy"][-1] > 0.8


def test_answers_name_their_target(model, tmp_path):
    row = {"x": -2.0, "z": 2.0}
    answer = model.predict(row)
    assert (answer["label_color"], answer["label_size_of_it"]) == ("red", "big")
    assert sum(answer["scores_color"]) == pytest.approx(1, abs=1e-5)
    assert list(answer["labels_size_of_it"]) == ["big", "small"]
    explained = model.explain(row, "size_of_it")
    assert (explained["label"], next(iter(explained["contributions"]))) == ("big", "z")
    with pytest.raises(DataError, match="no target 'size'"):
        model.explain(row, "size")
    model.save(tmp_path / "m")
    assert dlkit.load(tmp_path / "m").predict(row) == answer
    version = model.export(tmp_path / "s" / "things")
    assert (version / "saved_model.pb").is_file()
    assert "examples" in model.served()
    assert "classify" not in model.served()


def test_rows_without_any_label_are_left_out_by_name():
    data = table(60)
    data["color"][4] = data["size of it"][4] = None
    rows = dlkit.TabularClassifier(targets=TARGETS, **SMALL).check(data)
    assert any("1 rows without a label are left out" in remark for remark in rows["remarks"])


def test_predictions_say_which_target_is_right(model, tmp_path):
    file = tmp_path / "predictions.jsonl"
    model.evaluate(table(20, seed=2), predictions=file)
    text = file.read_text().splitlines()[0]
    assert '"true_color": ' in text
    assert '"correct_size_of_it": null' in text  # the first row has no label of it


def test_unknown_labels_and_class_weights_are_refused(model):
    data = table(40)
    data["size of it"][1] = "huge"
    with pytest.raises(DataError, match="'huge' does not occur"):
        model.evaluate(data)
    with pytest.raises(DataError, match="'huge' does not occur"):
        dlkit.TabularClassifier(targets=TARGETS, **SMALL).fit(data, init_from=model, verbose=0)
    with pytest.raises(HparamError, match="one target"):
        dlkit.TabularClassifier(targets=TARGETS, class_weights="balanced", **SMALL).fit(table(40), verbose=0)


def test_training_continues_with_the_same_labels(model):
    task = dlkit.TabularClassifier(targets=TARGETS, **{**SMALL, "epochs": 1})
    task.fit(table(100, seed=3), init_from=model, verbose=0)
    assert task.target_labels_ == model.target_labels_
    assert task.evaluate(table(200, seed=4))["accuracy_color"] > 0.85


def test_the_metrics_of_training_are_those_of_the_whole_ensemble():
    logits = tf.constant([[[2.0, 0.0], [0.0, 3.0]]])  # two members that disagree
    mean = np.mean(tf.nn.softmax(logits).numpy()[0], axis=0)
    found = {metric.name: metric for metric in make_metrics([2], [])}
    for metric in found.values():
        metric.update_state(tf.constant([[0, 1]]), logits)
    assert float(found["log_loss"].result()) == pytest.approx(-np.log(mean[1]), rel=1e-5)
    assert float(found["accuracy"].result()) == 1
    loss = EnsembleCrossentropy([2])(tf.constant([[0, 1]]), logits)
    members = tf.nn.log_softmax(logits).numpy()[0, :, 1]
    assert float(loss) == pytest.approx(-members.mean(), rel=1e-5)
