"""Images with masks, in every form: known class ids, and an error with its file for each thing that can be wrong."""

import copy
import json
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image as Pillow

from dlkit.columns import Image
from dlkit.data.read import read
from dlkit.errors import DataError
from dlkit.tasks.image_segmentation.columns import Mask
from dlkit.tasks.image_segmentation.mask_rows import check_masks

MASKS = {"image": Image(), "mask": Mask()}
COLOURS = np.arange(18).reshape(2, 3, 3)
IDS = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.asarray(array, np.uint8)).save(path, **options)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def folder_of(folder, masks=None):
    """Images a.jpg, more/b.png of 2 by 3 pixels, and their masks."""
    for name in ("a.jpg", "more/b.png"):
        save(folder / "images" / name, np.full((2, 3, 3), 50))
    for name, mask in ({"a.png": IDS, "more/b.png": IDS.clip(max=1)} if masks is None else masks).items():
        save(folder / "masks" / name, mask)
    return folder


def ids_of(table, row):
    return Mask().show(table.raw(row, MASKS)["mask"])


def refusal(source, check=False, **options):
    with pytest.raises(DataError) as caught:
        table = read(source, MASKS, **options)
        if check:
            check_masks(table)
        for row in range(len(table)):
            table.raw(row, MASKS)
    return str(caught.value)


# Folders.


def test_folder_of_images_and_masks(tmp_path):
    table = read(folder_of(tmp_path), MASKS)
    assert table.columns["image"] == [tmp_path / "images" / name for name in ("a.jpg", "more/b.png")]
    assert ids_of(table, 0).tolist() == IDS.tolist()
    assert ids_of(table, 0).dtype == np.uint8
    assert ids_of(table, 1).max() == 1
    assert table.classes == ()
    assert table.where(0) == str(tmp_path / "images" / "a.jpg")
    assert check_masks(table) == 3  # 255 is no class
    assert read(tmp_path, {"image": Image()}).columns == {"image": table.columns["image"]}  # masks are no images


@pytest.mark.parametrize("place", [".", ".."])
@pytest.mark.parametrize(
    "classes",
    [
        ["sky", "road", "car"],
        {"1": "road", "0": "sky", "2": "car"},
        {"0": "sky", "1": "road", "2": "car", "255": "void"},
    ],
)
def test_names_of_classes(tmp_path, place, classes):
    folder = folder_of(tmp_path / "train")
    write(folder / place / "classes.json", classes)
    table = read(folder, MASKS)
    assert table.classes == ("sky", "road", "car")
    assert table.take([0]).classes == table.classes


@pytest.mark.parametrize(
    "classes",
    [
        {"1": "a", "2": "b"},
        {"0": "a", "2": "b"},
        {"0": 5},
        {},
        [],
        [1],
        "names",
        {"a": [1, 2]},
        {"a": [1, 2, 256]},
        {"a": [1, 2, 3], "b": [1, 2, 3]},
        {"0": ""},
    ],
)
def test_refused_names_of_classes(tmp_path, classes):
    write(folder_of(tmp_path) / "classes.json", json.dumps(classes))
    message = refusal(tmp_path)
    assert "classes.json: expected a list of names" in message
    write(tmp_path / "classes.json", '{\n"a": ')
    assert "classes.json, line 2: not JSON" in refusal(tmp_path)


def test_colors_become_class_ids(tmp_path):
    colors = {"road": [128, 64, 128], "sky": [0, 0, 0], "car": [0, 0, 255], "255": [255, 255, 255]}
    write(tmp_path / "classes.json", colors)
    palette = np.array(list(colors.values()))
    folder_of(tmp_path, {"a.png": palette[[[0, 1, 2], [2, 3, 0]]], "more/b.png": np.full((2, 3, 3), 9)})
    table = read(tmp_path, MASKS)
    assert table.classes == ("road", "sky", "car")
    assert ids_of(table, 0).tolist() == IDS.tolist()
    with pytest.raises(DataError, match=r"more/b\.png, column 'mask'.* 6 pixels of colors .*such as \[9, 9, 9\]"):
        ids_of(table, 1)
    assert check_masks(table.take([0])) == 3
    assert "[9, 9, 9]" in refusal(tmp_path, check=True)


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"a.png": IDS}, ["images/more/b.png has no mask", "masks/more/b.png"]),
        ({"a.png": IDS, "more/b.png": IDS, "c.png": IDS}, ["the mask", "masks/c.png has no image", "images/c.png"]),
        ({"a.png": IDS, "a.bmp": IDS, "more/b.png": IDS}, ["two files have the same name", "a.bmp", "a.png"]),
        ({}, ["no folder masks/", "images/ and masks/"]),
        (
            {"a.png": COLOURS, "more/b.png": IDS},
            ["images/a.jpg", "color image", "classes.json"],
        ),
        ({"a.png": IDS, "more/b.png": np.zeros((3, 2))}, ["more/b.png' is 3 x 2 pixels, its image 2 x 3"]),
        ({"a.png": IDS, "more/b.png": np.full((2, 3), 7)}, ["more/b.png' has 6 pixels of the class id 7", "0 to 2"]),
    ],
)
def test_refused_folder(tmp_path, masks, words):
    folder_of(tmp_path, masks)
    if not masks:
        (tmp_path / "annotations.json").write_text("{}")
        message = refusal(tmp_path)
        assert "no list 'images'" in message
        (tmp_path / "annotations.json").unlink()
        message = refusal(tmp_path)
        assert "COCO's annotations.json" in message
        return
    write(tmp_path / "classes.json", ["a", "b", "c"])
    message = refusal(tmp_path, check=True)
    for word in [*words, str(tmp_path)]:
        assert word in message


