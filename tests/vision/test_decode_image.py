"""DecodeImage against Pillow, its errors, and its SavedModel."""

import io
import re
import struct

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from dlkit.vision.decode_image import DecodeImage

HEIGHT, WIDTH = 21, 34


def encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def picture(height=HEIGHT, width=WIDTH):
    """Smooth enough for JPEG, colored enough to show swapped channels."""
    rows, columns = np.mgrid[0:height, 0:width]
    rgb = [
        rows * 255 / max(height - 1, 1),
        columns * 255 / max(width - 1, 1),
        128 + 100 * np.sin(rows / 3 + columns / 4),
    ]
    return Image.fromarray(np.stack(rgb, -1).astype(np.uint8))


def files():
    rgb = picture()
    gray, alpha = rgb.convert("L"), rgb.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8)))
    return {
        "jpeg": encode(rgb, "JPEG", quality=95),
        "jpeg_progressive": encode(rgb, "JPEG", progressive=True),
        "jpeg_gray": encode(gray, "JPEG"),
        "jpeg_cmyk": encode(rgb.convert("CMYK"), "JPEG", quality=95),
        "png": encode(rgb, "PNG"),
        "png_gray": encode(gray, "PNG"),
        "png_gray_alpha": encode(alpha.convert("LA"), "PNG"),
        "png_alpha": encode(alpha, "PNG"),
        "png_palette": encode(rgb.convert("P"), "PNG"),
        "png_one_bit": encode(rgb.convert("1"), "PNG"),
        "gif": encode(rgb, "GIF"),
        "gif_animated": encode(rgb, "GIF", save_all=True, append_images=[ImageOps.invert(rgb)]),
        "bmp": encode(rgb, "BMP"),
        "bmp_gray": encode(gray, "BMP"),
        "bmp_palette": encode(rgb.quantize(200), "BMP"),
        "bmp_alpha": encode(alpha, "BMP"),
    }


def pillow(data, mode):
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").convert(mode))
    return image.reshape(*image.shape[:2], -1)


@pytest.fixture(scope="module", params=[1, 3])
def same_size(request):
    layer = DecodeImage(HEIGHT, WIDTH, request.param, transparency="drop")
    return request.param, tf.function(layer, input_signature=[tf.TensorSpec([None], tf.string)])


def pixels(decode, data):
    """The images of files that can be read."""
    decoded = decode(tf.constant(data))
    assert not any(decoded["error"].numpy())
    return decoded["image"].numpy()


def message(decode, data):
    """Why the last of some files is rejected, by its own error or that of the call; the others are read."""
    try:
        errors = decode(tf.constant(data))["error"].numpy()
    except tf.errors.InvalidArgumentError as error:
        return str(error)
    assert not any(errors[:-1])
    return errors[-1].decode()


def test_formats_equal_pillow(same_size):
    channels, decode = same_size
    names, data = zip(*files().items(), strict=True)
    answers = pixels(decode, data)
    assert answers.dtype == np.uint8
    assert answers.shape == (len(data), HEIGHT, WIDTH, channels)
    for name, encoded, answer in zip(names, data, answers, strict=True):
        expected = pillow(encoded, "L" if channels == 1 else "RGB").astype(int)
        assert np.abs(answer - expected).max() <= 1, name


def test_sixteen_bit_keeps_the_high_byte(same_size):
    values = np.random.default_rng(0).integers(0, 2**16, (HEIGHT, WIDTH), dtype=np.uint16)
    answer = pixels(same_size[1], [encode(Image.fromarray(values), "PNG")])[0]
    assert (answer == (values >> 8)[:, :, None]).all()


def test_top_down_bmp(same_size):
    data = bytearray(files()["bmp"])
    upright = pixels(same_size[1], [bytes(data)])
    data[22:26] = struct.pack("<i", -HEIGHT)
    assert (pixels(same_size[1], [bytes(data)]) == upright[:, ::-1]).all()


