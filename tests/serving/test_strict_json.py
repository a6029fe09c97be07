"""No number in the JSON of an export that RFC 8259 does not have."""

import json

import numpy as np
import pytest
import tensorflow as tf

from dlkit.errors import ExportError
from dlkit.plain import finite, name_of, without_folders
from dlkit.serving.requests import find_smallest_row


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_reference_answers_that_are_not_finite_are_refused(prove_function, wrong):
    def answer(inputs):
        return {"y": inputs["x"] * 0.0 + wrong}

    inputs = {"x": tf.TensorSpec([None], tf.float32)}
    ones = np.ones(1, np.float32)
    with pytest.raises(ExportError, match="finite numbers only"):  # its example would not be JSON
        prove_function(answer, inputs, [({"x": ones}, {"y": ones * wrong})])


def test_one_of_several_reference_answers_is_found_by_the_proof(prove_function):
    def answer(inputs):
        return {"y": tf.math.log(inputs["x"])}

    inputs = {"x": tf.TensorSpec([None], tf.float32)}
    values = [np.array([value], np.float32) for value in (1.0, 0.0)]
    with np.errstate(divide="ignore"):
        report = prove_function(answer, inputs, [({"x": x}, {"y": np.log(x)}) for x in values])
    assert [text for text in report["problems"] if "input 1 row 0 holds NaN or infinity in `y`" in text]


def test_an_example_is_one_without_missing_numbers():
    pairs = [({"y": np.array([[np.nan]])}, {"z": np.ones(1)}), ({"y": np.ones((1, 9))}, {"z": np.ones(1)})]
    assert find_smallest_row(pairs)[0]["y"].shape == (1, 9)


def test_metrics_without_a_value_are_null():
    metrics = {"a": [1.0, float("nan")], "b": {"c": np.float32("inf")}, "d": "NaN", "e": (1, True, None)}
    assert json.loads(json.dumps(finite(metrics), allow_nan=False)) == {
        "a": [1.0, None],
        "b": {"c": None},
        "d": "NaN",
        "e": [1, True, None],
    }


def test_sources_without_their_folders():
    assert name_of("/home/Max Muster/my data/rows.csv") == "rows.csv"
    assert name_of("C:\\data\\photos\\") == "photos"
    assert name_of("/a/x.csv, /b/y.csv") == "x.csv, y.csv"
    assert name_of("tfds:mnist") == "tfds:mnist"
    report = {"source": "/a/photos", "warnings": ["dark (/a/photos/cat/1.jpg)"], "facts": {"rows": 3}}
    assert without_folders(report, "/a/photos") == {
        "source": "photos",
        "warnings": ["dark (photos/cat/1.jpg)"],
        "facts": {"rows": 3},
    }
