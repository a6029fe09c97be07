"""Rows as files: csv, jsonl and parquet hold the same, and nothing is written over."""

import base64
import csv
import json

import numpy as np
import pytest

from dlkit.bulk.formats import check_new_file, write_rows
from dlkit.errors import DlkitError
from dlkit.vision.png import as_json

MASK = np.array([[0, 1], [2, 255]], np.uint8)
ROWS = [
    {"row": "a.csv, row 1", "label": 'x,"y"', "score": np.float32(0.5), "boxes": [[1.0, float("nan")]]},
    {"row": "a.csv, row 2", "label": "ä", "score": float("inf"), "id": 7},
    {"row": "a.csv, row 3", "label": "", "score": 1.0, "id": "seven"},
]
PLAIN = [
    {"row": "a.csv, row 1", "label": 'x,"y"', "score": 0.5, "boxes": [[1.0, None]]},
    {"row": "a.csv, row 2", "label": "ä", "score": None, "id": 7},
    {"row": "a.csv, row 3", "label": "", "score": 1.0, "id": "seven"},
]


def test_jsonl_is_strict_json_a_line(tmp_path):
    write_rows(tmp_path / "a.jsonl", ROWS)
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()] == PLAIN


def test_csv_has_all_columns_and_lists_as_json(tmp_path):
    write_rows(tmp_path / "a.CSV", ROWS)
    with (tmp_path / "a.CSV").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert table[0] == {"row": "a.csv, row 1", "label": 'x,"y"', "score": "0.5", "boxes": "[[1.0, null]]", "id": ""}
    assert table[1] == {"row": "a.csv, row 2", "label": "ä", "score": "", "boxes": "", "id": "7"}


def test_parquet_keeps_types_and_takes_columns_of_several_as_texts(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(tmp_path / "a.parquet", ROWS)
    table = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert table["score"] == [0.5, None, 1.0]
    assert table["boxes"] == [[[1.0, None]], None, None]
    assert table["id"] == [None, "7", "seven"]


def test_masks_are_png_in_base64():
    from PIL import Image

    text = json.loads(json.dumps({"mask": MASK, "list": np.arange(2)}, default=as_json))
    assert text["list"] == [0, 1]
    import io

    with Image.open(io.BytesIO(base64.b64decode(text["mask"]["b64"]))) as image:
        np.testing.assert_array_equal(np.asarray(image), MASK)
    with pytest.raises(TypeError, match="expected a JSON"):
        json.dumps({"other": object()}, default=as_json)


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "old.csv").write_text("mine")
    for name, words in (
        ("a.txt", r"`answers` must end in .csv, .jsonl, .ndjson, .parquet, .json"),
        ("old.csv", "already exists"),
        ("none/a.csv", "there is no folder"),
    ):
        with pytest.raises(DlkitError, match=words):
            check_new_file(tmp_path / name, "`answers`", [".json"])
    check_new_file(tmp_path / "a.json", "`answers`", [".json"])
