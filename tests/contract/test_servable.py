"""Every export against the independent loader and linter, where they are present."""

import subprocess

from serving_tools import assert_served_as_predicted, lint

from dlkit.data.read import read


def test_the_linter_finds_nothing(fitted, tools):
    report = lint(tools, fitted.version)
    assert report["problems"] == []
    assert set(report["warmup"]["signatures"]) >= {"serving_default", "preprocessed"}
    if any(column.ranked_by for column in fitted.answer.values()):
        assert report["signatures"]["classify"]["classify_ok"]


def test_the_loader_of_the_server_answers_as_predict(fitted, cload, tmp_path):
    table = read(fitted.samples()["test"], {**fitted.inputs, **fitted.target}).take(range(3))
    assert_served_as_predicted(fitted, fitted.version, cload, table, tmp_path)


def test_the_loader_refuses_a_wrong_rank_and_lives(fitted, cload):
    inputs = [f"{name}={'str:x' if column.dtype == 'string' else 'num:1'}" for name, column in fitted.inputs.items()]
    done = subprocess.run(
        [cload, "--rank0", fitted.version, "serving_default", *inputs],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "not compatible with expected shape" in done.stderr
