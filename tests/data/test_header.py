"""The columns of a source before it is read."""

import json

import numpy as np
import pandas
import pytest

from dlkit.data.header import header_of
from dlkit.data.table import Table
from dlkit.errors import DataError

ROWS = [{"a": 1, "b c": 2.5, "é": "x"}, {"a": 3, "b c": None, "é": ""}]
NAMES = ["a", "b c", "é"]


def test_every_source_with_names_tells_them(tmp_path):
    frame = pandas.DataFrame(ROWS)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "t.json").write_text(json.dumps(ROWS))
    np.savez(tmp_path / "t.npz", **{name: np.arange(2) for name in NAMES})
    files = [tmp_path / f"t.{suffix}" for suffix in ("csv", "tsv", "parquet", "jsonl", "json", "npz")]
    columns = frame.to_dict("list")
    for source in (*files, str(files[0]), frame, columns, ROWS, Table("rows", columns, str)):
        assert header_of(source) == NAMES, source


def test_a_source_without_names_has_no_header(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    for source in (tmp_path, tmp_path / "a.txt", tmp_path / "gone.csv", (np.zeros(3), np.zeros(3)), [], 3):
        assert header_of(source) == []


def test_a_broken_file_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    (tmp_path / "t.npz").write_bytes(b"PK")
    (tmp_path / "t.json").write_text("[{]")
    for suffix in ("parquet", "npz", "json"):
        with pytest.raises(DataError, match=f"t.{suffix}"):
            header_of(tmp_path / f"t.{suffix}")
