"""Columns that the data define: a task of any table of numbers."""

import dataclasses

import numpy as np
import pandas
import pytest

import dlkit
from dlkit import model_folder
from dlkit.columns import Number
from dlkit.errors import DataError
from dlkit.hparams import hparam
from dlkit.lazy import keras
from dlkit.rows import Rows
from dlkit.stages import Stages
from dlkit.task import Task


@dataclasses.dataclass(kw_only=True)
class Linear(Task):
    """A weighted sum of the columns of a table."""

    target_name: str = hparam("y", "The column to predict.")

    inputs = {"a": Number()}
    target = {"y": Number()}
    answer = {"prediction": Number()}
    primary_metric = "r2"

    def declare(self, header):
        self.target = {self.target_name: Number()}
        self.inputs = {name: Number() for name in header if name != self.target_name}

    def build(self, examples):
        columns = {name: keras.Input((), name=name) for name in self.inputs}
        features, made = keras.Input((len(columns),), name="features"), keras.Input((1,), name="made")
        return Stages(
            keras.Model(columns, {"features": keras.ops.stack(list(columns.values()), axis=1)}),
            keras.Model({"features": features}, {"made": keras.layers.Dense(1)(features)}),
            keras.Model({"made": made}, {"prediction": made[:, 0]}),
        )

    def encode(self, features, target):
        return self.stages_.preprocess(features), {"made": target[self.target_name][:, None]}

    def loss(self):
        return {"made": "mse"}

    def metrics(self):
        return None

    def score(self, targets, answers):
        return {"mae": float(np.abs(np.subtract(targets[self.target_name], answers["prediction"])).mean())}


@pytest.fixture
def frame():
    random = np.random.default_rng(0)
    return pandas.DataFrame({name: random.random(64) for name in ("a", "b", "y")})


@pytest.fixture
def task():
    return Linear(epochs=1, batch_size=16)


def test_columns_come_from_the_header_and_survive_a_file(frame, task, tmp_path):
    validation = frame.assign(more=1.0)  # a column more changes nothing
    task.fit(frame, validation, verbose=0)
    assert list(task.inputs) == ["a", "b"]
    task.save(tmp_path / "m")
    loaded = model_folder.read_model(Linear, tmp_path / "m")
    assert loaded.header_ == ["a", "b", "y"]
    assert loaded.predict({"a": 1, "b": 2}) == task.predict({"a": 1, "b": 2})
    assert loaded.evaluate(validation) == task.evaluate(frame)
    with pytest.raises(DataError, match="no column 'b'"):
        loaded.evaluate(frame.drop(columns="b"))


def test_another_fit_has_columns_of_its_own(frame, task):
    task.fit(frame, verbose=0)
    task.fit(frame.rename(columns={"a": "c"}), verbose=0)
    assert list(task.inputs) == ["c", "b"]


def test_renamed_columns_come_under_their_new_names(frame, task, tmp_path):
    theirs = frame.rename(columns={"a": "living area", "y": "Preis"})
    theirs.to_csv(tmp_path / "t.csv", index=False)
    names = {"area": "living area", "y": "Preis"}
    for source in (theirs, tmp_path / "t.csv"):
        task.fit(source, columns=names, verbose=0)
        assert list(task.inputs) == ["area", "b"]
        assert list(task.target) == ["y"]
    train, test = dlkit.split(theirs, Linear(), columns=names)
    assert [len(train), len(test)] == [51, 13]


@pytest.mark.parametrize("name", ["living area", "Größe", "class", "self", "1st", "_x", "a.b"])
def test_a_name_that_no_tensor_can_have_is_refused_before_training(frame, task, name):
    with pytest.raises(DataError, match=r"cannot be the input of a served model.*columns=\{\"\w+\": "):
        task.fit(frame.rename(columns={"a": name}), verbose=0)


def test_a_file_that_is_not_there_is_what_is_said(task, tmp_path):
    with pytest.raises(DataError, match="there is no"):
        task.fit(tmp_path / "gone.csv", verbose=0)


def test_columns_that_training_does_not_know_are_named(frame, task):
    task.fit(frame, frame.assign(more=1.0), verbose=0)
    assert task.report_["remarks"] == ["columns that the training data does not have are ignored: more"]
    assert not task.read(frame).table.remarks


def test_a_table_that_was_split_keeps_the_names_of_its_source(frame):
    train, test = dlkit.split(frame.rename(columns={"y": "Preis"}), Linear(target_name="Preis"))
    task = Linear(target_name="Preis", epochs=1, batch_size=16)
    task.fit(train, verbose=0)
    assert list(task.inputs) == ["a", "b"]
    assert task.evaluate(test)["mae"] >= 0


def test_a_request_may_use_the_other_name_of_a_column(frame, task):
    task.fit(frame, verbose=0)
    task.inputs = {"a": Number(aliases=("living area",)), "b": task.inputs["b"]}
    expected = task.predict({"a": 1.0, "b": 2.0})
    assert task.predict({"living area": 1.0, "b": 2.0}) == expected
    assert task.predict([{"b": 2.0, "living area": 1.0}]) == [expected]


def test_rows_are_calibrated_once_after_training_and_baselines_are_added(frame, task, monkeypatch):
    calibrated = []
    monkeypatch.setattr(Rows, "calibrate", lambda self, store: calibrated.append((len(self), store.rows)) or {"a": 1})
    monkeypatch.setattr(Rows, "baseline_metrics", lambda self, targets: {"of": len(targets["y"])})
    task.fit(frame, frame.head(7), verbose=0)
    assert calibrated == [(7, 7)]
    assert task.calibration_ == {"a": 1}
    assert task.evaluate(frame)["of"] == 64


def test_requests_that_are_no_numbers_are_refused_by_name(frame, task):
    task.fit(frame, verbose=0)
    for value in (float("nan"), float("inf"), "much", [1, 2], 1e39):
        with pytest.raises(DataError, match="column 'b': expected a finite number"):
            task.predict({"a": 1.0, "b": value})
    with pytest.raises(DataError, match=r"must be a dict with \['a', 'b'\]\. Received: one without \['b'\]"):
        task.predict({"a": 1.0})
    with pytest.raises(DataError, match=r"or a list of such\. Received: float"):
        task.predict(5.0)
