"""Models of texts that were saved before answers told what was cut, and before texts were composed, answer as then."""

import json
import math
import tarfile
from pathlib import Path

import pytest

import dlkit

SAVED = Path(__file__).parent / "texts_saved_before.tar.xz"
TASKS = ("sentiment-mlp", "sentiment-cnn", "question_answering", "translation")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    with tarfile.open(SAVED) as archive:
        archive.extractall(folder, filter="data")
    return folder, json.loads((folder / "answers.json").read_text())


def same(now, then):
    """Whether two answers are the same, up to what another processor rounds."""
    if isinstance(then, dict):
        return list(now) == list(then) and all(same(now[name], then[name]) for name in then)
    if isinstance(then, list):
        return len(now) == len(then) and all(map(same, now, then))
    return math.isclose(now, then, rel_tol=1e-5) if isinstance(then, float) else now == then


@pytest.mark.parametrize("name", TASKS)
def test_their_answers(name, saved):
    folder, answers = saved
    model = dlkit.load(folder / name)
    then = answers[name]
    assert same(model.predict(then["inputs"]), then["answers"])
    if name == "translation":
        assert same(model.generate(then["inputs"], max_tokens=5), answers["generate"])
    if name == "question_answering":
        first, second = then["inputs"][:2]
        asked = model.ask("ask", [{**first, "max_answer": 0}, {**first, "max_answer": 99}, second])
        decoded = [{key: model.answer[key].show(value) for key, value in answer.items()} for answer in asked]
        assert same(decoded, answers["ask"])


def test_they_are_saved_again_as_they_are(saved, tmp_path):
    folder, answers = saved
    then = answers["sentiment-cnn"]
    dlkit.load(folder / "sentiment-cnn").save(tmp_path / "again")
    assert same(dlkit.load(tmp_path / "again").predict(then["inputs"]), then["answers"])
