"""What people look at: the answers of an evaluation as a file, pictures, and training that goes on from a model."""

import json

import numpy as np
import pytest

from dlkit.data.read import read
from dlkit.errors import DlkitError
from dlkit.training.continue_training import check_model, initialize_from


@pytest.fixture(scope="module")
def few(fitted):
    """Test rows as the task's own."""
    table = read(fitted.samples()["test"], {**fitted.inputs, **fitted.target})
    return fitted.rows(fitted, table.take(range(min(8, len(table)))))


@pytest.fixture(scope="module")
def written(fitted, few, tmp_path_factory):
    """The file of answers to them, and the metrics."""
    path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    tested = fitted.last_evaluation_
    metrics = fitted.evaluate(few.table, predictions=path)
    fitted.last_evaluation_ = tested
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()], metrics


def found(ranks):
    return len([*filter(None, ranks)]) / len(ranks)


# Of each task, from the rows of the file, the metric that `evaluate` gives: the errors of rows and the score agree.
MEANS = {
    "image_classification": lambda rows: ("accuracy", np.mean([row["correct"] for row in rows])),
    "sentiment": lambda rows: ("accuracy", np.mean([row["correct"] for row in rows])),
    "question_answering": lambda rows: ("f1", np.mean([row["f1"] for row in rows])),
    "forecasting": lambda rows: ("mae", np.mean([row["absolute_error"] for row in rows])),
    "translation": lambda rows: ("rows", len([row for row in rows if 0 <= row["chrf"] <= 100])),
    "language_model": lambda rows: (
        "bits_per_byte",
        sum(row["bits"] for row in rows) / sum(row["bytes"] for row in rows),
    ),
    "image_generation": lambda rows: ("images", len({row["seed"] for row in rows})),
    "image_segmentation": lambda rows: ("pixel_accuracy", np.mean([row["pixel_accuracy"] for row in rows])),
    "object_detection": lambda rows: ("objects", sum(row["true_positives"] + row["false_negatives"] for row in rows)),
    "molecule_properties": lambda rows: ("mae", np.mean([abs(row["error_boiling_point"]) for row in rows])),
    "speech_recognition": lambda rows: (
        "wer",
        sum(row["word_errors"] for row in rows) / sum(row["true_words"] for row in rows),
    ),
    "recommendation": lambda rows: ("recall", np.mean([found(row["ranks"]) for row in rows])),
    "tabular_classification": lambda rows: ("accuracy", np.mean([row["correct"] for row in rows])),
    "tabular_regression": lambda rows: ("mae", np.mean([row["absolute_error"] for row in rows])),
}


def test_the_errors_of_rows_make_the_metric(fitted, few, written):
    rows, metrics = written
    name, value = MEANS[fitted.task_name()](rows)
    assert metrics[name] == pytest.approx(value, rel=1e-5)
    assert len({row["row"] for row in rows}) == len(few)
    assert any(key.startswith("true_") for key in rows[0])


DRAWN = {
    "image_classification", "image_generation", "image_segmentation", "object_detection", "forecasting",
    "molecule_properties", "speech_recognition",
}  # fmt: skip


def test_pictures_are_figures_that_show_themselves(fitted, few, tmp_path):
    pytest.importorskip("matplotlib")
    columns = few.table.columns
    inputs = [{name: columns[name][row] for name in fitted.inputs if name in columns} for row in range(2)]
    if fitted.task_name() not in DRAWN:
        with pytest.raises(DlkitError, match="no plot"):
            fitted.plot(inputs)
        assert not fitted.draw(few.table, str(tmp_path / "drawn.png"))
        return
    one, two = fitted.plot(inputs[0]), fitted.plot(inputs)
    assert one._repr_png_().startswith(b"\x89PNG")
    assert len(two.axes) > len(one.axes)
    assert fitted.draw(few.table, str(tmp_path / "drawn.png"))  # with true values, to a path that is a string
    assert (tmp_path / "drawn.png").stat().st_size > 5_000
    with pytest.raises(DlkitError, match="must end in one of"):
        fitted.draw(few.table, tmp_path / "drawn.txt")


def gone_on(fitted, few, model):
    """A new task that goes on from a model, before its first step."""
    task = type(fitted)(**fitted.hparams)
    task.header_ = list(fitted.header_)
    initialize_from(task, type(few)(task, few.table), model, keep_examples=False)
    return task


@pytest.mark.core("sentiment", "recommendation")  # of the others those marked slow
def test_a_run_that_goes_on_begins_with_the_answers_of_its_model(fitted, few):
    if fitted.task_name() == "recommendation":
        with pytest.raises(DlkitError, match="Train again on all interactions"):
            gone_on(fitted, few, fitted.folder)
        return
    task = gone_on(fitted, few, fitted.folder)
    expected = fitted.predict_table(few.table)
    for name, values in task.predict_table(few.table).items():
        np.testing.assert_array_equal(np.array(values), np.array(expected[name]), err_msg=name)
    learned = {name for name in vars(fitted) if name.endswith("_")} - {
        "stages_",
        "history_",
        "best_epoch_",
        "examples_",
    }
    for name in learned - {"fingerprint_", "last_evaluation_", "plan_", "report_", "init_from_", "scales_"}:
        assert getattr(task, name) == getattr(fitted, name), name
    assert task.init_from_ == {"model": fitted.task_name(), "new_labels": []}


@pytest.mark.core("object_detection")
def test_new_labels_leave_what_is_known_of_the_others(fitted, few, monkeypatch):
    if not hasattr(fitted, "labels_"):
        return
    monkeypatch.setattr(type(few), "new_labels", lambda self, known: ["zz", "zzz"])
    monkeypatch.setattr(type(few), "continued_from", lambda self, model: {})
    task = gone_on(fitted, few, fitted.folder)
    assert task.labels_ == [*fitted.labels_, "zz", "zzz"]
    known = len(fitted.labels_)
    if "logits" in fitted.stages_.network.output:
        raw = {name: few.table.raw_column(name, column) for name, column in fitted.inputs.items()}
        kinds = {name: object if column.dtype == "string" else column.dtype for name, column in fitted.inputs.items()}
        made = fitted.stages_.preprocess({name: np.array(values, kinds[name]) for name, values in raw.items()})
        given = {name: made[name] for name in fitted.stages_.network.input}
        old, new = (np.array(each.stages_.network(given)["logits"]) for each in (fitted, task))
        assert new.shape[-1] == known + 2
        np.testing.assert_array_equal(new[..., :known], old)
        assert (np.abs(new[..., known:]) > 0).any() or not old.any()
    else:  # a label of its own begins below any threshold: the answers stay
        expected = fitted.predict_table(few.table)
        for name, values in task.predict_table(few.table).items():
            np.testing.assert_array_equal(np.array(values), np.array(expected[name]), err_msg=name)


def test_a_model_of_another_network_is_refused_by_name(fitted):
    wrong = {"forecasting": {"width": 8}, "question_answering": {"top_k": 2}, "recommendation": {"top_k": 3},
             "translation": {"beam_width": 2}, "object_detection": {"max_detections": 7}}  # fmt: skip
    hparams = wrong.get(fitted.task_name(), {"dropout": 0.123})
    with pytest.raises(DlkitError, match=next(iter(hparams))):
        check_model(type(fitted)(**{**fitted.hparams, **hparams}), fitted.folder)
    check_model(type(fitted)(**{**fitted.hparams, "epochs": 77, "seed": 5, "batch_size": 3}), fitted.folder)
    assert {*fitted.training_only} <= fitted.hparams.keys()
