"""The columns of a classifier of several targets, and the names of its answers."""

from __future__ import annotations

from typing import Any

from dlkit.columns import Column, Label, Labels, Score, Scores, is_missing_number


class MaybeLabel(Label):
    """A label that may be unknown, as one of several targets: then an empty text."""

    kind = "label"
    may_be_empty = True
    may_be_missing = True

    def raw(self, value: Any) -> bytes:
        missing = not value.strip() if isinstance(value, (str, bytes)) else is_missing_number(value)
        return b"" if missing else super().raw(value)


def answer_columns(suffixes: list[str]) -> dict[str, Column]:
    """Return the answer of a classifier: the columns of each target, whose names end in its suffix.

    Examples:
        >>> list(answer_columns(["_a"]))
        ['label_a', 'score_a', 'labels_a', 'scores_a']
    """
    columns: dict[str, Column] = {}
    for suffix in suffixes:
        columns |= {
            f"label{suffix}": Label(),
            f"score{suffix}": Score(),
            f"labels{suffix}": Labels(ranked_by=f"scores{suffix}"),
            f"scores{suffix}": Scores(),
        }
    return columns
