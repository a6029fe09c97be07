"""Pictures as people see them: EXIF orientation, WebP, alpha, depth, and rows that cannot be read, against Pillow."""

import io
import struct
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from dlkit.columns import Image as ImageColumn
from dlkit.vision import image_header
from dlkit.vision.decode_image import DecodeImage, as_displayed
from dlkit.vision.image_header import parse_orientation
from dlkit.vision.orientation import EXIF_TAG, orient_array, orient_boxes

HEIGHT, WIDTH = 20, 34
ORIENTATIONS = range(1, 9)


def picture(height=HEIGHT, width=WIDTH):
    """No two corners alike, and smooth enough for JPEG."""
    rows, columns = np.mgrid[0:height, 0:width]
    rgb = [rows * 255 / height, columns * 255 / width, 128 + 100 * np.sin(rows / 3 + columns / 4)]
    return Image.fromarray(np.stack(rgb, -1).astype(np.uint8))


def encode(image, kind, orientation=0, order="<", **options):
    """A file; with an orientation, written in either byte order, behind another tag."""
    if orientation:
        mark = b"II*\0" if order == "<" else b"MM\0*"
        entries = [(0x10F, 2, 2, 0x41000000), (EXIF_TAG, 3, 1, orientation if order == "<" else orientation << 16)]
        body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
        exif = mark + struct.pack(order + "IH", 8, 2) + body + struct.pack(order + "I", 0)
        options["exif"] = b"Exif\0\0" + exif if kind == "JPEG" else exif
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def seen(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(int)


FORMS = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}, "progressive": {"progressive": True}}


def turned(form, orientation, image=None, order="<"):
    kind = "JPEG" if form == "progressive" else form
    return encode(image or picture(), kind, orientation, order, **FORMS[form])


@pytest.fixture(scope="module")
def decoders():
    """For both shapes of the eight, at their own size."""
    made = {}
    for shape in ((HEIGHT, WIDTH), (WIDTH, HEIGHT)):
        layer = DecodeImage(*shape, with_size=True, **as_displayed())
        made[shape] = tf.function(layer, input_signature=[tf.TensorSpec([None], tf.string)])
    return made


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", FORMS)
def test_the_eight_orientations_are_pillows(form, order, decoders):
    for orientation in ORIENTATIONS:
        data = turned(form, orientation, order=order)
        expected = seen(data)
        made = decoders[expected.shape[:2]](tf.constant([data]))
        assert np.abs(made["image"][0].numpy() - expected).max() <= 1, orientation
        assert tuple(made["original_size"][0].numpy()) == expected.shape[:2]
        assert parse_orientation(data) == orientation


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(45, 80), (31, 20)])
def test_turned_after_the_resize_as_if_before(fit, size):
    layer = tf.function(DecodeImage(16, 24, fit=fit, **as_displayed()))
    plain = DecodeImage(16, 24, fit=fit)
    for orientation in ORIENTATIONS:
        upright = orient_array(np.asarray(picture(*size)), orientation)
        data = [turned("PNG", orientation, picture(*size))]
        made = layer(tf.constant(data))["image"].numpy().astype(int)
        expected = plain(tf.constant([encode(Image.fromarray(upright), "PNG")])).numpy()
        assert np.abs(made - expected).max() <= 1, orientation


