"""Forecasters that were saved before series were scaled by themselves, and steps had anchors, answer as then."""

from pathlib import Path

import pytest
from independent import assert_as_then

import dlkit

SAVED = Path(__file__).parent / "forecasters_saved_before.tar.xz"


@pytest.mark.parametrize("name", ["months", "hours"])
def test_their_answers(name, saved, tmp_path):
    folder, answers = saved
    model, then = dlkit.load(folder / name), answers[name]
    assert_as_then(model.predict(then["inputs"]), then["answers"])
    if name == "months":
        asked = then["inputs"][0]
        assert_as_then(model.forecast(asked, horizon=2, levels=[0.3, 0.5]), answers["forecast"])
        model.save(tmp_path / "again")
        assert_as_then(dlkit.load(tmp_path / "again").predict(then["inputs"]), then["answers"])
