"""Documents in files: read in parts, cut where no word is cut, and refused by line where they are no text."""

import gzip
import itertools

import pytest

from dlkit.data.read import read
from dlkit.errors import DataError
from dlkit.tasks.language_model.documents import (
    DocumentText,
    FileSpan,
    cut_document,
    find_boundary,
    iterate_blocks,
    open_document,
)

COLUMNS = {"text": DocumentText()}


def texts_of(table):
    return [DocumentText().raw(value).decode() for value in table.columns["text"]]


def test_a_text_file_is_one_document(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffEin Übermut.\r\n\nEnde\n".encode())
    table = read(str(tmp_path / "a.txt"), COLUMNS)
    assert texts_of(table) == ["Ein Übermut.\r\n\nEnde\n"]


def test_a_folder_has_a_document_in_each_text_file(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.txt").write_text("two")
    (tmp_path / "1.txt").write_text("one")
    with gzip.open(tmp_path / "3.txt.gz", "wt") as file:
        file.write("three")
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    table = read(str(tmp_path), COLUMNS)
    assert texts_of(table) == ["one", "three", "two"]
    assert table.where(2).endswith("2.txt")
    assert any("1 file" in remark and ".pdf" in remark for remark in table.remarks)


def test_tables_hold_documents_too(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    assert texts_of(read(str(tmp_path / "a.jsonl"), COLUMNS)) == ["one", "two"]


def test_a_file_in_another_encoding_is_refused_by_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\nna\xefve\n")
    with pytest.raises(DataError, match=r"line 2.*0xef.*iconv"):
        read(str(tmp_path / "a.txt"), COLUMNS)
    (tmp_path / "b.txt").write_text("fine")
    table = read(str(tmp_path), COLUMNS)
    assert texts_of(table) == ["fine"]
    assert any("1 of 2 files skipped" in remark for remark in table.remarks)
    with pytest.raises(DataError, match="line 2"):
        read(str(tmp_path), COLUMNS, strict=True)


def test_a_character_may_lie_on_the_edge_of_what_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr("dlkit.tasks.language_model.documents.CHECKED_BYTES", 3)
    (tmp_path / "a.txt").write_text("äöüß€")
    assert open_document(tmp_path / "a.txt", "a.txt").read().decode() == "äöüß€"
    (tmp_path / "a.txt").write_bytes("äöü".encode()[:-1])
    with pytest.raises(DataError, match="not UTF-8"):
        open_document(tmp_path / "a.txt", "a.txt")


def test_a_file_that_shrinks_is_reported(tmp_path):
    (tmp_path / "a.txt").write_text("0123456789")
    span = open_document(tmp_path / "a.txt", "a.txt")
    (tmp_path / "a.txt").write_text("01")
    with pytest.raises(DataError, match="changed"):
        span.read()


@pytest.mark.parametrize("kind", [str, bytes, FileSpan])
def test_blocks_make_up_the_document_and_cut_no_word(tmp_path, kind):
    text = "".join(f"Wort{number} äußerst lang{'.' if number % 7 else chr(10)}" for number in range(300))
    (tmp_path / "a.txt").write_text(text)
    value = {
        str: text, bytes: text.encode(), FileSpan: FileSpan(tmp_path / "a.txt", 0, len(text.encode()))
    }[kind]  # fmt: skip
    blocks = [DocumentText().raw(block) for block in iterate_blocks(value, 256)]
    assert b"".join(blocks) == text.encode()
    assert len(blocks) > 10
    assert all(len(block) <= 256 for block in blocks)
    assert all(block.endswith(b"\n") or after.startswith(b" ") for block, after in itertools.pairwise(blocks))


def test_text_without_blanks_is_cut_between_characters():
    text = "漢字かな交じり文" * 40
    blocks = list(iterate_blocks(text, 100))
    assert "".join(block.decode() for block in blocks) == text


def test_boundaries():
    assert find_boundary(b"one two\nthree") == 8
    assert find_boundary(b"one two three") == 7
    assert find_boundary(b"a bcdefghijk") == 11  # the blank in the first half does not count


def test_a_document_is_cut_at_bytes(tmp_path):
    (tmp_path / "a.txt").write_text("0123456789")
    span = FileSpan(tmp_path / "a.txt", 2, 8)
    assert [part.read() for part in cut_document(span, [1, 4])] == [b"2", b"345", b"67"]
    assert cut_document("abcdef", [2]) == [b"ab", b"cdef"]