def test_boxes_turn_with_their_picture():
    pixels = np.zeros((7, 11), np.uint8)
    pixels[1:4, 2:8] = 1
    for orientation in ORIENTATIONS:
        rows, columns = np.nonzero(orient_array(pixels, orientation))
        expected = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1, 1]
        assert orient_boxes(np.array([[1, 2, 4, 8, 1]]), orientation, 7, 11).tolist() == [expected]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_where_exif_may_lie_and_where_there_is_none():
    jpeg, png = encode(picture(), "JPEG"), encode(picture(), "PNG")
    exif = Image.Exif()
    exif[EXIF_TAG] = 6
    tiff = exif.tobytes().removeprefix(b"Exif\0\0")
    app1 = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1
    profile = b"\xff\xe2" + struct.pack(">H", 60_002) + bytes(60_000)
    assert parse_orientation(jpeg[:2] + profile + b"\xff" + segment + jpeg[2:]) == 6  # far behind, and with filling
    assert parse_orientation(png[:-12] + chunk(b"eXIf", tiff) + png[-12:]) == 6  # behind the pixels
    assert parse_orientation(jpeg + segment) == 1  # of another picture, behind the end
    webp = turned("WEBP", 6)
    place = webp.index(b"EXIF")
    assert parse_orientation(webp[: place + 4] + struct.pack("<I", len(tiff) + 6) + app1) == 6  # with JPEG's mark
    for data in (jpeg, png, encode(picture(), "GIF"), b"", jpeg[:2] + segment[:14], b"\xff\xd8\xff\xe1\0\0", segment):
        assert parse_orientation(data) == 1
    for value in (0, 9, 300):
        assert parse_orientation(turned("JPEG", value)) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_files_without_exif_are_told_before_any_graph_is_traced(kind, monkeypatch):
    monkeypatch.setattr(image_header, "_reader", lambda: pytest.fail("a graph was traced"))
    assert parse_orientation(encode(picture(), kind)) == 1


