"""Images with boxes, in every form: known boxes, and an error with its place for each thing that can be wrong."""

import copy
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from dlkit.columns import Image, Label
from dlkit.data.read import read
from dlkit.errors import DataError, UnreadableError
from dlkit.tasks.object_detection.columns import BoxLabels, CrowdBoxes
from dlkit.vision.image_facts import image_size

OBJECTS = {"image": Image(), "boxes": CrowdBoxes(), "labels": BoxLabels()}
HEIGHT, WIDTH = 40, 80


def picture(path, height=HEIGHT, width=WIDTH):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_jpeg(np.full((height, width, 3), 90, np.uint8)).numpy())


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def refusal(source, columns=OBJECTS, **options):
    with pytest.raises(DataError) as caught:
        table = read(source, columns, **options)
        for row in range(len(table)):
            table.raw(row, columns)
    return str(caught.value)


def raw_boxes(table, row):
    return table.raw(row, {"boxes": CrowdBoxes()})["boxes"].tolist()


# The size of an encoded image.


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp"])
def test_size_of_an_image_is_in_its_header(suffix, tmp_path):
    from PIL import Image as Pillow

    path = tmp_path / f"a.{suffix}"
    Pillow.new("RGB", (7, 5)).save(path)
    assert image_size(path) == image_size(path.read_bytes()) == (5, 7)
    assert image_size(np.zeros((5, 7, 3), np.uint8)) == image_size(Pillow.new("L", (7, 5))) == (5, 7)


def test_size_of_a_huge_image_needs_no_memory(recwarn):
    # The header alone of a PNG of 10^9 pixels: what would be decoded is not there.
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (10_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    import zlib

    header += zlib.crc32(header[12:]).to_bytes(4, "big") + b"\x00\x00\x00\x00IDAT" + zlib.crc32(b"IDAT").to_bytes(4)
    assert image_size(header) == (10_000, 10_000)
    assert not recwarn.list


def test_size_of_what_is_no_image(tmp_path):
    with pytest.raises(UnreadableError, match=r"3 bytes.*not an image file"):
        image_size(b"abc")
    with pytest.raises(UnreadableError, match=r"gone\.png.*No such file"):
        image_size(tmp_path / "gone.png")


# COCO.

COCO = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "height": HEIGHT, "width": WIDTH},
        {"id": 3, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH},
        {"id": 9, "file_name": "none.jpg", "height": HEIGHT, "width": WIDTH},
    ],
    "categories": [{"id": 30, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 31, "name": "unseen"}],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 2, "bbox": [10, 20, 30, 5], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 30, "bbox": [0.5, 0, 1.5, 2]},
        {"id": 3, "image_id": 3, "category_id": 30, "bbox": [-5, 1, 200, 2], "iscrowd": 1},
    ],
}


def coco(folder, change=None, name="annotations.json", images="images"):
    data = copy.deepcopy(COCO)
    if change is not None:
        change(data)
    for entry in COCO["images"]:
        picture(folder / images / entry["file_name"])
    return write(folder / name, data)


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("annotations.json", "images"),
        ("_annotations.coco.json", "."),
        ("instances_val.json", "images"),
        ("annotations/instances_val2017.json", "val2017"),
    ],
)
def test_coco(tmp_path, name, images):
    file = coco(tmp_path, name=name, images=images)
    for source in (tmp_path, file):
        table = read(source, OBJECTS)
        assert table.columns["image"] == [tmp_path / images / file for file in ("b.jpg", "a.jpg", "none.jpg")]
        assert all(path.is_file() for path in table.columns["image"])
        assert table.columns["labels"] == [["dog"], ["cat", "dog"], []]
        assert raw_boxes(table, 0) == [[0, 0.5, 2, 2, 0]]
        assert raw_boxes(table, 1) == [[20, 10, 25, 40, 0], [1, -5, 3, 195, 1]]  # beyond the image: the task's affair
        assert raw_boxes(table, 2) == []
        assert table.classes == ("cat", "dog", "unseen")
        assert table.where(1) == f"{file}, image 'a.jpg'"
    assert table.take([1]).classes == table.classes


