"""Columns: what each kind of value accepts, and what it becomes."""

import numpy as np
import pytest

from dlkit.columns import Count, Id, Image, Label, Labels, Score, Text, stack_column, to_batch
from dlkit.data.table import Table
from dlkit.errors import DataError, UnreadableError
from dlkit.graph_predictor import inputs_to_table
from dlkit.lazy import tf
from dlkit.tasks.image_segmentation.columns import Mask
from dlkit.tasks.object_detection.columns import Boxes, CrowdBoxes


@pytest.mark.parametrize(
    ("array", "pixels"),
    [
        (np.full((2, 3), 7, np.uint8), 7),
        (np.full((2, 3, 1), 300, np.uint16), 300),
        (np.full((2, 3, 3), 1.0, np.float32), 255),
        (np.full((2, 3, 4), 0.5), 128),
        (np.ones((2, 3), bool), 255),
        (np.full((2, 3, 3), 9, np.int64), 9),
    ],
)
def test_arrays_become_png_without_loss(array, pixels):
    raw = Image().raw(array)
    dtype = tf.uint16 if array.dtype == np.uint16 else tf.uint8
    decoded = tf.io.decode_png(raw, dtype=dtype).numpy()
    assert decoded.shape[:2] == (2, 3)
    assert decoded.shape[2] == (array.shape[2] if array.ndim == 3 else 1)
    assert (decoded == pixels).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.full((2, 2), 256), "pixels must lie in [0, 255]"),
        (np.full((2, 2), -1), "pixels must lie in [0, 255]"),
        (np.full((2, 2), 1.5), "a float image must lie in [0, 1]"),
        (np.full((2, 2), np.nan), "a float image must lie in [0, 1]"),
        (np.zeros((2, 2, 2), np.uint8), "must be (height, width[, 1, 3 or 4])"),
        (np.zeros((0, 2), np.uint8), "not empty"),
        (3, "expected an image"),
    ],
)
def test_what_is_no_image(value, message):
    with pytest.raises(DataError) as error:
        Image().raw(value)
    assert message in str(error.value)


def test_a_missing_file_is_unreadable_and_named(tmp_path):
    with pytest.raises(UnreadableError, match=r"gone\.png"):
        Image().raw(tmp_path / "gone.png")


def test_one_image_or_several():
    image = Image()
    assert not image.many(np.zeros((8, 8), np.uint8))
    assert not image.many(np.zeros((8, 8, 3), np.uint8))
    assert image.many(np.zeros((5, 8, 8), np.uint8))
    assert image.many(np.zeros((5, 8, 8, 3), np.uint8))
    assert image.many(["a.png"])
    assert not image.many("a.png")


def test_requests_and_back():
    raw = Image().raw(np.zeros((2, 2), np.uint8))
    assert Image().from_request(Image().to_request(raw)) == raw
    assert Text().from_request(Text().to_request("naïve 🎉".encode())) == "naïve 🎉".encode()


def test_texts_and_labels():
    assert Text().raw("é") == b"\xc3\xa9"
    with pytest.raises(DataError, match="0xe9 at position 1"):
        Text().raw(b"a\xe9")
    assert [Label().raw(value) for value in (3, np.int64(3), "3", 3.0, True)] == [b"3", b"3", b"3", b"3", b"true"]
    with pytest.raises(DataError, match="empty"):
        Label().raw("  ")
    with pytest.raises(DataError, match="expected a label"):
        Label().raw(2.5)
    assert Labels().raw("a|b| c ") == [b"a", b"b", b"c"]
    assert Labels().raw("") == []


def test_answers_are_plain_python():
    assert Label().show(b"caf\xc3\xa9") == "café"
    assert Score().show(np.float32(0.5)) == 0.5
    assert type(Score().show(np.float32(0.5))) is float
    assert Labels().show(np.array([b"a", b"b"], object)) == ["a", "b"]


def test_rows_of_free_length_are_padded():
    padded = stack_column(Labels(), [[b"a"], [], [b"b", b"c"]])
    assert padded.tolist() == [[b"a", b""], [b"", b""], [b"b", b"c"]]


@pytest.mark.parametrize(
    ("mode", "channels", "pixel"),
    [("1", 1, 255), ("L", 1, 200), ("P", 3, 204), ("RGB", 3, 200), ("RGBA", 4, 200), ("LA", 4, 200), ("CMYK", 3, 200)],
)
def test_pil_images_keep_their_colours(mode, channels, pixel):
    from PIL import Image as Pillow

    grey = Pillow.new("RGB", (3, 2), (200, 200, 200)).convert(mode)
    decoded = tf.io.decode_png(Image().raw(grey)).numpy()
    assert decoded.shape == (2, 3, channels)
    assert decoded[0, 0, 0] == pixel
    if mode == "P":  # no index of a palette
        red = Pillow.new("RGB", (3, 2), (255, 0, 0)).quantize(4)
        assert tf.io.decode_png(Image().raw(red)).numpy()[1, 2].tolist() == [255, 0, 0]


