"""Large pictures by bands: the same bytes, and the memory of one picture for all of a request."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkit.lazy import load_tensorflow, tf
from dlkit.vision import bands

load_tensorflow()
from dlkit.vision.decode_image import DecodeImage  # noqa: E402


def encoded(pixels, mode, format="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, format)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_bytes_as_in_whole(monkeypatch, channels):
    random = np.random.default_rng(0)
    rgba = random.integers(0, 256, (37, 23, 4), np.uint8)
    deep = tf.io.encode_png(random.integers(0, 2**16, (37, 23, 4), np.uint16)).numpy()
    palette = io.BytesIO()
    Image.fromarray(rgba[..., :3]).quantize(200).save(palette, "BMP")
    files = tf.constant([encoded(rgba, "RGBA"), encoded(rgba[..., :3], "RGB"), deep, palette.getvalue()])
    layer = DecodeImage(37, 23, channels, max_sample=65535)
    whole = layer(files)["image"].numpy()
    monkeypatch.setattr(bands, "BAND_VALUES", 5 * 23 * 4)  # eight bands, the last of them shorter
    np.testing.assert_array_equal(layer(files)["image"].numpy(), whole)


def test_a_request_takes_the_memory_of_one_picture(growth):
    side = 4000  # 48 MB of pixels each; in int32 they would be 192 MB
    files = tf.constant([encoded(np.zeros((side, side, 3), np.uint8), "RGB")] * 4)
    layer = DecodeImage(8, 8, 1)
    answer = tf.function(layer, autograph=False)
    answer(tf.constant([encoded(np.zeros((30, 30, 3), np.uint8), "RGB")] * 2))
    assert growth(lambda: answer(files)) < 350e6  # it was 510 MB


@pytest.fixture
def growth():
    """Bytes by which the largest resident set of this process grows while something runs."""
    forget = Path("/proc/self/clear_refs")
    try:
        forget.write_text("5")
    except OSError:
        pytest.skip("this system does not tell the peak of a while")

    def status(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    def measure(work):
        forget.write_text("5")
        before = status("VmRSS")
        work()
        return status("VmHWM") - before

    return measure
