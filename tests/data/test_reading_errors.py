"""What others wrote: deep, lying and endless files are refused by name, and named files stay below the data."""

import gzip
import io
import json
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image as Picture

from dlkit.columns import Image, Label, Text
from dlkit.data.header import header_of
from dlkit.data.read import read
from dlkit.data.read_chunks import read_chunks
from dlkit.data.read_options import ReadOptions
from dlkit.data.unpack import open_arrays, read_array
from dlkit.errors import DataError, DlkitError, ExportError, UnreadableError
from dlkit.reading_errors import as_data_error, max_unpacked_bytes
from dlkit.tasks import find_task

REVIEWS = {"text": Text(), "label": Label()}
PHOTOS = {"image": Image(), "label": Label()}
BOXES = {**find_task("object_detection").inputs, **find_task("object_detection").target}
MASKS = {**find_task("image_segmentation").inputs, **find_task("image_segmentation").target}
PAIRS = {**find_task("translation").inputs, **find_task("translation").target}
ANSWERS = {**find_task("question_answering").inputs, **find_task("question_answering").target}


def refusal(source, columns=REVIEWS, **how):
    with pytest.raises(DataError) as raised:
        table = read(str(source), columns, **how)
        for row in range(len(table)):
            table.raw(row, columns)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def png(path, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.new("L", size).save(path, "PNG")
    return path


@pytest.mark.parametrize("kind", [ValueError, RecursionError, MemoryError, KeyError, TypeError, EOFError, OSError])
def test_whatever_is_raised_becomes_one_error(kind):
    said = r"^the file: not a model \(.+\)\. Write it again\.$"
    with (
        pytest.raises(ExportError, match=said) as raised,
        as_data_error("the file", "a model", "Write it again.", error=ExportError),
    ):
        raise kind("odd")
    assert isinstance(raised.value.__cause__, kind)


def test_errors_of_dlkit_and_interrupts_pass():
    for error in (UnreadableError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, as_data_error("the file"):
            raise error
        assert raised.value is error


def test_reasons_are_short_and_on_one_line():
    with pytest.raises(DataError, match=r"^cannot read a\.csv: No such file or directory\.$"), as_data_error("a.csv"):
        Path("/nowhere/a.csv").read_text()
    with pytest.raises(DataError) as raised, as_data_error("a.csv"):
        raise ValueError("a\n  b" * 1000)
    assert len(str(raised.value)) < 250 and "a b" in str(raised.value)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "content", "columns", "said"),
    [
        ("a.json", DEEP, REVIEWS, "a.json: not JSON (values are nested too deeply)"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n{"text": ' + DEEP, REVIEWS, "line 2: not a JSON object (values"),
        ("a.json", '{"data": ' + DEEP, ANSWERS, "a.json: not JSON (values are nested"),
        ("a.json", '{"images": ' + DEEP, BOXES, "a.json: not JSON (values are nested"),
        ("a.json", '[{"text": "a", "label": ' + "9" * 5000 + "}]", REVIEWS, "a.json: not JSON (Exceeds the limit"),
        (
            "a.tmx",
            '<tmx><header srclang="en"/><body><tu><tuv lang="en"><seg>' + "<hi>" * 5000 + "</hi>" * 5000 +
            '</seg></tuv><tuv lang="es"><seg>a</seg></tuv></tu></body></tmx>',
            PAIRS,
            "a.tmx: not a TMX file (values are nested too deeply)",
        ),
        ("a.tmx", "<tmx><tu>", PAIRS, "a.tmx, line 1: not a TMX file (no element found"),
        (
            "a.tmx",
            '<!DOCTYPE t [<!ENTITY a "' + "x" * 1000 + '">' + "".join(
                f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
            ) + ']><tmx><tu><tuv lang="en"><seg>&i;</seg></tuv></tu></tmx>',
            PAIRS,
            "a.tmx, line 1: not a TMX file (limit on input amplification",
        ),
    ],
)  # fmt: skip
def test_what_is_too_deep_is_refused_by_name(tmp_path, name, content, columns, said):
    (tmp_path / name).write_text(content)
    start = time.perf_counter()
    assert said in refusal(tmp_path / name, columns)
    assert time.perf_counter() - start < 5


def test_deep_xml_of_boxes(tmp_path):
    png(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text("<annotation>" + "<object>" * 50_000)
    assert "a.xml, line 1: not XML (" in refusal(tmp_path, BOXES)


def yolo(tmp_path, text):
    png(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "data.yaml").write_text(text)
    return tmp_path


ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{ALIASES}names: *h\n", "aliases (*name) expand to more than 1000000 values"),
        ("names: &a [*a]\n", "aliases (*name) expand to more than 1000000 values, or to themselves"),
        (f"names: {DEEP[:9000]}", "data.yaml: not YAML (values are nested"),
        ("names: [[a, b], c]\n", "expected `names`"),
        ("names: [a]\nkpt_shape: [3, x]\n", "`kpt_shape` must be"),
        ("names: [a]\nkpt_shape: 7\n", "`kpt_shape` must be"),
        ("names: 2001-99-99\n", "data.yaml: not YAML ("),
        ("names: !!python/object/apply:os.system [ls]\n", "data.yaml: not YAML ("),
    ],
)
def test_yaml_is_limited(tmp_path, text, said):
    start = time.perf_counter()
    assert said in refusal(yolo(tmp_path, text), BOXES)
    assert time.perf_counter() - start < 5


def test_a_few_aliases_are_what_they_stand_for(tmp_path):
    folder = yolo(tmp_path, "base: &base [cat, dog]\nnames: *base\n")
    assert read(str(folder), BOXES).classes == ("cat", "dog")


def npy(shape, dtype="|u1", data=b"x" * 6):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (npy((10**12,)), "its header says uint8 of shape (1000000000000,), but it holds 6 bytes"),
        (npy((6,), "<f8"), "its header says float64 of shape (6,), but it holds 6 bytes"),
        (npy((2**40, 2**40)), "but it holds 6 bytes"),
        (npy((10**9,), "<U0", b""), "its header says <U0 of shape (1000000000,), but it holds 0 bytes"),
        (npy((10**9, 0), data=b""), "but it holds 0 bytes"),
        (npy((-1,)), "its header says uint8 of shape (-1,)"),
        (npy((1,), "<U2", b"a\0\0\0\0\0\x11\0"), "holds invalid characters"),
        (npy((6,), "|O"), "Texts must have a string dtype"),
        (b"\x93NUMPY\x03\x00" + npy((6,))[8:], "the array 'label' cannot be read"),
        (b"no array", "the array 'label' cannot be read"),
    ],
)
def test_headers_of_arrays_that_lie(tmp_path, member, said):
    np.savez(tmp_path / "good.npz", text=np.array(list("abcdef")))
    with zipfile.ZipFile(tmp_path / "good.npz", "a") as archive:
        archive.writestr("label.npy", member)
    assert said in refusal(tmp_path / "good.npz")
    with pytest.raises(ExportError, match="label"), open_arrays(tmp_path / "good.npz", "x", error=ExportError) as file:
        read_array(file, "label", "x", error=ExportError)