def test_boxes_and_crowds():
    boxes = CrowdBoxes().raw([[1, 2.5, 3, 4], [0, 0, 1e-3, 1]])
    assert boxes.dtype == np.float32
    np.testing.assert_array_equal(boxes, np.float32([[1, 2.5, 3, 4, 0], [0, 0, 1e-3, 1, 0]]))
    assert CrowdBoxes().raw(np.array([[-5, 0, 1, 900, 1]])).tolist() == [[-5, 0, 1, 900, 1]]
    assert CrowdBoxes().raw([]).shape == (0, 5)
    assert CrowdBoxes().raw(np.zeros((0, 4))).shape == (0, 5)
    assert Boxes().raw([]).shape == (0, 4)
    assert Boxes().raw([[4, 3, 2, 1]]).tolist() == [[4, 3, 2, 1]]  # answers are what they are
    assert Boxes().show(np.float32([[1, 2, 3, 4.5]])) == [[1.0, 2.0, 3.0, 4.5]]
    assert CrowdBoxes().from_request(CrowdBoxes().to_request(boxes)).tolist() == boxes.tolist()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[0, 0, 1, 1], [5, 5, 5, 9]], ["box 1 of 2", "5, 5, 5, 9"]),
        ([[0, 4, 1, 4]], ["box 0 of 1", "0, 4, 1, 4"]),
        ([[3, 0, 1, 4]], ["box 0 of 1", "empty, inverted"]),
        ([[0, 0, float("nan"), 4]], ["box 0 of 1", "nan"]),
        ([[0, 0, 1, float("inf")]], ["box 0 of 1", "inf"]),
        ([[0, 0, 1, 1e300]], ["box 0 of 1", "inf"]),
        ([[0, 0, 1, 1, 7]], ["box 0 of 1", "1 for a crowd or 0"]),
        ([0, 0, 1, 1], ["(boxes, 4)", "shape (4,)"]),
        ([[0, 0, 1, 1], [0, 0, 1]], ["expected boxes, four numbers each"]),
        ("0 0 1 1", ["expected boxes"]),
        ({"a": 1}, ["expected boxes", "dict"]),
        (None, ["(boxes, 4)", "NoneType"]),
    ],
)
def test_what_is_no_box(value, words):
    with pytest.raises(DataError) as error:
        CrowdBoxes().raw(value)
    for word in words:
        assert word in str(error.value)


def test_rows_of_boxes_are_padded_with_zeros():
    rows = [CrowdBoxes().raw(row) for row in ([[1, 2, 3, 4]], [], [[0, 0, 1, 1, 1], [0, 0, 2, 2, 0]])]
    padded = stack_column(CrowdBoxes(), rows)
    assert (padded.shape, padded.dtype) == ((3, 2, 5), np.float32)
    assert padded[0].tolist() == [[1, 2, 3, 4, 0], [0, 0, 0, 0, 0]]
    assert padded[1].tolist() == [[0] * 5] * 2
    assert padded[2].tolist() == [[0, 0, 1, 1, 1], [0, 0, 2, 2, 0]]
    assert stack_column(CrowdBoxes(), rows[1:2]).shape == (1, 0, 5)
    assert to_batch([{"boxes": row} for row in rows], {"boxes": CrowdBoxes()})["boxes"].shape == (3, 2, 5)


def test_masks_are_grey_png_of_class_ids():
    ids = np.array([[0, 1, 255], [7, 0, 2]])
    raw = Mask().raw(ids)
    assert tf.io.decode_png(raw).numpy()[..., 0].tolist() == ids.tolist()
    assert Mask().show(raw).dtype == np.uint8
    assert Mask().show(raw).tolist() == ids.tolist()
    assert Mask().raw(ids[..., None]) == raw
    assert Mask().raw(raw) is raw
    assert Mask().from_request(Mask().to_request(raw)) == raw
    assert Mask().show(Mask().raw(ids > 1)).tolist() == [[0, 0, 1], [1, 0, 1]]


def test_an_optional_column_that_is_not_there_has_its_default():
    columns = {"text": Text(), "seed": Count(optional=True, default=7), "user": Id(optional=True)}
    table = Table("rows", {"text": ["a", "b"]}, lambda row: f"rows, index {row}")
    assert table.raw(1, columns) == {"text": b"b", "seed": 7, "user": b""}
    with pytest.raises(DataError, match=r"rows has no column 'label'\. It has: text"):
        table.raw(0, {"label": Label()})
    asked, single = inputs_to_table([{"text": "a", "seed": 3}, {"text": "b"}], columns)
    assert not single
    assert asked.raw_column("seed", columns["seed"]) == [3, 7]
    with pytest.raises(DataError, match=r"input 1 must be a dict with \['text'\]"):
        inputs_to_table([{"text": "a"}, {"seed": 3}], columns)