def test_as_saved_before_they_lie_as_they_are_stored():
    data = turned("JPEG", 6)
    layer = DecodeImage.from_config({"height": HEIGHT, "width": WIDTH})
    assert (
        np.abs(layer(tf.constant([data])).numpy()[0] - np.asarray(Image.open(io.BytesIO(data))).astype(int)).max() <= 1
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a JPEG, PNG, GIF or BMP file"):
        layer(tf.constant([turned("WEBP", 1)]))


def shapes():
    alpha = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    alpha[..., :3] = np.asarray(picture())
    alpha[..., 3] = np.linspace(0, 255, WIDTH)
    return Image.fromarray(alpha)


def laid_on_white(data):
    rgba = Image.open(io.BytesIO(data)).convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB")).astype(int)


def test_alpha_is_laid_on_white(decoders):
    files = {
        "rgba": encode(shapes(), "PNG"),
        "grey": encode(shapes().convert("LA"), "PNG"),
        "palette": encode(picture().quantize(20), "PNG", transparency=picture().quantize(20).getpixel((9, 9))),
        "a transparent colour": encode(picture(), "PNG", transparency=picture().getpixel((0, 0))),
        "webp": encode(shapes(), "WEBP", lossless=True, exact=True),
    }
    for name, data in files.items():
        made = decoders[HEIGHT, WIDTH](tf.constant([data]))["image"][0].numpy()
        assert np.abs(made - laid_on_white(data)).max() <= 1, name
        assert np.abs(made - seen(data)).max() > 99 or name == "a transparent colour", name
    dropped = DecodeImage(HEIGHT, WIDTH, **as_displayed(alpha="drop"))
    for name in ("rgba", "webp"):
        assert (dropped(tf.constant([files[name]]))["image"][0].numpy() == seen(encode(picture(), "PNG"))).all()


def test_16_bits_are_scaled_by_the_largest_sample():
    samples = np.random.default_rng(0).integers(0, 4000, (HEIGHT, WIDTH), dtype=np.uint16)
    data = [encode(Image.fromarray(samples), "PNG"), encode(picture(), "PNG")]
    made = DecodeImage(HEIGHT, WIDTH, **as_displayed(depth=2000))(tf.constant(data))["image"].numpy()
    expected = np.clip(np.round(samples * (255 / 2000)), 0, 255)
    assert np.abs(made[0] - expected[..., None]).max() <= 1
    assert (made[1] == np.asarray(picture())).all()  # 8 bits are as they are
    assert DecodeImage(HEIGHT, WIDTH)(tf.constant(data[:1])).numpy().max() == 15  # the high byte, as before


def bad_rows():
    jpeg, png, webp, bmp = (encode(picture(), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP"))
    large = png[:16] + struct.pack(">II", 60_000, 60_000) + png[24:]
    exif = Image.Exif()
    exif[EXIF_TAG] = 6
    with_thumbnail = encode(picture(), "JPEG", exif=exif.tobytes() + jpeg)
    animated = encode(picture(), "WEBP", save_all=True, append_images=[ImageOps.invert(picture())])
    return {
        "no image": (b"hello", "not a JPEG, PNG, GIF, BMP or still WebP file (5 bytes)"),
        "nothing": (b"", "not a JPEG"),
        "a TIFF": (encode(picture(), "TIFF"), "TIFF, not a JPEG"),
        "an AVIF": (encode(picture(), "AVIF"), "AVIF, not a JPEG"),
        "an animated WebP": (animated, "animated WebP, not a JPEG"),
        "too large": (large, "60000 x 60000 pixels, allowed: 1 to 50000000"),
        "a JPEG without its end": (jpeg[:-40], "is truncated"),
        "a JPEG that ends in a thumbnail": (with_thumbnail[:-40], "is truncated"),
        "a JPEG's first bytes": (jpeg[:30], "is truncated"),
        "a PNG without its end": (png[:-9], "is truncated"),
        "a PNG's head": (png[:33], "is truncated"),
        "a WebP shorter than it says": (webp[:-4], "is truncated"),
        "a BMP shorter than it says": (bmp[:-4], "is truncated"),
    }


def test_a_bad_row_costs_itself_alone(decoders):
    good = [encode(picture(), kind) for kind in ("PNG", "GIF", "JPEG")]
    good += [good[2] + bytes(500), good[0] + b"junk", good[2] + good[2]]  # what follows the end is passed over
    decode = decoders[HEIGHT, WIDTH]
    alone = [decode(tf.constant([data]))["image"][0].numpy() for data in good]
    bad = bad_rows()
    rows = [*good, *(data for data, _ in bad.values())]
    made = {name: value.numpy() for name, value in decode(tf.constant(rows)).items()}
    for row, expected in enumerate(alone):
        assert made["error"][row] == b""
        assert (made["image"][row] == expected).all()
    for row, (name, (_, reason)) in enumerate(bad.items(), start=len(good)):
        assert reason in made["error"][row].decode(), name
        assert not made["image"][row].any()
        assert made["original_size"][row].tolist() == [1, 1]


def test_what_is_corrupt_inside_fails_the_call(decoders):
    png = encode(picture(), "PNG")
    corrupt = png[:60] + bytes(20) + png[80:]
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoders[HEIGHT, WIDTH](tf.constant([png, corrupt]))


def test_the_options_are_saved(tmp_path):
    image = keras.Input((), dtype="string", name="image")
    made = DecodeImage(16, 24, with_size=True, **as_displayed(depth=999))(image)
    keras.Model({"image": image}, made).save(tmp_path / "model.keras")
    data = tf.constant([turned("JPEG", 6), b"hello"])
    loaded = keras.models.load_model(tmp_path / "model.keras")({"image": data})
    again = DecodeImage(16, 24, with_size=True, **as_displayed(depth=999))(data)
    for name, value in again.items():
        assert (loaded[name].numpy() == value.numpy()).all()
    assert loaded["error"].numpy()[1]


@pytest.mark.parametrize("form", ["TIFF", "AVIF", "WEBP"])
def test_other_formats_come_as_png(form, tmp_path, decoders):
    options = {"save_all": True, "append_images": [ImageOps.invert(picture())], "lossless": True}
    data = encode(picture(), form, **(options if form == "WEBP" else {"quality": 100} if form == "AVIF" else {}))
    (tmp_path / "a").write_bytes(data)
    for value in (data, tmp_path / "a", Image.open(tmp_path / "a")):
        raw = ImageColumn().raw(value)
        assert raw.startswith(b"\x89PNG")
        made = decoders[HEIGHT, WIDTH](tf.constant([raw]))["image"][0].numpy()
        assert np.abs(made - seen(data)).max() <= 1
    assert ImageColumn().raw(b"hello") == b"hello"  # the graph says what it is


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "AVIF"])
def test_a_pil_image_keeps_its_orientation(form, decoders):
    for orientation in (3, 6):
        exif = Image.Exif()
        exif[EXIF_TAG] = orientation
        data = encode(picture(), form, exif=exif.tobytes(), **({} if form == "TIFF" else {"quality": 100}))
        raw = ImageColumn().raw(Image.open(io.BytesIO(data)))
        expected = seen(data)
        made = decoders[expected.shape[:2]](tf.constant([raw]))["image"][0].numpy()
        assert np.abs(made - expected).max() <= 1