def test_a_single_array_is_not_read(tmp_path):
    (tmp_path / "a.npz").write_bytes(npy((10**12,)))
    assert "holds a single array" in refusal(tmp_path / "a.npz")


def packed(folder, kind):
    """A small file of each kind, of much that is alike: a MB."""
    path = (
        folder / {"gz": "a.csv.gz", "tsv": "a.tsv.gz", "npz": "a.npz", "parquet": "a.parquet", "tmx": "a.tmx.gz"}[kind]
    )
    if kind in ("gz", "tsv", "tmx"):
        lines = [b"text,label\n", b"text\tlabel\n"][kind == "tsv"] + [b"a,b\n", b"a\tb\n"][kind == "tsv"] * 2**18
        path.write_bytes(gzip.compress(lines if kind != "tmx" else b"<tmx>" + b" " * 2**20))
    elif kind == "npz":
        np.savez_compressed(path, text=np.full(2**18, "a"), label=np.full(2**18, "b"))
    else:
        names = pyarrow.array(["a" * 100]).dictionary_encode()
        column = pyarrow.DictionaryArray.from_arrays(np.zeros(2**16, np.int32), names.dictionary)
        pyarrow.parquet.write_table(pyarrow.table({"text": column, "label": column}), path)
    assert path.stat().st_size < 2**16
    return path


@pytest.mark.parametrize("kind", ["gz", "tsv", "npz", "parquet", "tmx"])
def test_what_unpacks_has_a_limit(tmp_path, monkeypatch, kind):
    path, columns = packed(tmp_path, kind), PAIRS if kind == "tmx" else REVIEWS
    monkeypatch.setenv("DLKIT_MAX_UNPACKED", "500KB")
    message = refusal(path, columns)
    for word in (path.name, "decompresses to more than the limit of 500KB", "DLKIT_MAX_UNPACKED=16GB"):
        assert word in message
    if kind in ("gz", "tsv"):
        with pytest.raises(DataError, match="limit of 500KB"):
            list(read_chunks(str(path), REVIEWS, ReadOptions()))
    if kind != "tmx":
        monkeypatch.setenv("DLKIT_MAX_UNPACKED", "1 GB")
        assert len(read(str(path), REVIEWS)) >= 2**16