def test_coco_of_no_objects_at_all(tmp_path):
    table = read(coco(tmp_path, lambda data: data.update(annotations=[])), OBJECTS)
    assert [len(boxes) for boxes in table.columns["boxes"]] == [0, 0, 0]
    assert table.raw(0, OBJECTS)["labels"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda data: data["annotations"][1].update(image_id=8),
            ["annotations, item 2 (id 2)", "no image with the id 8"],
        ),
        (lambda data: data["annotations"][0].update(category_id=[1]), ["item 1 (id 1)", "no category with the id [1]"]),
        (
            lambda data: [entry.update(bbox=[1, 1, 0, 5]) for entry in data["annotations"][1:]],
            ["2 of 3 boxes are empty", "item 2 (id 2)", "xmin 1"],
        ),
        (lambda data: data["annotations"][2].update(bbox=[1, 1, 5, -2]), ["item 3 (id 3)", "inverted"]),
        (
            lambda data: data["annotations"][2].update(iscrowd="perhaps"),
            ["item 3 (id 3)", "`iscrowd`", "true or false"],
        ),
        (lambda data: data["annotations"][2].update(bbox=[1, 1, 5]), ["item 3", "[x, y, width, height]"]),
        (lambda data: data["annotations"][2].update(bbox=["1", 1, 5, 5]), ["item 3", "[x, y, width, height]"]),
        (lambda data: data["annotations"][2].pop("bbox"), ["item 3 (id 3)", "no 'bbox'", "'image_id'"]),
        (lambda data: data["images"][1].pop("file_name"), ["images, item 2 (id 3)", "no 'file_name'"]),
        (lambda data: data["images"][1].update(id=7), ["images, item 2 (id 7)", "duplicate id"]),
        (lambda data: data["categories"][0].update(id=None), ["categories, item 1", "must be a number"]),
        (lambda data: data["annotations"].append(5), ["annotations, item 4", "expected an object"]),
        (lambda data: data.pop("categories"), ["no list 'categories'", "Received: 'images', 'annotations'"]),
        (lambda data: data.update(images=[]), ["has no images"]),
        (
            lambda data: data["images"][0].update(file_name="gone.jpg"),
            ["'gone.jpg'", "cannot read the image", "No such"],
        ),
        (
            lambda data: [entry.update(file_name=f"x/{entry['id']}") for entry in data["images"]],
            ["none of its 3 images", "'x/7'", "Searched in"],
        ),
    ],
)
def test_refused_coco(tmp_path, change, words):
    file = coco(tmp_path, change)
    message = refusal(tmp_path)
    for word in [*words, file]:
        assert word in message


def test_coco_that_is_not_json_and_several_files(tmp_path):
    write(tmp_path / "annotations.json", '{\n"images": [,')
    assert "annotations.json, line 2: not JSON" in refusal(tmp_path)
    for name in ("instances_a.json", "instances_b.json"):
        write(tmp_path / "two" / name, COCO)
    assert "instances_a.json" in refusal(tmp_path / "two")


def test_coco_fills_no_other_column(tmp_path):
    coco(tmp_path)
    assert "nothing for the column 'label' (label)" in refusal(tmp_path, {**OBJECTS, "label": Label()})


def test_trees(real_data):
    table = read(real_data / "trees" / "train", OBJECTS)
    written = json.loads((real_data / "trees" / "train" / "annotations.json").read_text())
    assert len(table) == 132
    assert table.classes == ("Tree",)
    assert sum(map(len, table.columns["boxes"])) == len(written["annotations"]) == 506
    x, y, width, height = written["annotations"][-1]["bbox"]
    assert raw_boxes(table, 131)[-1] == [y, x, y + height, x + width, 0]
    assert image_size(table.columns["image"][0]) == (200, 200)


# Pascal VOC.

XML = """<annotation><folder>VOC</folder><filename>{name}</filename>{objects}</annotation>"""
OBJECT = """<object><name>{label}</name><part><name>head</name><bndbox><xmin>0</xmin></bndbox></part>
<bndbox><xmin>{xmin}</xmin><ymin>2.5</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"""


def voc(folder, objects=(("dog", 11), ("cat", 1))):
    for stem in ("a", "b", "c"):
        picture(folder / "JPEGImages" / f"{stem}.jpg")
    listed = "\n".join(OBJECT.format(label=label, xmin=xmin) for label, xmin in objects)
    write(folder / "Annotations" / "b.xml", XML.format(name="b.jpg", objects=listed))
    write(folder / "Annotations" / "a.xml", XML.format(name="", objects=""))
    write(folder / "ImageSets" / "Main" / "train.txt", "b\n  \n")
    return folder


