"""Predictions in the format that SQuAD's official evaluation script reads."""

from __future__ import annotations

import collections
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlkit.durable import write_atomic
from dlkit.errors import DataError


def write_predictions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a JSON object from the id of each question to the text of its answer, "" for no answer.

    Args:
        path: of the file to write.
        rows: answers with `id`, `text` and `row`, the name of a row in messages.

    Raises:
        DataError: a question has no id, or several have the same one.
    """
    row_without_id = next((row["row_ids"] for row in rows if not row["id"]), None)
    if row_without_id is not None:
        raise DataError(f"{row_without_id} has no `id`, which SQuAD's prediction file needs. Write jsonl, or add ids.")
    duplicates = collections.Counter(row["id"] for row in rows).most_common(1)
    if duplicates and duplicates[0][1] > 1:
        raise DataError(
            f"{duplicates[0][1]} questions have the id {duplicates[0][0]!r}: SQuAD's prediction file has one "
            "answer per id. Write jsonl."
        )
    text = json.dumps({row["id"]: row["text"] for row in rows}, ensure_ascii=False)
    write_atomic(path, lambda file: file.write(text.encode()))
