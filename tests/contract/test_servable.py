"""Every export against the independent loader and linter, where they are present."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dlkit.data.read import read

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def tools():
    folder = Path(os.environ.get("DLKIT_SERVABLE_TOOLS", ROOT.parent / "shared" / "tools" / "servable"))
    if not (folder / "sigcheck.py").is_file():
        pytest.skip(f"no independent loader: set DLKIT_SERVABLE_TOOLS (looked at {folder})")
    return folder


@pytest.fixture(scope="session")
def cload(tools, tmp_path_factory):
    binary = tmp_path_factory.mktemp("cload") / "cload"
    built = subprocess.run(
        [tools / "build.sh", binary], env={**os.environ, "PYTHON": sys.executable}, capture_output=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return binary


def test_the_linter_finds_nothing(fitted, tools):
    done = subprocess.run(
        [sys.executable, tools / "sigcheck.py", fitted.version, "--json"], capture_output=True, check=False
    )
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert set(report["warmup"]["signatures"]) >= {"serving_default", "tensors"}
    if any(column.ranked_by for column in fitted.answer.values()):
        assert report["signatures"]["classify"]["classify_ok"]


def test_the_loader_of_the_server_answers_as_predict(fitted, cload, tmp_path):
    table = read(fitted.samples()["test"], {**fitted.inputs, **fitted.target}).take(range(3))
    name, *more = fitted.inputs
    assert not more, "this check feeds one input"
    arguments = []
    for row in range(len(table)):
        path = tmp_path / str(row)
        path.write_bytes(table.raw(row, fitted.inputs)[name])
        arguments.append(f"{name}=@{path}")
    done = subprocess.run([cload, fitted.version, "serving_default", *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    holds_bytes = any(output.endswith("_bytes") for output in fitted.answer)
    served = json.loads(done.stdout.decode("latin-1" if holds_bytes else "utf-8"))
    for output, column in fitted.answer.items():
        if output.endswith("_bytes"):
            assert [value.encode("latin-1") for value in served[output]] == fitted.answers(table)[output]
            continue
        expected = [column.show(value) for value in fitted.answers(table)[output]]
        if column.dtype.startswith("float"):
            np.testing.assert_allclose(served[output], expected, atol=1e-5, rtol=1e-4)
        else:
            assert served[output] == expected


def test_the_loader_refuses_a_wrong_rank_and_lives(fitted, cload):
    name = next(iter(fitted.inputs))
    done = subprocess.run(
        [cload, "--rank0", fitted.version, "serving_default", f"{name}=str:x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "not compatible with expected shape" in done.stderr