def test_the_limit_is_a_size(monkeypatch):
    assert max_unpacked_bytes() == 4 * 2**30
    for text, size in (("500MB", 500 * 2**20), ("1.5g", 3 * 2**29), ("1000", 1000), ("2 TiB", 2**41)):
        monkeypatch.setenv("DLKIT_MAX_UNPACKED", text)
        assert max_unpacked_bytes() == size
    monkeypatch.setenv("DLKIT_MAX_UNPACKED", "lots")
    with pytest.raises(DlkitError, match=r"must be a size such as 500MB or 8GB\. Received: 'lots'"):
        max_unpacked_bytes()


def test_a_broken_archive_is_refused_by_name(tmp_path):
    data = gzip.compress(b"text,label\n" + os.urandom(1000).hex().encode() + b",b\n")
    (tmp_path / "a.csv.gz").write_bytes(data[:-20])
    assert "a.csv.gz: not a readable gzip archive (" in refusal(tmp_path / "a.csv.gz")
    with pytest.raises(DataError, match=r"a\.csv\.gz: not a readable gzip archive"):
        list(read_chunks(str(tmp_path / "a.csv.gz"), REVIEWS, ReadOptions()))
    (tmp_path / "b.csv.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"b\.csv\.gz: not a readable gzip archive"):
        header_of(str(tmp_path / "b.csv.gz"))


# Files that tables and annotations name.

TABLES = {
    "csv": lambda file: f"image,label\n{file},a\n",
    "jsonl": lambda file: json.dumps({"image": str(file), "label": "a"}),
    "json": lambda file: json.dumps([{"image": str(file), "label": "a"}]),
    "parquet": lambda file: pyarrow.table({"image": [{"bytes": None, "path": str(file)}], "label": ["a"]}),
}


def table_of(path, content):
    if isinstance(content, str):
        path.write_text(content)
    else:
        pyarrow.parquet.write_table(content, path)
    return path


@pytest.fixture
def places(tmp_path):
    """The data's folder with a picture, one beside it, and a link out of it."""
    data, other = tmp_path / "data", tmp_path / "data-of-others"
    inside, outside = png(data / "images" / "in.png"), png(other / "out.png")
    (data / "link.png").symlink_to(outside)
    (data / "linked").symlink_to(other)
    (data / "to itself").symlink_to(data / "images")
    return data, {
        "above": "../data-of-others/out.png", "absolute": outside, "link": "link.png",
        "linked folder": "linked/out.png", "not there": "../nowhere.png",
    }, {
        "relative": "images/in.png", "absolute": inside, "back": "images/../images/in.png",
        "linked inside": "to itself/in.png", "up and down": "../data/images/in.png",
    }  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_files_named_by_a_table_lie_below_its_folder(places, kind):
    data, outside, inside = places
    for file in outside.values():
        table = table_of(data / f"t.{kind}", TABLES[kind](file))
        message = refusal(table, PHOTOS)
        for word in (str(table), "column 'image'", "is outside the data folder", "allow_outside=True"):
            assert word in message, file
        assert {"csv": "line 2", "jsonl": "line 1", "json": "item 1", "parquet": "row 1"}[kind] in message
        assert len(read(str(table), PHOTOS, allow_outside=True)) == 1
    for file in inside.values():
        table = read(str(table_of(data / f"t.{kind}", TABLES[kind](file))), PHOTOS)
        assert table.raw(0, PHOTOS)["image"].startswith(b"\x89PNG")


def test_files_may_lie_below_the_folders_that_were_given(places, monkeypatch):
    data, outside, _ = places
    table = table_of(data / "labels.csv", TABLES["csv"](outside["absolute"]))
    assert "labels.csv, line 2" in refusal(data, PHOTOS)  # found in the folder
    # A list that names the other folder's table too: both folders were given.
    other = table_of(data.parent / "data-of-others" / "more.csv", TABLES["csv"]("out.png"))
    assert len(read([str(table), str(other)], PHOTOS)) == 2
    monkeypatch.chdir(data)  # a relative name is the same folder
    table_of(data / "labels.csv", TABLES["csv"]("images/in.png"))
    assert len(read("labels.csv", PHOTOS)) == len(read(".", PHOTOS)) == 1


def test_values_in_memory_name_what_they_will(places):
    _, outside, _ = places
    table = read({"image": [str(outside["absolute"])], "label": ["a"]}, PHOTOS)
    assert table.raw(0, PHOTOS)["image"].startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000, "", "..", "."])
