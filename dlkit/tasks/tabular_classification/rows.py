"""Rows of a table with labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlkit.classification.inspect_labels import inspect_labels, read_labels
from dlkit.classification.labels import LabelRows, check_labels
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import Report
from dlkit.rows import Rows
from dlkit.tabular.inspect_table import inspect_table
from dlkit.tabular.linear_baseline import predict_linear
from dlkit.tabular.split_rows import split_by_column
from dlkit.tasks.tabular_classification.metrics import score_probabilities

if TYPE_CHECKING:
    from dlkit.tasks.tabular_classification.task import TabularClassifier

EPSILON = 1e-7  # lower bound of scores in the logarithm


class ClassifiedRows(LabelRows):
    """Rows of a table with labels."""

    task: TabularClassifier

    def cleaned(self) -> Self:
        """Return the rows with a label of at least one target, with a remark on the others."""
        if not self._several:
            return self
        known = np.array([self._labels(name) for name in self.task.target_names], object).astype(bool).any(axis=0)
        if known.all():
            return self
        if not known.any():
            raise DataError(f"{self.table.source}: no row has a label of {', '.join(self.task.target_names)}.")
        rows = self.with_table(self.table.take(np.flatnonzero(known).tolist()))
        remark = f"{int((~known).sum())} rows without a label are left out, the first: "
        rows.table.remarks = [*self.table.remarks, remark + self.table.where(int(np.argmin(known)))]
        return rows

    def one_hot(self) -> dict[str, np.ndarray]:
        """Return for each target (rows, labels) float64 of zeros and ones, NaN where the label is not known."""
        encoded = {}
        for name in self.task.target_names:
            known = {label: number for number, label in enumerate(self.task.labels_of(name))}
            numbers = np.array([known.get(label, -1) for label in self._labels(name)])
            encoded[name] = np.where(numbers[:, None] < 0, np.nan, np.eye(len(known))[numbers])
        return encoded

    def inspect(self, report: Report, validation: Self | None) -> None:
        truth = ["; ".join(names) for names in zip(*map(self._labels, self.task.target_names), strict=True)]
        inspect_table(report, self.task, self.table, truth)
        Rows.inspect(self, report, validation)
        inspect_labels(report, self, validation, self.task.target_names)

    def continued_from(self, model: Any) -> dict[str, Any]:
        if not self._several:
            return super().continued_from(model)
        self.check()
        return {}

    def new_labels(self, known: Sequence[str]) -> list[str]:
        return [] if self._several else super().new_labels(known)

    def check(self) -> None:
        for name in self.task.target_names:
            check_labels(self.table, self.task.target[name], self.task.labels_of(name), name)

    def classes_of(self, row: int) -> Iterable[str]:
        if not self._several:
            return super().classes_of(row)
        columns = {name: self.task.target[name] for name in self.task.target_names}
        named = self.table.raw(row, columns)
        return [f"{name}: {label.decode()}" for name, label in named.items() if label]

    def baseline_metrics(self, targets: dict[str, list]) -> dict[str, Any]:
        task = self.task
        logits = predict_linear(task.linear_model_, task.inputs, self.table, task.stages_.preprocess)
        if logits is None or task.linear_labels_ != task.labels_:
            return {}
        metrics: dict[str, Any] = {}
        parts = np.split(1 / (1 + np.exp(-logits)), np.cumsum(task.sizes)[:-1], axis=1)
        for name, scores in zip(task.target_names, parts, strict=True):
            index = {label.encode(): number for number, label in enumerate(task.labels_of(name))}
            known = [row for row, label in enumerate(targets[name]) if label]
            true = np.array([index[targets[name][row]] for row in known])
            scores = scores[known] / np.maximum(scores[known].sum(axis=1, keepdims=True), EPSILON)
            of_true = scores[np.arange(len(true)), true]
            metrics |= {
                task.answer_name("logistic_accuracy", name): float((scores.argmax(axis=1) == true).mean()),
                task.answer_name("logistic_auc", name): score_probabilities(true, scores)["auc"],
                task.answer_name("logistic_log_loss", name): float(-np.log(np.clip(of_true, EPSILON, 1)).mean()),
            }
        return metrics

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        if not self._several:
            return super().with_errors(row, target, answer)
        made: dict[str, Any] = {}
        for name in self.task.target_names:
            kinds = {kind: answer[f"{kind}_{name}"] for kind in ("label", "score", "labels", "scores")}
            true = target[name].decode()
            scores = dict(zip(kinds["labels"], kinds["scores"], strict=True))
            made |= {f"true_{name}": true or None, **{f"{kind}_{name}": value for kind, value in kinds.items()}}
            made |= {
                f"correct_{name}": kinds["label"] == true if true else None,
                f"true_score_{name}": scores.get(true),
            }
        return [made]

    @property
    def _several(self) -> bool:
        return len(self.task.target_names) > 1

    def _labels(self, name: str) -> list[str]:
        return [label for (label,) in read_labels(self.table, self.task.target[name], name)]

    def _split(self, fraction: float) -> tuple[Table, Table]:
        return split_by_column(self.task, self.table, fraction, self.task.seed) or super()._split(fraction)
