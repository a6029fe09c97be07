"""Answers in the form that SQuAD's official evaluation reads."""

from __future__ import annotations

import collections
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlkit.durable import write_atomic
from dlkit.errors import DataError


def write_predictions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One JSON object from the id of each question to the text of its answer, "" for none.

    Raises:
        DataError: a question has no id, or two have one.
    """
    nameless = next((row["row"] for row in rows if not row["id"]), None)
    if nameless is not None:
        raise DataError(f"{nameless} has no `id`, which SQuAD's prediction file needs. Write jsonl, or add ids.")
    often = collections.Counter(row["id"] for row in rows).most_common(1)
    if often and often[0][1] > 1:
        raise DataError(
            f"{often[0][1]} questions have the id {often[0][0]!r}: SQuAD's prediction file has one answer per "
            "id. Write jsonl."
        )
    text = json.dumps({row["id"]: row["text"] for row in rows}, ensure_ascii=False)
    write_atomic(path, lambda file: file.write(text.encode()))