def test_voc(tmp_path):
    table = read(voc(tmp_path), OBJECTS)
    assert table.columns["image"] == [tmp_path / "JPEGImages" / name for name in ("a.jpg", "b.jpg")]
    assert table.columns["labels"] == [[], ["dog", "cat"]]
    assert raw_boxes(table, 0) == []
    assert raw_boxes(table, 1) == [[2.5, 11, 40, 30, 0], [2.5, 1, 40, 30, 0]]  # as they stand
    assert table.where(1) == str(tmp_path / "Annotations" / "b.xml")
    listed = read(tmp_path / "ImageSets" / "Main" / "train.txt", OBJECTS)
    assert listed.columns["image"] == [tmp_path / "JPEGImages" / "b.jpg"]


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ([("dog", 5), ("cat", 30), ("cat", 30)], ["b.xml, object 2", "2 of 3 boxes are empty", "xmin 30"]),
        ([("dog", 31)], ["b.xml, object 1", "inverted"]),
        ([("", 5)], ["b.xml, object 1", "no <name>"]),
        ([("dog", "left")], ["b.xml, object 1", "'left'", "must hold the numbers"]),
        ([("</name>", 5)], ["b.xml, line 1: not XML"]),
    ],
)
def test_refused_voc(tmp_path, objects, words):
    message = refusal(voc(tmp_path, objects))
    for word in words:
        assert word in message


def test_voc_of_missing_files(tmp_path):
    voc(tmp_path)
    write(tmp_path / "Annotations" / "d.xml", XML.format(name="d.jpg", objects=""))
    message = refusal(tmp_path)
    assert "d.xml, column 'image': cannot read the image" in message
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "e\n")
    assert "e.xml: No such file" in refusal(tmp_path / "ImageSets" / "Main" / "train.txt")
    (tmp_path / "bare" / "Annotations").mkdir(parents=True)
    write(tmp_path / "bare" / "Annotations" / "a.xml", "<annotation/>")
    assert "Expected JPEGImages/" in refusal(tmp_path / "bare")
    assert "FOLDER/ImageSets/Main/NAME.txt" in refusal(write(tmp_path / "some" / "list.txt", "a\n"))


# YOLO.


def yolo(folder, lines="1 0.5 0.25 0.25 0.5\n\n0 0.1 0.1 0.3 0.1 0.2 0.4\n", images="images", labels="labels"):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        picture(folder / images / name)
    write(folder / labels / "b.txt", lines)
    write(folder / labels / "c.txt", "")
    return folder


def test_yolo(tmp_path):
    yolo(tmp_path)
    write(tmp_path / "data.yaml", "train: images\nnames:\n  0: cat\n  1: dog\n  2: unseen\n")
    table = read(tmp_path, OBJECTS)
    assert table.columns["labels"] == [[], ["dog", "cat"], []]
    assert table.classes == ("cat", "dog", "unseen")
    # 80 wide, 40 high: the center is 40, 10 and the sides are 20 and 20; the outline's box is 0.1..0.3 by 0.1..0.4.
    np.testing.assert_allclose(raw_boxes(table, 1), [[0, 30, 20, 50, 0], [4, 8, 16, 24, 0]], rtol=1e-6)
    assert raw_boxes(table, 0) == raw_boxes(table, 2) == []
    assert table.where(1) == str(tmp_path / "images" / "b.jpg")


@pytest.mark.parametrize(
    ("images", "labels", "source", "names"),
    [
        ("images/train", "labels/train", "images/train", "data.yaml"),
        ("train/images", "train/labels", "train", "data.yaml"),
        ("images", "labels", ".", "labels/classes.txt"),
        ("images", "labels", ".", "classes.names"),
    ],
)
def test_places_of_yolo(tmp_path, images, labels, source, names):
    yolo(tmp_path, images=images, labels=labels)
    write(tmp_path / names, "names: [cat, dog]" if names.endswith("yaml") else "cat\ndog\n")
    table = read(tmp_path / source, OBJECTS)
    assert table.columns["labels"][1] == ["dog", "cat"]
    assert len(raw_boxes(table, 1)) == 2


def test_yolo_without_names_goes_by_numbers(tmp_path):
    table = read(yolo(tmp_path), OBJECTS)
    assert table.columns["labels"][1] == ["1", "0"]
    assert table.classes == ()
    assert "class -1" in refusal(yolo(tmp_path, "-1 0.5 0.5 0.1 0.1\n"))


