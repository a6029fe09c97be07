"""Models of texts that were saved before answers told what was cut, and before texts were composed, answer as then."""

from pathlib import Path

import pytest
from serving_tools import assert_close_to_saved

import dlkit

SAVED = Path(__file__).parent / "texts_saved_before.tar.xz"
TASKS = ("sentiment-mlp", "sentiment-cnn", "question_answering", "translation")


@pytest.mark.parametrize("name", TASKS)
def test_their_answers(name, saved):
    folder, answers = saved
    model = dlkit.load(folder / name)
    then = answers[name]
    assert_close_to_saved(model.predict(then["inputs"]), then["answers"])
    if name == "translation":
        assert_close_to_saved(model.generate(then["inputs"], max_tokens=5), answers["generate"])
    if name == "question_answering":
        first, second = then["inputs"][:2]
        asked = model.call_signature("ask", [{**first, "max_answer": 0}, {**first, "max_answer": 99}, second])
        decoded = [{key: model.answer[key].show(value) for key, value in answer.items()} for answer in asked]
        assert_close_to_saved(decoded, answers["ask"])


def test_they_are_saved_again_as_they_are(saved, tmp_path):
    folder, answers = saved
    then = answers["sentiment-cnn"]
    dlkit.load(folder / "sentiment-cnn").save(tmp_path / "again")
    assert_close_to_saved(dlkit.load(tmp_path / "again").predict(then["inputs"]), then["answers"])