def test_odd_names_of_files_are_refused(places, name):
    data, _, _ = places
    assert "t.jsonl, line 1" in refusal(table_of(data / "t.jsonl", TABLES["jsonl"](name)), PHOTOS)


def coco(file):
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5]]}
    image = {"id": 1, "file_name": str(file), "height": 8, "width": 8}
    return json.dumps({"images": [image], "categories": [{"id": 1, "name": "a"}], "annotations": [entry]})


@pytest.mark.parametrize("columns", [BOXES, MASKS], ids=["boxes", "masks"])
def test_files_named_by_coco(places, columns):
    data, outside, inside = places
    for file in outside.values():
        message = refusal(table_of(data / "annotations.json", coco(file)), columns)
        assert "is outside" in message or "none of its 1 images was found" in message
    assert f"image {str(outside['absolute'])!r}: the file" in refusal(
        table_of(data / "annotations.json", coco(outside["absolute"])), columns
    )
    assert len(read(str(data / "annotations.json"), columns, allow_outside=True)) == 1
    for file in inside.values():
        assert len(read(str(table_of(data / "annotations.json", coco(file))), columns)) == 1
    # annotations/instances_images.json beside images/, given as a file and as the folder above
    (data / "annotations").mkdir()
    (data / "annotations.json").unlink()
    file = table_of(data / "annotations" / "instances_images.json", coco("in.png"))
    assert len(read(str(file), columns)) == len(read(str(data), columns)) == 1


def test_files_named_by_a_table_of_boxes(places):
    data, outside, inside = places
    head = "image,xmin,ymin,xmax,ymax,label\n"
    for file in outside.values():
        assert "b.csv, line 2: the file" in refusal(table_of(data / "b.csv", f"{head}{file},1,1,4,4,a\n"), BOXES)
    for file in inside.values():
        assert len(read(str(table_of(data / "b.csv", f"{head}{file},1,1,4,4,a\n")), BOXES)) == 1


def test_files_named_by_lists_of_voc(tmp_path):
    root = tmp_path / "VOC"
    for folder in (root, tmp_path / "other"):
        png(folder / "JPEGImages" / "a.png")
        (folder / "Annotations").mkdir()
        (folder / "Annotations" / "a.xml").write_text("<annotation><filename>a.png</filename></annotation>")
    lists = root / "ImageSets" / "Main" / "train.txt"
    lists.parent.mkdir(parents=True)
    lists.write_text("a 1\n")
    assert len(read(str(lists), BOXES)) == 1
    lists.write_text("a 1\n../../other/Annotations/a 1\n")
    assert "train.txt: the file" in refusal(lists, BOXES)
    (root / "JPEGImages" / "a.png").unlink()
    (root / "JPEGImages" / "a.png").symlink_to(tmp_path / "other" / "JPEGImages" / "a.png")
    assert "a.xml: the file" in refusal(root, BOXES)
    assert len(read(str(root), BOXES, allow_outside=True)) == 1


def test_sizes_of_masks_that_lie(tmp_path):
    png(tmp_path / "images" / "a.png")
    (tmp_path / "annotations.json").write_text(coco("a.png").replace("8", "10000000"))
    assert "10000000 x 10000000 pixels exceed the maximum image size" in refusal(tmp_path, MASKS)


@pytest.mark.parametrize("outline", [[1, 1, 1e12, 1, 5, 5], [1, 1, 5, 1, 1e9, 1e9], [0, 0, 7, 7] * 500])
def test_outlines_that_take_the_memory(tmp_path, outline):
    png(tmp_path / "images" / "a.png")
    (tmp_path / "annotations.json").write_text(coco("a.png").replace("[[1, 1, 5, 1, 5, 5]]", json.dumps([outline])))
    message = refusal(tmp_path, MASKS)
    assert "annotations, item 1 (id 1): the polygon is " in message and "in an image of 8 x 8" in message


def test_a_picture_that_breaks_its_library_is_unreadable(tmp_path):
    file = io.BytesIO()
    Picture.new("RGB", (8, 8)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    for place in range(8, len(data)):
        broken = bytes(data[:place]) + b"\xff" * 4 + bytes(data[place + 4 :])
        assert isinstance(Image().raw(broken), bytes)
