"""Rows of documents: held out, cut into windows through `regroup`, and what is said of them."""

import dataclasses

import numpy as np
import pytest

from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.rows import Encoded
from dlkit.tasks.language_model.documents import BLOCK_BYTES, DocumentText, FileSpan
from dlkit.tasks.language_model.rows import IS_LEARNED, PROMPT, TEXT, DocumentRows, split_ends


@dataclasses.dataclass
class Task:
    """What rows need to know of a task whose tokens are bytes."""

    context_length: int = 8
    stride: int = 0
    end_id: int = 2
    seed: int = 0
    mixture = None
    packs = True
    target = {TEXT: DocumentText()}


def rows_of(texts, prompts=None, **hparams):
    columns = {TEXT: list(texts)} | ({} if prompts is None else {PROMPT: list(prompts)})
    return DocumentRows(Task(**hparams), Table("texts", columns, lambda row: f"text {row}"))


def encode(rows, chunk=2):
    """Encode the bytes of each row, above 2, as the graph would."""
    table = rows.to_encode()
    for start in range(0, len(table), chunk):
        ids, is_learned, origins = [], [], []
        for row in range(start, min(start + chunk, len(table))):
            for name in (PROMPT, TEXT):
                data = DocumentText().raw(table.columns[name][row]) if name in table.columns else b""
                ids += [byte + 3 for byte in data]
                is_learned += [name == TEXT] * len(data)
                origins += [row] * len(data)
        tensors = {"token_ids": np.array(ids, np.int32), IS_LEARNED: np.array(is_learned, bool)}
        yield Encoded((tensors, {}), origins)


def windows_of(rows):
    chunks = list(rows.regroup(encode(rows)))
    tensors = {name: np.concatenate([chunk.rows[0][name] for chunk in chunks]) for name in chunks[0].rows[0]}
    return tensors, np.concatenate([chunk.rows[1]["logits"] for chunk in chunks])


def bytes_of(ids):
    return (ids[ids > 2] - 3).astype(np.uint8).tobytes()


def learned_bytes(targets):
    return sorted(bytes_of(targets))


def test_every_byte_is_learned_once_and_documents_end():
    texts = ["abc", "a longer document than a window", "x", "de"]
    rows = rows_of(texts)
    _, targets = windows_of(rows)
    assert learned_bytes(targets) == sorted("".join(texts).encode())
    assert (targets == 2).sum() == 4
    assert len(targets) <= rows.windows_per_row * len(rows.to_encode())
    assert rows.counts.documents == 4


def test_a_long_file_is_encoded_in_parts_as_one_document(tmp_path):
    text = ("word " * 9 + "\n").encode() * (3 * BLOCK_BYTES // 46)
    (tmp_path / "a.txt").write_bytes(text)
    rows = rows_of([FileSpan(tmp_path / "a.txt", 0, len(text)), "short"], context_length=1000)
    assert len(rows.to_encode()) >= 4
    _, targets = windows_of(rows)
    assert (targets == 2).sum() == 2
    assert (targets > 2).sum() == len(text) + 5
    full = targets[: len(text) // 1000].ravel()
    assert bytes_of(full) == text[: len(full)]
    (remark,) = [text for text in rows.remarks(None) if "longer than" in text]
    assert "1 of 2 documents" in remark


def test_prompts_are_read_and_responses_are_learned():
    rows = rows_of(["yes", "no"], ["is it?", "so?"], context_length=12)
    tensors, targets = windows_of(rows)
    assert learned_bytes(targets) == sorted(b"yesno")
    assert bytes_of(tensors["token_ids"]) == b"is it?yesso?no"


def test_empty_documents_are_dropped_and_counted():
    rows = rows_of(["one", "", "two", ""]).cleaned()
    assert len(rows) == 2
    assert rows.table.remarks == ("2 of 4 documents are empty: dropped",)
    assert len(rows_of(["", "x"], ["a prompt", ""]).cleaned()) == 2
    with pytest.raises(DataError, match="all 2 documents are empty"):
        rows_of(["", ""]).cleaned()


def test_of_few_documents_the_ends_are_held_out():
    train, held_out = rows_of(["one two three four five six seven eight nine ten\n" * 4]).hold_out(0.25)
    texts = [DocumentText().raw(rows.table.columns[TEXT][0]).decode() for rows in (train, held_out)]
    assert "".join(texts) == "one two three four five six seven eight nine ten\n" * 4
    assert texts[0].endswith("\n")
    assert "the last 25% of each" in train.table.remarks[-1]


def test_of_many_documents_some_are_held_out():
    train, held_out = rows_of([f"text {number}" for number in range(50)]).hold_out(0.1)
    assert (len(train), len(held_out)) == (45, 5)
    assert not set(train.table.columns[TEXT]) & set(held_out.table.columns[TEXT])


def test_a_text_that_is_too_short_cannot_be_split():
    with pytest.raises(DataError, match="too short"):
        split_ends(rows_of(["a"]).table, TEXT, 0.1)


def test_short_documents_that_leave_padding_are_said():
    rows = rows_of(["abc"], context_length=100)
    windows_of(rows)
    assert any("96% of the places of 1 windows are padding" in text for text in rows.remarks(None))
