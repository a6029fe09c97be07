"""Inputs at the edges of what a task takes: an answer, or the documented error."""

import re

import numpy as np
import pytest
import task_contracts

from dlkit.errors import DlkitError


def inputs_with(task, value):
    """An input of a task for each of its columns that takes such a value; the others hold a text. A dict is one."""
    if len(task.inputs) == 1 or isinstance(value, dict):
        return [value]
    return [{name: value if name == edge else "a text" for name in task.inputs} for edge in task.inputs]


def flat(value):
    """All numbers of an answer, however they are nested."""
    if isinstance(value, dict):
        value = list(value.values())
    return np.concatenate([flat(item) for item in value]) if isinstance(value, list) and value else np.ravel(value)


def test_edges_get_an_answer(fitted):
    for name, make in task_contracts.load_contract(fitted.task_name()).EDGE_INPUTS.items():
        for value in inputs_with(fitted, make()):
            answer = fitted.predict(value)
            numbers = {key for key, column in fitted.answer.items() if column.dtype.startswith("float")} & set(answer)
            assert all(np.isfinite(flat(answer[key])).all() for key in numbers), name


def test_inputs_that_mean_the_same_get_the_same_answer(fitted):
    for name, values in task_contracts.load_contract(fitted.task_name()).EQUAL_INPUTS.items():
        first, *others = fitted.predict([*values])
        for answer in others:
            assert list(answer) == list(first), name
            for key, value in answer.items():
                np.testing.assert_allclose(value, first[key], rtol=1e-4, atol=1e-4, err_msg=f"{name}: {key}")


def test_what_is_broken_is_refused_by_name(fitted):
    known = task_contracts.load_contract(fitted.task_name())
    for name, value in known.INVALID_INPUTS.items():
        value = value() if callable(value) else value
        good = inputs_with(fitted, next(iter(known.EDGE_INPUTS.values()))())[0]
        for broken in inputs_with(fitted, value):
            first = next(iter(broken.values()), "") if isinstance(broken, dict) else ""  # a short text names its row
            named = re.escape(repr(first)) if isinstance(first, str) and first else "'a text'"
            with pytest.raises(DlkitError, match=f"input 1|{named}"):
                fitted.predict([good, broken])
            with pytest.raises(DlkitError, match=f"input|{named}"):
                fitted.predict(broken)
        assert fitted.predict(good), name
