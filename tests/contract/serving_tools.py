"""Checks of exports with the linter and the loader of the servable tools, and comparisons of predictions."""

import json
import subprocess

import fork_server
import numpy as np

from dlkit.columns import stack_column
from dlkit.serving.requests import serialize_examples


def lint(tools, version):
    """Return the report of the linter on a version directory."""
    done = fork_server.run([tools / "sigcheck.py", version, "--json"])
    return json.loads(done.stdout)


def assert_close(one, other, *, rtol=1e-5, atol=1e-5, where="answer"):
    """Assert that two predictions, nested as by `predict`, are equal up to rounding."""
    if isinstance(other, dict):
        assert list(one) == list(other), where
        for name in other:
            assert_close(one[name], other[name], rtol=rtol, atol=atol, where=f"{where}.{name}")
    elif isinstance(other, list):
        assert len(one) == len(other), where
        for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            assert_close(mine, theirs, rtol=rtol, atol=atol, where=f"{where}[{number}]")
    elif isinstance(other, float) or (isinstance(other, np.ndarray) and other.dtype.kind == "f"):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol, err_msg=where)
    elif isinstance(other, np.ndarray):
        np.testing.assert_array_equal(one, other, err_msg=where)
    else:
        assert one == other, where


def assert_served_as_predicted(task, version, cload, table, folder):
    """Assert that the loader's predictions for a batch of rows equal those of `predict`; `folder` is for requests."""
    if any(column.shape for column in task.inputs.values()):
        assert_examples_as_predicted(task, version, cload, table, folder)
        return
    arguments = []
    for name, column in task.inputs.items():
        if column.dtype != "string":
            arguments.append(f"{name}=num:{','.join(str(value) for value in table.raw_column(name, column))}")
            continue
        for row in range(len(table)):
            path = folder / f"{name}-{row}"
            path.write_bytes(table.raw(row, task.inputs)[name])
            arguments.append(f"{name}=@{path}")
    done = subprocess.run([cload, version, "serving_default", *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    holds_bytes = any(_is_bytes(output, column) for output, column in task.answer.items())
    served, answers = json.loads(done.stdout.decode("latin-1" if holds_bytes else "utf-8")), task.predict_table(table)
    for output, column in task.answer.items():
        if _is_bytes(output, column):
            assert [value.encode("latin-1") for value in served[output]] == answers[output]
            continue
        expected = [column.show(value) for value in answers[output]]
        if column.dtype.startswith("float"):
            np.testing.assert_allclose(served[output], expected, atol=column.atol, rtol=1e-4)
        else:
            assert served[output] == expected


def _is_bytes(output, column):
    """Whether a server answers with base64; a number of bytes is a number."""
    return output.endswith("_bytes") and column.dtype == "string"


def assert_examples_as_predicted(task, version, cload, table, folder):
    """Assert the same with `classify` or `examples`: the loader takes lists of strings only in a `tf.Example`."""
    ranked = [(name, column) for name, column in task.answer.items() if column.ranked_by]
    signature, name = ("classify", "inputs") if ranked else ("examples", "examples")
    arguments = []
    for row in range(len(table)):
        raw = table.raw(row, task.inputs)
        (made,) = serialize_examples({key: stack_column(column, [raw[key]]) for key, column in task.inputs.items()})
        path = folder / f"example-{row}"
        path.write_bytes(made)
        arguments.append(f"{name}=@{path}")
    done = subprocess.run([cload, version, signature, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    served, answers = json.loads(done.stdout), task.predict_table(table)
    for classes, column in ranked:
        assert served["classes"] == [column.show(value) for value in answers[classes]]
        np.testing.assert_allclose(served["scores"], answers[column.ranked_by], atol=1e-5, rtol=1e-4)
    for output, column in {} if ranked else task.answer.items():
        if column.dtype.startswith("float"):
            np.testing.assert_allclose(served[output], answers[output], atol=column.atol, rtol=1e-4)
        else:
            assert served[output] == [column.show(value) for value in answers[output]]
