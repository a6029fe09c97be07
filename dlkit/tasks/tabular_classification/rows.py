"""Rows of a table with labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlkit.classification.inspect_labels import read_labels
from dlkit.classification.labels import LabelRows
from dlkit.data.table import Table
from dlkit.report import Report
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

    def inspect(self, report: Report, validation: Self | None) -> None:
        inspect_table(report, self.task, self.table, [str(name) for (name,) in read_labels(self.table, self._column)])
        super().inspect(report, validation)

    def baseline_metrics(self, targets: dict[str, list]) -> dict[str, Any]:
        logits = predict_linear(self.task.linear_model_, self.task.inputs, self.table, self.task.stages_.preprocess)
        if logits is None or self.task.linear_labels_ != self.task.labels_:
            return {}
        index = {name.encode(): number for number, name in enumerate(self.task.labels_)}
        true = np.array([index[name] for name in targets["label"]])
        scores = 1 / (1 + np.exp(-logits))
        scores /= np.maximum(scores.sum(axis=1, keepdims=True), EPSILON)
        of_true = scores[np.arange(len(true)), true]
        return {
            "logistic_accuracy": float((scores.argmax(axis=1) == true).mean()),
            "logistic_auc": score_probabilities(true, scores)["auc"],
            "logistic_log_loss": float(-np.log(np.clip(of_true, EPSILON, 1)).mean()),
        }

    @property
    def _column(self) -> Any:
        return self.task.target["label"]

    def _split(self, fraction: float) -> tuple[Table, Table]:
        return split_by_column(self.task, self.table, fraction, self.task.seed) or super()._split(fraction)
