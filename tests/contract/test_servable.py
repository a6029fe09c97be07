"""Every export against the independent loader and linter, where they are present."""

import subprocess

import numpy as np
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


def test_the_loader_refuses_a_wrong_rank_and_lives(fitted, cload, tmp_path):
    inputs = [f"{name}=str:x" for name, column in fitted.inputs.items() if column.dtype == "string"]
    for name, column in fitted.inputs.items():  # which `--rank0` leaves as they are
        if column.dtype != "string":
            np.save(tmp_path / f"{name}.npy", np.zeros([1] * (len(column.shape) + 2), column.dtype))
            inputs.append(f"{name}=npy:{tmp_path / name}.npy")
    done = subprocess.run(
        [cload, "--rank0", fitted.version, "serving_default", *inputs],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "not compatible with expected shape" in done.stderr
