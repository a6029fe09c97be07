"""One graph: what evaluate scores, predict answers and export writes are the same, whatever the batch."""

import json
from pathlib import Path

import fork_server
import numpy as np
import pytest
import serving_tools

import dlkit
from dlkit.data.read import read

SERVED = Path(__file__).with_name("serve_requests.py")


def latin(value):
    """An answer as `serve_requests.py` prints it."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return [latin(item) for item in value] if isinstance(value, (list, np.ndarray)) else value.item()


def assert_same(answers, expected, task, tolerance=1e-5):
    for name, column in task.answer.items():
        if column.dtype.startswith("float"):
            np.testing.assert_allclose(answers[name], expected[name], atol=tolerance, rtol=1e-4, err_msg=name)
        else:
            assert answers[name] == expected[name], name


def test_the_served_answers_beat_the_baseline(fitted, tmp_path):
    test = read(fitted.samples()["test"], {**fitted.inputs, **fitted.target})
    inputs = dict(fitted.served()[fitted.evaluated_signature].columns) or dict(fitted.inputs)
    raw = [test.raw(row, inputs) for row in range(len(test))]
    served = serve(fitted, raw, tmp_path, fitted.evaluated_signature, inputs)
    for name, values in served.items():
        if {**fitted.extra_outputs, **fitted.answer}[name].dtype == "string":
            served[name] = [
                [item.encode("latin-1") for item in value] if isinstance(value, list) else value.encode("latin-1")
                for value in values
            ]
    targets = {name: test.raw_column(name, column) for name, column in fitted.target.items()}
    metrics = fitted.score(targets, served)
    assert metrics[fitted.primary_metric] > metrics[f"baseline_{fitted.primary_metric}"] + 0.1
    evaluated = fitted.evaluate(fitted.samples()["test"])[fitted.primary_metric]
    assert metrics[fitted.primary_metric] == pytest.approx(evaluated, rel=1e-4)


def serve(task, raw, folder, signature="serving_default", inputs=None):
    requests = {name: [latin(row[name]) for row in raw] for name in inputs or task.inputs}
    path = folder / "requests.json"
    path.write_text(json.dumps(requests))
    done = fork_server.run([SERVED, task.version, path, signature], cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_export_answers_as_predict_does_without_dlkit(fitted, rows, tmp_path):
    table, alone = rows
    served = serve(fitted, [table.raw(row, dict(fitted.inputs)) for row in range(len(table))], tmp_path)
    for row, expected in enumerate(alone):
        answer = {name: [values[row]] for name, values in served.items()}
        assert_same(answer, {name: latin(values) for name, values in expected.items()}, fitted)


def test_a_row_alone_is_the_row_in_any_batch(fitted, rows):
    table, alone = rows
    generator = np.random.default_rng(0)
    for size in (2, 5, 12):
        order = generator.permutation(len(table))[:size].tolist()
        order.append(order[0])  # the server pads by repeating a row
        together = fitted.predict_table(table.take(order))
        for place, row in enumerate(order):
            answer = {name: latin(values[place : place + 1]) for name, values in together.items()}
            assert_same(answer, {name: latin(values) for name, values in alone[row].items()}, fitted)


def test_a_saved_task_answers_the_same(fitted, rows):
    table, alone = rows
    loaded = dlkit.load(fitted.folder)
    assert type(loaded) is type(fitted)
    assert loaded.hparams == fitted.hparams
    for row, expected in enumerate(alone):
        answers = loaded.predict_table(table.take([row]))
        assert_same(
            {name: latin(values) for name, values in answers.items()},
            {name: latin(values) for name, values in expected.items()},
            fitted,
            tolerance=0,
        )


@pytest.mark.core("sentiment")
def test_a_saved_task_exports_again(fitted):
    assert dlkit.load(fitted.folder).export(fitted.folder.parent / "again").name == "1"


def test_predict_takes_one_or_a_list_in_order(fitted, rows):
    table, _ = rows
    given = [{name: table.columns[name][row] for name in fitted.inputs if name in table.columns} for row in range(3)]
    values = given if len(fitted.inputs) > 1 else [value for row in given for value in row.values()]
    one = fitted.predict(values[0])
    several = fitted.predict(values)
    assert isinstance(one, dict)
    assert [set(answer) for answer in several] == [set(one)] * 3
    serving_tools.assert_close(several, [fitted.predict(value) for value in values])
    assert fitted.predict([]) == []