def test_yolo_labels_without_an_image_are_counted(tmp_path):
    write(yolo(tmp_path) / "labels" / "alone.txt", "0 0.5 0.5 1 1")
    (remark,) = read(tmp_path, OBJECTS).remarks
    assert remark.startswith("skipped 1 label files without an image, ")
    assert "alone.txt" in remark


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("0 0.5 0.5 0 0.1\n", ["b.txt, line 1", "1 of 1 boxes are empty"]),
        ("0 16.5 25 23 12\n", ["b.txt, line 1", "relative to the image size", "16.5, 25, 23, 12", "Divide pixels"]),
        ("0 0.5 0.5 0.1 -0.1\n", ["b.txt, line 1", "inverted"]),
        ("0 0.5 0.5 nan 0.1\n", ["b.txt, line 1", "not finite"]),
        ("0 0.5 0.5\n", ["b.txt, line 1", "2 numbers after the class"]),
        ("0 0.5 0.5 0.1 0.1 0.9\n", ["b.txt, line 1", "5 numbers after the class"]),
        ("cat 0.5 0.5 0.1 0.1\n", ["b.txt, line 1", "'cat 0.5"]),
        ("7 0.5 0.5 0.1 0.1\n", ["b.txt, line 1", "class 7 has no name", "'cat', 'dog'"]),
        ("-1 0.5 0.5 0.1 0.1\n", ["b.txt, line 1", "class -1 has no name"]),
    ],
)
def test_refused_yolo(tmp_path, lines, words):
    yolo(tmp_path, lines)
    write(tmp_path / "classes.txt", "cat\ndog\n")
    message = refusal(tmp_path)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "words"),
    [("names: 5", ["data.yaml", "Received: 5"]), ("names: [", ["data.yaml: not YAML"]), ("a: 1", ["Received: None"])],
)
def test_refused_names_of_yolo(tmp_path, content, words):
    write(yolo(tmp_path) / "data.yaml", content)
    message = refusal(tmp_path)
    for word in words:
        assert word in message


def test_yaml_without_pyyaml(tmp_path, monkeypatch):
    import sys

    write(yolo(tmp_path) / "data.yaml", "names: [cat, dog]")
    monkeypatch.setitem(sys.modules, "yaml", None)
    message = refusal(tmp_path)
    assert "pip install pyyaml" in message
    assert "classes.txt" in message


def test_a_broken_image_is_unreadable_and_named(tmp_path):
    yolo(tmp_path)
    (tmp_path / "images" / "b.jpg").write_bytes(b"hello")
    table = read(tmp_path, OBJECTS)
    with pytest.raises(UnreadableError, match=r"images/b\.jpg, column 'boxes'.*not an image file"):
        table.raw(1, OBJECTS)
    assert raw_boxes(table, 0) == []


# Folders of no form, and splits.


def test_folder_of_no_form(tmp_path):
    picture(tmp_path / "photos" / "a.jpg")
    message = refusal(tmp_path)
    for word in ("annotations.json", "Annotations/*.xml", "labels/", "labels.csv", "'photos'", str(tmp_path)):
        assert word in message


@pytest.mark.parametrize("below", [".", "images"])
def test_folder_of_splits(tmp_path, below):
    for part in ("train", "val"):
        picture(tmp_path / below / part / "a.jpg")
        write(tmp_path / "labels" / part / "a.txt", "0 0.5 0.5 1 1") if below == "images" else None
    message = refusal(tmp_path)
    assert "holds the splits 'train', 'val'" in message
    assert str(tmp_path / below / "train") in message


# Tables.

ROWS = """image,xmin,ymin,xmax,ymax,label
b.jpg,1,2,3.5,4,cat
a.jpg,,,,,
b.jpg,0,0,80,40,dog
c.jpg,5,5,6,6,cat
"""


def test_csv_of_one_box_a_row(tmp_path):
    table = read(write(tmp_path / "boxes.csv", ROWS), OBJECTS)
    assert table.columns["image"] == [tmp_path / f"{stem}.jpg" for stem in "bac"]
    assert table.columns["labels"] == [["cat", "dog"], [], ["cat"]]
    assert raw_boxes(table, 0) == [[2, 1, 4, 3.5, 0], [0, 0, 40, 80, 0]]
    assert raw_boxes(table, 1) == []
    assert [table.where(row).rpartition(", ")[2] for row in range(3)] == ["line 2", "line 3", "line 5"]


