"""Requests that cannot be suggest: refused inside the graph, with the reason and the row."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.columns import Count
from dlkit.limits import FINITE, Limits, assert_no_reasons
from dlkit.serving.signature import Signature

RIGHT = {
    "k": np.array([1, 7], np.int32),
    "share": np.array([0.0, 1.0], np.float32),
    "mask": np.array([[True, False, False], [False, False, True]]),
    "there": np.array([[0, 1], [1, 1]], np.uint8),
    "values": np.array([[0.5, -3e38], [1, 2]], np.float32),
    "any": np.array([-1, -2], np.int32),
}


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """The signature as a server has it: saved, loaded and optimized."""
    limits = {
        "k": Limits(1),
        "share": Limits(0, 1),
        "mask": Limits(nonzero=True),
        "there": Limits(0, 1, nonzero=True),
        "values": FINITE,
    }
    inputs = {name: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for name, value in RIGHT.items()}
    # The answer does not depend on what is checked: the checks must survive nevertheless.
    signature = Signature("ask", lambda raw: {"k": tf.ones_like(raw["any"])}, inputs, limits=limits)
    path = str(tmp_path_factory.mktemp("limits"))
    tf.saved_model.save(tf.Module(), path, signatures={"ask": signature.graph})
    return tf.saved_model.load(path).signatures["ask"]


def test_what_can_be_meant_is_answered(answer):
    assert answer(**{name: tf.constant(value) for name, value in RIGHT.items()})["k"].numpy().tolist() == [1, 1]
    nothing = {name: tf.constant(value[:0]) for name, value in RIGHT.items()}
    assert answer(**nothing)["k"].shape == (0,)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("k", [3, 0], "`k` must be at least 1"),
        ("k", [-(2**31), 3], "`k` must be at least 1"),
        ("share", [0.5, np.nan], "`share` must be between 0 and 1"),
        ("share", [1.1, 0.5], "`share` must be between 0 and 1"),
        ("share", [0.5, -np.inf], "`share` must be between 0 and 1"),
        ("mask", [[True] * 3, [False] * 3], "`mask` must hold a value in each row that is not 0 or false"),
        ("there", [[1, 1], [0, 0]], "`there` must hold a value"),
        ("there", [[2, 1], [1, 1]], "`there` must hold a value"),
        ("values", [[1, 1], [np.inf, 1]], "`values` must be finite"),
        ("values", [[1, np.nan], [1, 1]], "`values` must be finite"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(answer, name, value, reason):
    inputs = {**RIGHT, name: np.array(value, RIGHT[name].dtype)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        answer(**{key: tf.constant(item) for key, item in inputs.items()})


def test_columns_bring_their_limits():
    columns = {"k": Count(limits=Limits(1)), "n": Count()}
    inputs = {name: tf.TensorSpec([None], tf.int32) for name in columns}
    signature = Signature("ask", dict, inputs, columns=columns, limits={"n": Limits(0, 2)})
    assert signature.all_limits == {"k": Limits(1), "n": Limits(0, 2)}


def test_reasons_are_told_with_their_row():
    @tf.function
    def check(reasons):
        with tf.control_dependencies([assert_no_reasons(reasons)]):
            return tf.identity(1)

    assert int(check(tf.constant(["", ""]))) == 1
    assert int(check(tf.constant([], tf.string))) == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"no date\. In row 1\."):
        check(tf.constant(["", "no date.", "other"]))
