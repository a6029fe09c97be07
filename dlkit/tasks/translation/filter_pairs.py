"""Filtering of pairs of texts: empty sides, implausible length ratios, duplicates."""

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

LENGTH_MARGIN = (
    10  # characters added to both lengths before they are compared: a short text may have a much longer translation
)
_FILTERS = {
    "empty": "with an empty side",
    "ratio": "with one side more than {ratio:g} times as long as the other, in characters",
    "duplicate": "that are duplicates",
}


def parse_filters(filters: str) -> list[str]:
    """Parse "empty+ratio+duplicate" into its filters. Raises HparamError for an unknown one.

    Examples:
        >>> parse_filters("empty+ratio")
        ['empty', 'ratio']
    """
    names = [name.strip() for name in filters.split("+") if name.strip()]
    for name in names:
        if name not in _FILTERS:
            raise HparamError(
                f"{option('filters')} has no filter {name!r}. {nearest(name, _FILTERS)} Or a sum such as empty+ratio."
            )
    return names


def apply_filters(table: Table, names: Sequence[str], filters: str, max_length_ratio: float) -> Table:
    """Filter the pairs of a table.

    Args:
        table: table with a column of texts for each of two `names`.
        names: names of the two columns.
        filters: the filters to apply: "empty", "ratio", "duplicate", joined by +. Pairs of the others are only counted.
        max_length_ratio: maximum length ratio of the two sides of a pair, in characters.

    Returns:
        Table of the remaining pairs, with a remark for each filter that matches a pair.

    Raises:
        DataError: no pair remains.
    """
    applied = parse_filters(filters)
    first, second = ([cell_text(value) for value in table.columns[name]] for name in names)
    lengths = np.array([[len(one.strip()), len(other.strip())] for one, other in zip(first, second, strict=True)])
    short, long = lengths.min(axis=1), lengths.max(axis=1)
    pairs = list(zip(first, second, strict=True))
    first_row = {pair: row for row, pair in reversed(list(enumerate(pairs)))}
    matches = {
        "empty": short == 0,
        "ratio": (short > 0) & (long + LENGTH_MARGIN > max_length_ratio * (short + LENGTH_MARGIN)),
        "duplicate": np.array([first_row[pair] < row for row, pair in enumerate(pairs)]),
    }
    remarks, keep = [], np.ones(len(table), bool)
    for name, rows in matches.items():
        if rows.any():
            action = "dropped" if name in applied else f"kept ({option('filters')} may include {name!r})"
            description = _FILTERS[name].format(ratio=max_length_ratio)
            remarks.append(f"{rows.sum()} of {len(table)} pairs {description}: {action}")
        if name in applied:
            keep &= ~rows
    if not keep.any():
        raise DataError(f"{table.source}: no pair remains. {'; '.join(remarks)}.")
    kept = table.take(np.flatnonzero(keep).tolist())
    kept.remarks = [*table.remarks, *remarks]
    return kept


class PairRows(Rows):
    """Pairs of texts, filtered for training."""

    task: Translator

    def cleaned(self) -> Self:
        return self.with_table(
            apply_filters(self.table, ("source", "target"), self.task.filters, self.task.max_length_ratio)
        )

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        sources, targets = ([cell_text(value) for value in self.table.columns[name]] for name in ("source", "target"))
        pairs = list(zip(sources, targets, strict=True))
        identical = [row for row, (one, other) in enumerate(pairs) if one.strip() == other.strip()]
        if len(identical) > len(sources) / 10:
            report.add_warning(
                f"{len(identical)} of {len(sources)} pairs have identical source and target",
                map(self.table.where, identical),
            )
        if validation is not None:
            inspect_shared_rows(report, self.table, validation.table, ("source", "target"), "pairs")

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add the chrF of the translation, from 0 to 100."""
        from dlkit.tasks.translation.metrics import compute_sentence_chrf

        del row
        reference = target["target"].decode(errors="replace")
        chrf = compute_sentence_chrf(answer["translation"], reference)
        return [{"true_target": reference, **answer, "chrf": chrf}]

    def remarks(self, store: Store) -> list[str]:
        is_full = store.every(lambda row: row[0]["token_ids"])[:, -1] > 0
        is_target_full = store.every(lambda row: row[0]["decoder_ids"])[:, -1] > 0
        is_cut = is_target_full & (store.every(lambda row: row[1]["logits"])[:, -1] == 0)
        if not (is_full | is_cut).any():
            return []
        limit = f"{option('max_tokens')} ({self.task.max_tokens})"
        return [
            f"of {len(is_full)} pairs, {is_full.sum()} sources reach or exceed {limit} and are truncated there; "
            f"{is_cut.sum()} targets are truncated"
        ]
