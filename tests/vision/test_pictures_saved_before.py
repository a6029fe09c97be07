"""Models of pictures that were saved when these lay as they are stored answer as then: turned, 16-bit, alpha, GIF."""

import base64
from pathlib import Path

import numpy as np
import pytest

import dlkit
from dlkit.errors import DataError

SAVED = Path(__file__).parent / "pictures_saved_before.tar.xz"
TASKS = ("image_classification", "image_segmentation", "image_segmentation-tiles")


@pytest.mark.parametrize("name", TASKS)
def test_their_answers(name, saved):
    folder, then = saved
    model = dlkit.load(folder / name)
    inputs = [base64.b64decode(text) for text in then["inputs"]]
    for now, expected in zip(model.predict(inputs), then[name], strict=True):
        assert set(now) - {"shares"} == set(expected)  # those Python makes of the mask
        for key, value in expected.items():
            if key in ("scores", "score"):  # up to what another processor rounds
                np.testing.assert_allclose(now[key], value, rtol=1e-5, atol=1e-4)
            else:
                assert np.array_equal(now[key], value), key
    assert "error" not in model.answer
    with pytest.raises(DataError, match="input 1: image undecodable: not a JPEG, PNG, GIF or BMP file"):
        model.predict([inputs[0], b"RIFF    WEBPVP8 "])
