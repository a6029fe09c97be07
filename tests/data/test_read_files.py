"""Tables in files: known values, and an error for each thing that can be wrong with one."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from dlkit.columns import Image, Label, Labels, Text
from dlkit.data.read import read
from dlkit.errors import DataError

REVIEWS = {"text": Text(), "label": Label()}
PHOTOS = {"image": Image(), "label": Label()}


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refusal(source, columns=REVIEWS, **options):
    with pytest.raises(DataError) as caught:
        read(source, columns, **options)
    return str(caught.value)


def test_csv_quotes_bom_line_breaks_and_extra_columns(tmp_path):
    rows = '\ufeffid,text,label\r\n1,"good, ""very"" good",pos\r\n\r\n2,"two\nlines",neg\r\n3,,pos\r\n'
    table = read(write(tmp_path, "reviews.csv", rows), REVIEWS)
    assert table.columns == {"text": ['good, "very" good', "two\nlines", ""], "label": ["pos", "neg", "pos"]}
    assert [table.where(row).rpartition("line ")[2] for row in range(3)] == ["2", "4", "6"]
    assert len(table) == 3
    assert "id" not in table.columns


def test_csv_cell_longer_than_the_csv_module_allows(tmp_path):
    table = read(write(tmp_path, "long.csv", f"text,label\n{'x' * 200_000},a\n"), REVIEWS)
    assert len(table.columns["text"][0]) == 200_000


def test_tsv(tmp_path):
    table = read(write(tmp_path, "reviews.tsv", "text\tlabel\nfine, really\tpos\n"), REVIEWS)
    assert table.row(0) == {"text": "fine, really", "label": "pos"}


def test_rename(tmp_path):
    path = write(tmp_path, "a.csv", "review,stars,text\ngood,5,no\n")
    table = read(path, REVIEWS, rename={"text": "review", "label": "stars"})
    assert table.row(0) == {"text": "good", "label": "5"}
    assert "Did you mean 'text'" in refusal(path, rename={"txet": "review"})


def test_images_and_labels_by_cell(tmp_path):
    columns = {"image": Image(), "labels": Labels()}
    table = read(write(tmp_path, "a.csv", "image,labels\nsub/1.png,red|round\n2.png,\n"), columns)
    assert table.columns["image"] == [tmp_path / "sub/1.png", tmp_path / "2.png"]
    assert columns["labels"].raw(table.columns["labels"][0]) == [b"red", b"round"]
    assert columns["labels"].raw(table.columns["labels"][1]) == []


def test_jsonl_and_json(tmp_path):
    rows = [{"text": "a\u2028b", "label": 1}, {"label": 0, "text": "c", "more": None}]
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"
    table = read(write(tmp_path, "a.jsonl", lines), REVIEWS)
    assert table.columns == {"text": ["a\u2028b", "c"], "label": [1, 0]}
    assert table.where(1).endswith("a.jsonl, line 3")
    table = read(write(tmp_path, "a.json", json.dumps(rows)), REVIEWS)
    assert table.columns["label"] == [1, 0]
    assert table.where(1).endswith("a.json, item 2")


def test_parquet_of_paths_bytes_and_structs(tmp_path):
    cells = {
        "path": ["x/1.png"],
        "bytes": [b"\x89PNG"],
        "both": [{"bytes": b"\x89PNG", "path": "1.png"}],
        "label": ["a"],
    }
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(cells), path)
    for name, expected in (("path", tmp_path / "x/1.png"), ("bytes", b"\x89PNG"), ("both", b"\x89PNG")):
        table = read(path, PHOTOS, rename={"image": name})
        assert table.row(0) == {"image": expected, "label": "a"}
    assert table.where(0).endswith("a.parquet, row 1")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.npz"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_file(tmp_path, name, content):
    assert "is empty" in refusal(write(tmp_path, name, content))


def test_file_of_a_byte_order_mark(tmp_path):
    assert "is empty" in refusal(write(tmp_path, "a.csv", "\ufeff"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "text,label\n", ["header and no rows"]),
        (
            "a.csv",
            "Review,label\na,b\n",
            ["no column 'text'", "'Review', 'label'", 'columns={"text": "NAME"}'],
        ),
        ("a.csv", "TEXT,label\na,b\n", ["Did you mean 'TEXT'?", '{"text": "TEXT"}']),
        ("a.csv", "text;label\na;b\n", ["comma", "semicolon"]),
        ("a.csv", "good,pos\nbad,neg\n", ["'good', 'pos'", "first line must hold"]),
        ("a.csv", "text,text,label\na,b,c\n", ["2 columns named 'text'"]),
        ("a.csv", "text,label\na,b\nc\n", ["line 3", "expected 2 cells", "Received: 1"]),
        ("a.csv", 'text,label\n"a\nb",p\na, b,c\n', ["line 4", "expected 2 cells", "Received: 3", "quotes"]),
        ("a.csv", 'text,label\na,b\n"open,b\nc,d\n', ["line 3", "unclosed"]),
        ("a.csv", "text,label\na,b\nc,\n", ["line 3", "label in column 'label' is empty"]),
        ("a.csv", "text,label\na,b\nc,  \n", ["line 3", "label in column 'label' is empty"]),
        ("a.csv", b"text,label\na,b\ncaf\xe9,b\n", ["line 3", "not UTF-8", "0xe9", "iconv -f latin1"]),
        ("a.csv", "text,label\na,b\n".encode("utf-16"), ["not UTF-8", "iconv -f utf-16"]),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', ["line 2", "not a JSON object"]),
        ("a.jsonl", '{"text": "a", "label": 1}\n[1]\n', ["line 2", "expected an object", "[1]"]),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n', ["line 2", "no 'label'"]),
        ("a.jsonl", '{"text": "a", "label": null}\n', ["line 1", "'label' is empty"]),
        ("a.jsonl", '{"body": "a", "label": 1}\n', ["no column 'text'", "'body', 'label'"]),
        ("a.json", '[{"text": "a",\n "label"]', ["line 2", "not JSON"]),
        ("a.json", '{"text": "a"}', ["expected a list of objects", "dict"]),
        ("a.json", "[]", ["no rows"]),
        ("a.parquet", "not parquet", ["not a readable parquet file"]),
        ("a.npz", "not npz", ["not a readable npz file", "savez"]),
        ("a.xlsx", "x", [".xlsx", ".csv, .tsv, .jsonl, .json, .parquet, .npz"]),
        ("a", "x", ["without a suffix"]),
    ],
)
def test_refused_file(tmp_path, name, content, words):
    path = write(tmp_path, name, content)
    message = refusal(path)
    for word in [*words, path]:
        assert word in message


def test_missing_column_of_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"txt": ["a"], "label": ["b"]}), path)
    assert "Did you mean 'txt'?" in refusal(path)


def test_empty_image_cell(tmp_path):
    path = write(tmp_path, "a.csv", "image,label\n1.png,a\n,b\n")
    assert "line 3: the image in column 'image' is empty" in refusal(path, PHOTOS)


def test_npz_plurals_and_label_names(tmp_path):
    path = tmp_path / "a.npz"
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(path, images=images, labels=[1, 0], label_names=["cat", "dog"])
    table = read(path, PHOTOS)
    assert table.columns["label"] == ["dog", "cat"]
    np.testing.assert_array_equal(table.row(1)["image"], images[1])
    assert table.where(1).endswith("a.npz, index 1")


def test_npz_without_names_and_with_many_hot_labels(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, text=np.array(["a", "b"]), label=[[3], [1]], labels=[[0, 1], [1, 1]], label_names=["x", "y"])
    del_names = tmp_path / "b.npz"
    np.savez(del_names, text=np.array(["a", "b"]), label=[[3], [1]])
    assert [Label().raw(value) for value in read(del_names, REVIEWS).columns["label"]] == [b"3", b"1"]
    assert read(path, {"text": Text(), "labels": Labels()}).columns["labels"] == [["y"], ["x", "y"]]
    assert "class 3 has no name; there are 2" in refusal(path)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((3, 2, 2)), "labels": np.zeros(2, int)}, ["same length", "image: 3, label: 2"]),
        ({"images": np.zeros((3, 2, 2))}, ["no column 'label'", "'images'"]),
        ({"images": np.zeros((3, 2, 2)), "label": np.eye(3)}, ["one label per row", "(3, 3)", "argmax"]),
        ({"images": np.zeros((0, 2, 2)), "label": np.zeros(0, int)}, ["no rows"]),
        ({"images": np.zeros((1, 2, 2)), "label": np.int64(1)}, ["single value"]),
        ({"images": np.zeros((1, 2, 2)), "label": np.array([{"a": 1}], object)}, ["'label' cannot be read"]),
        ({"images": np.zeros((2, 2, 2)), "label": np.array([0.0, np.nan])}, ["index 1", "is empty"]),
    ],
)
def test_refused_npz(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    message = refusal(tmp_path / "a.npz", PHOTOS)
    for word in words:
        assert word in message


@pytest.mark.parametrize("source", ["nowhere/reviews.csv", "~/nowhere-at-all"])
def test_path_that_does_not_exist(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    message = refusal(source)
    assert str(tmp_path) in message
    assert "tfds:NAME" in message


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "a.csv", "text,label\na,b\n")
    assert len(read("~/a.csv", REVIEWS)) == 1
