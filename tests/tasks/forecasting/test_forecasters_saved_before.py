"""Forecasters that were saved before series were scaled by themselves, and steps had anchors, answer as then."""

from pathlib import Path

import pytest
from serving_tools import assert_close_to_saved

import dlkit

SAVED = Path(__file__).parent / "forecasters_saved_before.tar.xz"


@pytest.mark.parametrize("name", ["months", "hours"])
def test_their_answers(name, saved, tmp_path):
    folder, answers = saved
    model, then = dlkit.load(folder / name), answers[name]
    assert_close_to_saved(model.predict(then["inputs"]), then["answers"])
    if name == "months":
        asked = then["inputs"][0]
        assert_close_to_saved(model.forecast(asked, horizon=2, levels=[0.3, 0.5]), answers["forecast"])
        model.save(tmp_path / "again")
        assert_close_to_saved(dlkit.load(tmp_path / "again").predict(then["inputs"]), then["answers"])
