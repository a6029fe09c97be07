"""Pairs of texts that teach nothing or the wrong thing: empty sides, absurd lengths, repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlkit.data.bytes import cell_text
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError
from dlkit.hparams import nearest
from dlkit.options import option
from dlkit.report import Report
from dlkit.rows import Rows
from dlkit.text.inspect_texts import inspect_shared_rows

if TYPE_CHECKING:
    from dlkit.tasks.translation.task import Translator
    from dlkit.training.store import Store

SLACK = 10  # characters added to both sides before their lengths are compared: "No." may stand for a sentence
_TOLD = {
    "empty": "with an empty side",
    "ratio": "with one side more than {ratio:g} times as long as the other, in characters",
    "duplicate": "that are duplicates",
}


def check_reasons(drop: str) -> list[str]:
    """The parts of "empty+ratio+duplicate", or none. Raises HparamError for one that there is not."""
    reasons = [reason.strip() for reason in drop.split("+") if reason.strip()]
    for reason in reasons:
        if reason not in _TOLD:
            raise HparamError(
                f"{option('drop')} has no filter {reason!r}. {nearest(reason, _TOLD)} Or a sum such as empty+ratio."
            )
    return reasons


def select_pairs(table: Table, names: Sequence[str], drop: str, ratio: float) -> Table:
    """The pairs of a table without those that are dropped.

    Args:
        table: with a column of texts for each of two `names`.
        names: of the sides.
        drop: the reasons for which pairs are left out: "empty", "ratio", "duplicate", joined by +. Others are counted.
        ratio: how many times as long one side must be.

    Returns:
        A table of what is left, with a remark for each reason that some pair has.

    Raises:
        DataError: nothing is left.
    """
    dropped = check_reasons(drop)
    first, second = ([cell_text(value) for value in table.columns[name]] for name in names)
    lengths = np.array([[len(one.strip()), len(other.strip())] for one, other in zip(first, second, strict=True)])
    short, long = lengths.min(axis=1), lengths.max(axis=1)
    pairs = list(zip(first, second, strict=True))
    first_row = {pair: row for row, pair in reversed(list(enumerate(pairs)))}
    found = {
        "empty": short == 0,
        "ratio": (short > 0) & (long + SLACK > ratio * (short + SLACK)),
        "duplicate": np.array([first_row[pair] < row for row, pair in enumerate(pairs)]),
    }
    remarks, keep = [], np.ones(len(table), bool)
    for reason, rows in found.items():
        if rows.any():
            verdict = "dropped" if reason in dropped else f"kept ({option('drop')} may name {reason!r})"
            told = _TOLD[reason].format(ratio=ratio)
            remarks.append(f"{rows.sum()} of {len(table)} pairs {told}: {verdict}")
        if reason in dropped:
            keep &= ~rows
    if not keep.any():
        raise DataError(f"{table.source}: no pair is left. {'; '.join(remarks)}.")
    kept = table.take(np.flatnonzero(keep).tolist())
    kept.remarks = [*table.remarks, *remarks]
    return kept


class PairRows(Rows):
    """Pairs of texts, of which training drops some."""

    task: Translator

    def cleaned(self) -> Self:
        return self.with_table(select_pairs(self.table, ("source", "target"), self.task.drop, self.task.max_ratio))

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        sources, targets = ([cell_text(value) for value in self.table.columns[name]] for name in ("source", "target"))
        pairs = list(zip(sources, targets, strict=True))
        same = [row for row, (one, other) in enumerate(pairs) if one.strip() == other.strip()]
        if len(same) > len(sources) / 10:
            report.add_warning(
                f"{len(same)} of {len(sources)} pairs have identical source and target", map(self.table.where, same)
            )
        if validation is not None:
            inspect_shared_rows(report, self.table, validation.table, ("source", "target"), "pairs")

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """chrF of the row, 0 to 100."""
        from dlkit.tasks.translation.metrics import chrf_of

        del row
        true = target["target"].decode(errors="replace")
        return [{"true_target": true, **answer, "chrf": chrf_of(answer["translation"], true)}]

    def remarks(self, store: Store) -> list[str]:
        full = store.every(lambda row: row[0]["token_ids"])[:, -1] > 0
        written = store.every(lambda row: row[0]["decoder_ids"])[:, -1] > 0
        cut = written & (store.every(lambda row: row[1]["logits"])[:, -1] == 0)
        if not (full | cut).any():
            return []
        limit = f"{option('max_tokens')} ({self.task.max_tokens})"
        return [
            f"of {len(full)} pairs, {full.sum()} sources reach or exceed {limit} and are truncated there; "
            f"{cut.sum()} targets are truncated"
        ]