def test_masks_of_other_kinds_are_counted(tmp_path):
    write(folder_of(tmp_path) / "masks" / "notes.txt", "x")
    (remark,) = read(tmp_path, MASKS).remarks
    assert "masks: skipped 1 .txt" in remark


def test_rows_that_cannot_be_read_are_left_to_encoding(tmp_path):
    folder_of(tmp_path)
    whole = (tmp_path / "masks" / "a.png").read_bytes()
    (tmp_path / "masks" / "a.png").write_bytes(whole[:45])
    table = read(tmp_path, MASKS)
    assert check_masks(table) == 2  # of more/b.png alone
    (tmp_path / "images" / "more" / "b.png").write_bytes(b"hello")
    assert check_masks(table) == 0


def test_more_classes_than_the_names(tmp_path):
    table = read(folder_of(tmp_path), MASKS)
    assert check_masks(table, num_classes=3) == 3
    with pytest.raises(DataError, match=r"masks/a\.png' has 2 pixels of the class id 2.* 2 classes are 0 to 1"):
        check_masks(table, num_classes=2)


def test_tissue(real_data):
    for part, rows in (("train", 98), ("test", 35)):
        table = read(real_data / "tissue" / part, MASKS)
        assert len(table) == rows
        assert table.classes == ("background", "grey matter", "white matter")
        assert check_masks(table) == 3
        file = table.columns["mask"][0]
        assert table.raw(0, MASKS)["mask"] == file.read_bytes()  # a gray 8-bit PNG already


# What masks may be written as.


