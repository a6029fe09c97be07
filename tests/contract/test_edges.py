"""Inputs at the edges of what a task takes: an answer, or the documented error."""

import knowledge
import numpy as np
import pytest

from dlkit.errors import DlkitError


def inputs_with(task, value):
    """An input of a task for each of its columns that takes such a value; the others hold a text. A dict is one."""
    if len(task.inputs) == 1 or isinstance(value, dict):
        return [value]
    return [{name: value if name == edge else "a text" for name in task.inputs} for edge in task.inputs]


def test_edges_get_an_answer(fitted):
    for name, make in knowledge.of(fitted.task_name()).EDGES.items():
        for value in inputs_with(fitted, make()):
            answer = fitted.predict(value)
            scores = [value for key, value in answer.items() if key in ("score", "forecast")]
            assert all(np.isfinite(score).all() for score in scores), name


def test_what_is_broken_is_refused_by_name(fitted):
    known = knowledge.of(fitted.task_name())
    for name, value in known.BROKEN.items():
        value = value() if callable(value) else value
        good = inputs_with(fitted, next(iter(known.EDGES.values()))())[0]
        for broken in inputs_with(fitted, value):
            with pytest.raises(DlkitError, match=r"input 1|'a text'"):  # a row is named by its first text, if short
                fitted.predict([good, broken])
            with pytest.raises(DlkitError, match=r"input|'a text'"):
                fitted.predict(broken)
        assert fitted.predict(good), name
