"""The export through a loader (C++, no Python, XLA off) and a linter that are made outside this package."""

import json
import subprocess

import numpy as np
import pytest
from serving_tools import lint

from dlkit.serving.reference_examples import EXAMPLES_FILE, load_reference_examples


def test_linter_finds_no_problem(tools, exported):
    report = lint(tools, exported)
    assert report["problems"] == []
    assert report["signatures"]["classify"]["method"] == "tensorflow/serving/classify"
    assert report["signatures"]["classify"]["classify_ok"]


@pytest.mark.parametrize(("name", "labels"), [("serving_default", "labels"), ("classify", "classes")])
def test_loader_answers_as_predict(cload, exported, name, labels):
    inputs, answers = load_reference_examples(exported / "assets.extra" / EXAMPLES_FILE)[name][0]
    (data,) = inputs.values()
    done = subprocess.run([cload, exported, name], input=data[0], capture_output=True, check=True)
    got = json.loads(done.stdout)
    assert got[labels][0] == [label.decode() for label in answers[labels][0]]
    np.testing.assert_allclose(got["scores"], answers["scores"], atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8, 4), (1, 1, 8, 8, 4), (1, 8, 8, 3), (1, 7, 8, 4), (1,)])
def test_loader_refuses_wrong_shapes_and_lives(cload, exported, tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    command = [cload, exported, "preprocessed", f"pixels=npy:{tmp_path / 'x.npy'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4 and "expected shape [?,8,8,4]" in done.stderr