@pytest.mark.parametrize("size", [(40, 50), (9, 60), (7, 5), (1, 1), (1, 300), (300, 1)])
def test_stretch_equals_pillow(size):
    data = encode(picture(*size), "PNG")
    answer = pixels(DecodeImage(16, 24), [data])[0].astype(int)
    expected = np.asarray(picture(*size).resize((24, 16), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(answer - expected).max() <= 1


@pytest.mark.parametrize("size", [(40, 50), (64, 30), (10, 90)])
def test_crop_equals_pillow(size):
    height, width = size
    part = (min(height, round(width * 16 / 24)), min(width, round(height * 24 / 16)))
    top, left = (height - part[0]) // 2, (width - part[1]) // 2
    cut = picture(*size).crop((left, top, left + part[1], top + part[0]))
    expected = np.asarray(cut.resize((24, 16), Image.Resampling.BILINEAR)).astype(int)
    answer = pixels(DecodeImage(16, 24, fit="crop"), [encode(picture(*size), "PNG")])[0]
    assert np.abs(answer - expected).max() <= 1


@pytest.mark.parametrize("size", [(40, 40), (64, 30), (10, 90), (1, 1), (1, 200)])
def test_pad_equals_pillow(size):
    scale = min(16 / size[0], 24 / size[1])
    inner = [max(1, round(side * scale)) for side in size]
    top, left = (16 - inner[0]) // 2, (24 - inner[1]) // 2
    expected = np.zeros((16, 24, 3), int)
    small = picture(*size).resize(inner[::-1], Image.Resampling.BILINEAR)
    expected[top : top + inner[0], left : left + inner[1]] = np.asarray(small)
    answer = pixels(DecodeImage(16, 24, fit="pad"), [encode(picture(*size), "PNG")])[0]
    assert np.abs(answer - expected).max() <= 1


def test_row_does_not_depend_on_its_batch():
    decode = DecodeImage(16, 24, fit="crop")
    data = [*files().values(), encode(picture(99, 3), "PNG")]
    together = pixels(decode, data)
    assert decode(tf.constant([], tf.string))["image"].shape == (0, 16, 24, 3)
    for row in (0, 5, len(data) - 1):
        assert (pixels(decode, data[row : row + 1])[0] == together[row]).all()
    assert (pixels(decode, data[::-1]) == together[::-1]).all()


@pytest.mark.parametrize("bad", [b"", b"hello", b"\xff\xd8", b"RIFF1234WAVE"])
def test_unknown_format_names_the_row(same_size, bad):
    errors = same_size[1](tf.constant([files()["png"], files()["gif"], bad, files()["png"]]))["error"].numpy()
    expected = f"not a JPEG, PNG, GIF, BMP or still WebP file ({len(bad)} bytes)"
    assert errors[2].decode().endswith(expected)
    assert errors.tolist() == [b"", b"", errors[2], b""]


def bombs():
    data = files()
    wide = 60_000
    jpeg = bytearray(data["jpeg"])
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", wide, wide)
    return {
        "png": data["png"][:16] + struct.pack(">II", wide, wide) + data["png"][24:],
        "gif": data["gif"][:6] + struct.pack("<HH", wide, wide) + data["gif"][10:],
        "bmp": data["bmp"][:18] + struct.pack("<ii", wide, -wide) + data["bmp"][26:],
        "jpeg": bytes(jpeg),
    }


@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "jpeg"])
def test_too_many_pixels_are_refused_unread(same_size, kind):
    text = message(same_size[1], [files()["png"], bombs()[kind]])
    assert text == "60000 x 60000 pixels, allowed: 1 to 50000000"


def test_pixel_limit_is_inclusive():
    data = [files()["png"]]
    assert pixels(DecodeImage(4, 4, max_pixels=HEIGHT * WIDTH), data).shape == (1, 4, 4, 3)
    assert "21 x 34 pixels" in message(DecodeImage(4, 4, max_pixels=HEIGHT * WIDTH - 1), data)


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "bmp"])
@pytest.mark.parametrize("kept", [12, 30, 300])
def test_truncated_files_are_undecodable(same_size, kind, kept):
    text = message(same_size[1], [files()["png"], files()[kind][:kept]])
    assert re.search("undecodable|truncated|not a", text)


def test_wrong_rank_is_a_clean_error():
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        DecodeImage(4, 4)(tf.constant([[files()["png"]]]))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"height": 0}, "`height` must be a positive integer. Received: height=0."),
        ({"channels": 4}, "`channels` must be 1 (grayscale) or 3 (RGB). Received: channels=4."),
        ({"fit": "squash"}, "`fit` must be one of stretch, crop, pad. Received: fit='squash'."),
        ({"max_pixels": 0.5}, "`max_pixels` must be a positive integer. Received: max_pixels=0.5."),
    ],
)
def test_bad_options(options, text):
    with pytest.raises(ValueError) as error:
        DecodeImage(**{"height": 4, "width": 4, **options})
    assert text in str(error.value)


def test_saved_as_keras_and_as_savedmodel(tmp_path):
    image = keras.Input((), dtype="string", name="image")
    decoded = DecodeImage(16, 24, 1, fit="pad", max_pixels=5000)(image)["image"]
    assert (decoded.shape, decoded.dtype) == ((None, 16, 24, 1), "uint8")
    model = keras.Model({"image": image}, {"pixels": decoded})
    data = tf.constant([*files().values()])
    expected = model({"image": data})["pixels"].numpy()

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded({"image": data})["pixels"].numpy() == expected).all()

    serve = tf.function(lambda image: model({"image": image}), input_signature=[tf.TensorSpec([None], tf.string)])
    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "servable"), signatures=serve)
    served = tf.saved_model.load(str(tmp_path / "servable")).signatures["serving_default"]
    assert (served(image=data)["pixels"].numpy() == expected).all()
    graph = tf.saved_model.load(str(tmp_path / "servable")).signatures["serving_default"].graph.as_graph_def()
    operations = {node.op for function in graph.library.function for node in function.node_def}
    assert not {name for name in operations if "PyFunc" in name or "Xla" in name}