def test_csv_under_other_names_in_a_folder_and_tsv(tmp_path):
    renamed = ROWS.replace("image,", "path,").replace("label", "kind")
    columns = {"image": "path", "labels": "kind"}
    table = read(write(tmp_path / "a.csv", renamed), OBJECTS, rename=columns)
    assert table.columns["labels"][0] == ["cat", "dog"]
    filename = ROWS.replace("image,", "image_path,").replace("label", "class")
    write(tmp_path / "folder" / "labels.csv", filename)
    assert read(tmp_path / "folder", OBJECTS).columns["image"][0] == tmp_path / "folder" / "b.jpg"
    tabs = read(write(tmp_path / "a.tsv", ROWS.replace(",", "\t")), OBJECTS)
    assert tabs.columns["labels"] == table.columns["labels"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("b.jpg,9,2,3,4,cat", ["line 6", "inverted", "xmin 9", "xmax 3"]),
        ('b.jpg,"1,5",2,3,4,cat', ["line 6", "1,5", "a decimal point"]),
        ("b.jpg,1,2,inf,4,cat", ["line 6", "not finite"]),
        ("b.jpg,1,2,x,4,cat", ["line 6", "expected numbers", "x"]),
        ("b.jpg,1,2,3,4,", ["line 6", "the box has no label"]),
        ("b.jpg,,,,,cat", ["line 6", "'cat' has no box"]),
        (",1,2,3,4,cat", ["line 6", "name of the image is empty"]),
    ],
)
def test_refused_csv_of_boxes(tmp_path, row, words):
    message = refusal(write(tmp_path / "boxes.csv", f"{ROWS}{row}\n"))
    for word in [*words, "boxes.csv"]:
        assert word in message


def test_csv_without_a_column_of_boxes(tmp_path):
    assert "no column 'xmax'" in refusal(write(tmp_path / "a.csv", "image,xmin,ymin,ymax,label\na,1,2,3,b\n"))
    assert "no column 'labels'" in refusal(write(tmp_path / "a.csv", "image,xmin,ymin,xmax,ymax\na,1,2,3,4\n"))


# Rows of objects, in files and in memory.

IN_ROWS = [
    {"image": "a.jpg", "boxes": [[0, 1, 2, 3], [4, 5, 6, 7]], "labels": ["cat", "dog"]},
    {"image": "b.jpg", "boxes": [], "labels": []},
    {"image": "c.jpg", "boxes": [[0, 1, 2, 3, 1]], "labels": [3]},
]


def sources_of_rows(folder):
    import pandas

    columns = {name: [row[name] for row in IN_ROWS] for name in OBJECTS}
    lines = "\n".join(json.dumps(row) for row in IN_ROWS)
    return {
        "jsonl": write(folder / "a.jsonl", lines),
        "json": write(folder / "a.json", IN_ROWS),
        "list": IN_ROWS,
        "dict": columns,
        "frame": pandas.DataFrame(columns),
        "pair": (columns["image"], {name: columns[name] for name in ("boxes", "labels")}),
    }


@pytest.mark.parametrize("kind", ["jsonl", "json", "list", "dict", "frame", "pair"])
def test_rows_with_lists_of_boxes(tmp_path, kind):
    table = read(sources_of_rows(tmp_path)[kind], OBJECTS)
    assert raw_boxes(table, 0) == [[0, 1, 2, 3, 0], [4, 5, 6, 7, 0]]
    assert raw_boxes(table, 1) == []
    assert raw_boxes(table, 2) == [[0, 1, 2, 3, 1]]
    assert table.raw(2, {"labels": BoxLabels()})["labels"] == [b"3"]


@pytest.mark.parametrize(
    ("boxes", "labels", "words"),
    [
        ([[0, 0, 1, 1], [2, 5, 1, 9]], ["a", "b"], ["index 0", "column 'boxes'", "box 1 of 2", "2, 5, 1, 9"]),
        ([[0, 0, 1, 1]], ["a", "b"], ["index 0", "1 boxes in 'boxes', 2 labels in 'labels'"]),
        ([[0, 0, 1, 1]], "a|b", ["index 0", "1 boxes in 'boxes', 2 labels"]),
        ([], ["a"], ["index 0", "0 boxes"]),
        ([0, 0, 1, 1], ["a"] * 4, ["index 0", "(boxes, 4)"]),
        (None, [], ["index 0", "empty"]),
        ("0 0 1 1", ["a"] * 7, ["index 0", "expected boxes, four numbers each"]),
        ([[0, 0, 1]], ["a"], ["index 0", "(boxes, 4)"]),
    ],
)
def test_refused_rows(boxes, labels, words):
    message = refusal(
        {"image": ["a.jpg"], "boxes": [boxes], "labels": [labels]}, {k: OBJECTS[k] for k in ("boxes", "labels")}
    )
    for word in words:
        assert word in message