def gray_png(ids, depth):
    """A PNG of so many gray bits, written by hand: Pillow writes 8."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b""
    for row in ids:
        bits = "".join(f"{number:0{depth}b}" for number in row)
        bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
        rows += b"\x00" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", len(ids[0]), len(ids), depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_gray_bits_hold_ids_and_not_brightness(depth):
    ids = [[0, 1, 1], [1, 0, min(2**depth - 1, 200)]]
    raw = Mask().raw(gray_png(ids, depth))
    decoded = tf.io.decode_png(raw, channels=0)
    assert decoded.shape == (2, 3, 1)
    assert decoded[..., 0].numpy().tolist() == ids
    assert Mask().show(raw).tolist() == ids


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif"])
def test_palettes_give_their_indices(tmp_path, suffix):
    image = Pillow.fromarray(IDS.clip(max=3))
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    path = tmp_path / f"a.{suffix}"
    image.save(path)
    expected = IDS.clip(max=3).tolist()
    for value in (path, str(path), path.read_bytes(), image):
        raw = Mask().raw(value)
        assert raw[24:26] == b"\x08\x00"  # 8 bits, gray
        assert Mask().show(raw).tolist() == expected


def test_ids_of_16_bits_that_fit_no_byte():
    with pytest.raises(DataError, match=r"class ids must lie in \[0, 255\]. Received: from 0 to 300"):
        Mask().raw(gray_png([[0, 300]], 16))


def test_a_jpeg_is_no_mask():
    with pytest.raises(DataError, match="JPEG, whose compression changes class ids"):
        Mask().raw(tf.io.encode_jpeg(np.zeros((4, 4, 1), np.uint8)).numpy())


# Tables and arrays.


def test_table_of_images_and_masks(tmp_path):
    folder_of(tmp_path)
    write(tmp_path / "classes.json", ["a", "b", "c"])
    csv = write(tmp_path / "a.csv", "image,mask\nimages/a.jpg,masks/a.png\n")
    jsonl = write(tmp_path / "a.jsonl", '{"image": "images/a.jpg", "mask": "masks/a.png"}\n')
    for source in (csv, jsonl):
        table = read(source, MASKS)
        assert ids_of(table, 0).tolist() == IDS.tolist()
        assert table.classes == ("a", "b", "c")
    assert "line 3: the mask in column 'mask' is empty" in refusal(
        write(tmp_path / "b.csv", "image,mask\na,b\nimages/a.jpg,\n")
    )


def test_arrays_of_masks(tmp_path):
    images, masks = np.zeros((2, 2, 3, 3), np.uint8), np.stack([IDS, IDS])
    np.savez(tmp_path / "a.npz", images=images, masks=masks, classes=["a", "b", "c"])
    dataset = tf.data.Dataset.from_tensor_slices((images, masks))
    sources = [
        ({"image": images, "mask": masks, "classes": ["a", "b", "c"]}, 3),
        ({"image": list(images), "mask": list(masks.astype(int))}, 0),
        ((images, masks[..., None]), 0),
        (tmp_path / "a.npz", 3),
        (dataset, 0),
        (dataset.batch(2), 0),
        (tf.data.Dataset.from_tensor_slices((images, masks[..., None])), 0),
        ([{"image": image, "mask": Pillow.fromarray(mask)} for image, mask in zip(images, masks, strict=True)], 0),
    ]
    for source, names in sources:
        table = read(source, MASKS)
        assert len(table) == 2
        assert ids_of(table, 1).tolist() == IDS.tolist()
        assert len(table.classes) == names
        assert check_masks(table) == 3


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((2, 3)), ["of integers", "float64"]),
        (COLOURS, ["shape (2, 3, 3)"]),
        (np.zeros((0, 3), int), ["not empty"]),
        (np.full((2, 3), -1), ["[0, 255]", "from -1"]),
        (np.full((2, 3), 256), ["[0, 255]", "to 256"]),
        (5, ["expected a mask", "int 5"]),
        (b"hello", ["cannot be decoded (5 bytes): not an image file"]),
        ("gone.png", ["cannot read the mask 'gone.png': No such file"]),
        (Pillow.new("RGB", (3, 2), (1, 2, 3)), ["color image (mode RGB)", "classes.json"]),
    ],
)
def test_what_is_no_mask(mask, words):
    message = refusal([{"image": np.zeros((2, 3), np.uint8), "mask": mask}])
    for word in [*words, "index 0, column 'mask'"]:
        assert word in message


# COCO's outlines.

SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]  # columns 1 to 3 of rows 1 and 2
COCO = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "height": 4, "width": 6},
        {"id": 2, "file_name": "b.jpg", "height": 4, "width": 6},
    ],
    "categories": [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 9, "segmentation": [SQUARE], "bbox": [1, 1, 3, 2]},
        # RLE counts down the columns: none without, then the first 2 of the first column, then the rest.
        {
            "id": 2,
            "image_id": 1,
            "category_id": 4,
            "iscrowd": 1,
            "segmentation": {"size": [4, 6], "counts": [0, 2, 22]},
        },
        {"id": 3, "image_id": 1, "category_id": 4, "segmentation": [[3, 2, 6, 2, 6, 4, 3, 4]]},
    ],
}
DRAWN = [[1, 0, 0, 0, 0, 0], [1, 2, 2, 2, 0, 0], [0, 2, 2, 1, 1, 1], [0, 0, 0, 1, 1, 1]]


def coco(folder, change=None):
    data = copy.deepcopy(COCO)
    if change is not None:
        change(data)
    for entry in COCO["images"]:
        save(folder / "images" / entry["file_name"], np.zeros((4, 6, 3)))
    return write(folder / "annotations.json", data)


def test_coco_outlines_become_masks(tmp_path):
    file = coco(tmp_path)
    for source in (tmp_path, file):
        table = read(source, MASKS)
        assert table.classes == ("background", "cat", "dog")
        assert ids_of(table, 0).tolist() == DRAWN
        assert ids_of(table, 1).tolist() == np.zeros((4, 6)).tolist()
        assert check_masks(table) == 3


def test_compressed_rle_is_the_same_mask(tmp_path):
    from pycocotools import mask

    ids = np.zeros((4, 6), np.uint8)
    ids[1:3, 2:5] = 1
    packed = mask.encode(np.asfortranarray(ids))
    packed = {"size": packed["size"], "counts": packed["counts"].decode()}

    def change(data):
        data["annotations"] = [{"id": 1, "image_id": 2, "category_id": 4, "segmentation": packed}]

    assert ids_of(read(coco(tmp_path, change), MASKS), 1).tolist() == ids.tolist()


def segmented(value):
    return lambda data: data["annotations"][1].update(segmentation=value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: [entry.pop("segmentation") for entry in data["annotations"]], ["none of its", "item 1 (id 1)"]),
        (segmented([[1, 1, 2, 2]]), ["item 2 (id 2)", "three corners or more"]),
        (segmented([[1, 1, 2, 2, 3, 3, 4]]), ["item 2 (id 2)", "three corners or more"]),
        (segmented([[1, 1, 2, 2, 3, "3"]]), ["item 2 (id 2)", "three corners or more"]),
        (segmented([[1, 1, 2, 2, 3, float("nan")]]), ["item 2 (id 2)", "three corners or more"]),
        (segmented({"size": [6, 4], "counts": [24]}), ["item 2 (id 2)", "size [6, 4]", "its image is [4, 6]"]),
        (segmented({"size": [4, 6], "counts": [20]}), ["item 2 (id 2)", "add up to 20 pixels, expected 24"]),
        (segmented({"size": [4, 6], "counts": [-1, 25]}), ["item 2 (id 2)", "list of numbers"]),
        (segmented({"size": [4, 6], "counts": "zzzz"}), ["item 2 (id 2)", "cannot be decoded"]),
        (lambda data: data["images"][0].pop("height"), ["image 'a.jpg'", "`height` and `width`"]),
        (
            lambda data: data.update(categories=[{"id": n, "name": str(n)} for n in range(255)]),
            ["255 categories", "at most 254"],
        ),
    ],
)
def test_refused_outlines(tmp_path, change, words):
    message = refusal(coco(tmp_path, change))
    for word in [*words, "annotations.json"]:
        assert word in message


def test_outlines_of_another_size_than_the_image(tmp_path):
    coco(tmp_path)
    save(tmp_path / "images" / "a.jpg", np.zeros((5, 6, 3)))
    message = refusal(tmp_path, check=True)
    assert "image 'a.jpg': the mask is 4 x 6 pixels, its image 5 x 6" in message


# TFDS.


class TinyRoads(tfds.core.GeneratorBasedBuilder):
    """Two images with masks, as a builder of pets has them, and again as one with names has them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "photo": tfds.features.Image(),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
            "named": tfds.features.LabeledImage(labels=["sky", "road", "car"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for row in range(2):
            mask = IDS[..., None].clip(max=2)
            yield row, {"photo": np.zeros((2, 3, 3), np.uint8), "segmentation_mask": mask, "named": mask}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    TinyRoads(data_dir=folder).download_and_prepare(download_config=config)
    return folder


def test_tfds_of_masks(prepared):
    rename = {"image": "photo"}  # beside `named` it is not the only other image
    table = read("tfds:tiny_roads", MASKS, rename=rename, data_dir=prepared)
    assert ids_of(table, 1).tolist() == IDS.clip(max=2).tolist()
    assert table.classes == ()
    named = read("tfds:tiny_roads", MASKS, rename={**rename, "mask": "named"}, data_dir=prepared)
    assert named.classes == ("sky", "road", "car")
    assert ids_of(named, 0).tolist() == IDS.clip(max=2).tolist()
    assert "no column 'image'" in refusal("tfds:tiny_roads", data_dir=prepared)


# Bad annotations, and masks as tools write them.


def test_annotations_without_an_outline_are_left_out(tmp_path):
    for change in (segmented([]), segmented([[]]), lambda data: data["annotations"][1].pop("segmentation")):
        table = read(coco(tmp_path, change), MASKS)
        assert table.remarks[0].startswith("1 of ")
        assert "annotations skipped: " in table.remarks[0]
        assert "item 2 (id 2)" in table.remarks[0]
        assert "item 2 (id 2)" in refusal(coco(tmp_path, change), strict=True)


def test_gray_masks_in_three_channels(tmp_path):
    gray = np.repeat(IDS[..., np.newaxis], 3, 2)
    folder_of(tmp_path, {"a.png": gray, "more/b.png": np.dstack([gray, np.full((2, 3), 255)])})
    for row in range(2):
        assert ids_of(read(tmp_path, MASKS), row).tolist() == IDS.tolist()
    assert Mask().show(Mask().raw(gray)).tolist() == IDS.tolist()


def test_masks_of_0_and_255_alone(tmp_path):
    folder_of(tmp_path, {"a.png": (IDS > 0) * 255, "more/b.png": (IDS > 2) * 255})
    assert "hold only 0 and 255" in refusal(tmp_path, check=True)
    assert "classes.json" in refusal(tmp_path, check=True)
    assert check_masks(read(tmp_path, MASKS), 2) == 1  # of classes that are known
    write(tmp_path / "classes.json", {"background": [0, 0, 0], "object": [255, 255, 255]})
    assert check_masks(read(tmp_path, MASKS)) == 2