def test_class_numbers_of_boxes_are_no_flags():
    # Zeros and ones in an array: beside boxes they are classes, not columns of a multi-label target.
    arrays = {"image": ["a"], "boxes": np.array([[[0, 0, 1, 1], [0, 0, 2, 2]]]), "labels": np.array([[1, 1]])}
    table = read(arrays, OBJECTS)
    assert table.raw(0, {"labels": BoxLabels()})["labels"] == [b"1", b"1"]
    data = tf.data.Dataset.from_tensors(
        (np.zeros((4, 6, 3), np.uint8), {"boxes": np.array([[0.0, 0, 1, 1]]), "labels": np.array([1])})
    )
    table = read(data, OBJECTS)
    assert table.raw(0, OBJECTS)["labels"] == [b"1"]
    assert raw_boxes(table, 0) == [[0, 0, 1, 1, 0]]


def test_all_classes_of_a_dict():
    columns = {"image": ["a"], "boxes": [[]], "labels": [[]]}
    assert read({**columns, "classes": ["cat", "dog"]}, OBJECTS).classes == ("cat", "dog")
    assert read(columns, OBJECTS).classes == ()
    assert "`classes` must be a list of names" in refusal({**columns, "classes": [1]})


# TFDS.


class TinyStreet(tfds.core.GeneratorBasedBuilder):
    """Three images with boxes as COCO's and VOC's builders have them, a crowd among them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        objects = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=["car", "person", "tram"]),
            "pose": tfds.features.ClassLabel(names=["left", "right"]),
            "area": np.int64,
            "is_crowd": np.bool_,
        }
        features = {"image": tfds.features.Image(), "image/id": np.int64, "objects": tfds.features.Sequence(objects)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for row in range(3):
            objects = [
                {
                    "bbox": tfds.features.BBox(0.25, 0.5, 0.5, 1.0),
                    "label": number,
                    "pose": 1,
                    "area": 3,
                    "is_crowd": number == 1,
                }
                for number in range(row)
            ]
            yield row, {"image": np.zeros((8, 4 * row + 4, 3), np.uint8), "image/id": row, "objects": objects}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    TinyStreet(data_dir=folder).download_and_prepare(download_config=config)
    return folder


def test_tfds_of_boxes(prepared):
    table = read("tfds:tiny_street", OBJECTS, data_dir=prepared)
    rows = {len(table.columns["labels"][row]): row for row in range(3)}
    assert table.columns["labels"][rows[2]] == ["car", "person"]
    assert raw_boxes(table, rows[0]) == []
    assert raw_boxes(table, rows[1]) == [[2, 4, 4, 8, 0]]  # 8 high, 8 wide
    assert raw_boxes(table, rows[2]) == [[2, 6, 4, 12, 0], [2, 6, 4, 12, 1]]  # 8 high, 12 wide
    assert table.classes == ("car", "person", "tram")
    assert table.columns["image"][0].startswith(b"\x89PNG")


def test_tfds_labels_that_the_user_names(prepared):
    table = read("tfds:tiny_street", OBJECTS, rename={"labels": "objects/pose"}, data_dir=prepared)
    assert sorted(table.columns["labels"]) == [[], ["right"], ["right", "right"]]
    message = refusal("tfds:tiny_street", rename={"boxes": "objects/area"}, data_dir=prepared)
    assert "expected boxes relative to the image size" in message
    message = refusal("tfds:tiny_street", rename={"boxes": "box"}, data_dir=prepared)
    assert "'objects/bbox'" in message


# Bad boxes, and the layouts of tools.


def test_a_box_without_an_area_is_left_out_alone(tmp_path):
    def flat(data):
        data["annotations"][2].update(bbox=[1, 1, 0, 5])

    coco(tmp_path / "coco", flat)
    voc(tmp_path / "voc", [("dog", 5), ("cat", 30), ("cat", 1)])
    yolo(tmp_path / "yolo", "0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0 0.1\n1 0.5 0.5 0.1 0.1\n")
    write(tmp_path / "boxes.csv", f"{ROWS}b.jpg,3,2,3,4,cat\nb.jpg,1,2,NA,4,cat\n")
    rows = [{"image": "a", "boxes": [[0, 1, 2, 3], [4, 5, 4, 7], [1, 1, 2, 2]], "labels": ["cat", "dog", "owl"]}]
    for source, left, total in (
        (tmp_path / "coco", 1, 3), (tmp_path / "voc", 1, 3), (tmp_path / "yolo", 1, 3), (tmp_path / "boxes.csv", 2, 5),
        (rows, 1, 3),
    ):  # fmt: skip
        table = read(source, OBJECTS)
        assert sum(map(len, table.columns["boxes"])) == sum(map(len, table.columns["labels"])) == total - left
        assert [remark for remark in table.remarks if remark.startswith(f"{left} of {total} boxes skipped: ")], source
        assert "Without `strict`" in refusal(source, strict=True)
    assert table.columns["labels"] == [["cat", "owl"]]


def test_one_inverted_box_of_many_is_left_out(tmp_path):
    rows = "".join(f"a.jpg,{n},0,{n + 5},9,cat\n" for n in range(20))
    table = read(write(tmp_path / "a.csv", f"image,xmin,ymin,xmax,ymax,label\n{rows}a.jpg,9,0,3,9,cat\n"), OBJECTS)
    assert len(table.columns["boxes"][0]) == 20
    assert "1 of 21 boxes skipped: " in table.remarks[0]
    assert "line 22: the box is inverted" in table.remarks[0]


def test_labels_beside_images(tmp_path):
    for stem in ("a", "b"):
        picture(tmp_path / "yolo" / "obj_train_data" / f"{stem}.jpg")
        picture(tmp_path / "voc" / f"{stem}.JPG")
    write(tmp_path / "yolo" / "obj_train_data" / "a.txt", "1 0.5 0.5 0.5 0.5\n")
    write(tmp_path / "yolo" / "obj.names", "cat\ndog\n")
    write(tmp_path / "voc" / "a.xml", XML.format(name="C:\\old\\a", objects=OBJECT.format(label="dog", xmin=5)))
    table = read(tmp_path / "yolo", OBJECTS)
    assert table.columns["labels"] == [["dog"], []]
    assert raw_boxes(table, 0) == [[10, 20, 30, 60, 0]]
    table = read(tmp_path / "voc", OBJECTS)
    assert table.columns["labels"] == [["dog"]]
    assert table.columns["image"] == [tmp_path / "voc" / "a.JPG"]


def test_data_yaml_names_what_to_give(tmp_path):
    for part in ("train", "valid", "test"):
        picture(tmp_path / part / "images" / "a.jpg")
        write(tmp_path / part / "labels" / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    path = write(tmp_path / "data.yaml", "train: ../train/images\nval: ../valid/images\nnames: [cat]\n")
    message = refusal(path)
    assert f"train: {tmp_path}/train/images, val: {tmp_path}/valid/images" in message
    assert "`validation`" in message
    assert read(tmp_path / "train" / "images", OBJECTS).columns["labels"] == [["cat"]]
    assert f"Specify one of them: {tmp_path}/train." in refusal(tmp_path)
    (tmp_path / "train").rename(tmp_path / "val")
    assert "Specify the one to use." in refusal(tmp_path)


@pytest.mark.parametrize("points", ["0.1 0.2 2 0.3 0.4 0", "0.1 0.2 2", "0.1 0.2 1 0.3 0.3 1 0.1 0.1 0"])
def test_the_lines_of_poses_are_their_boxes(tmp_path, points):
    yolo(tmp_path, f"0 0.5 0.5 0.5 0.5 {points}\n")
    assert raw_boxes(read(tmp_path, OBJECTS), 1) == [[10, 20, 30, 60, 0]]


def test_how_many_points_a_pose_has_may_stand_in_data_yaml(tmp_path):
    yolo(tmp_path, "0 0.5 0.5 0.5 0.5 0.1 0.2 0.3 0.9\n")  # an outline without it
    assert raw_boxes(read(tmp_path, OBJECTS), 1) != [[10, 20, 30, 60, 0]]
    write(tmp_path / "data.yaml", "names: [cat]\nkpt_shape: [2, 2]\n")
    assert raw_boxes(read(tmp_path, OBJECTS), 1) == [[10, 20, 30, 60, 0]]
