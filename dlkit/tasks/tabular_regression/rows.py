"""Rows of a table with numbers to predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import Report
from dlkit.rows import Rows
from dlkit.tabular.inspect_table import inspect_table
from dlkit.tabular.linear_baseline import predict_linear
from dlkit.tabular.split_rows import split_by_column
from dlkit.tasks.tabular_regression.metrics import score_numbers

if TYPE_CHECKING:
    from dlkit.tasks.tabular_regression.task import TabularRegressor
    from dlkit.training.store import Store


class NumberRows(Rows):
    """Rows of a table with numbers to predict."""

    task: TabularRegressor

    def cleaned(self) -> Self:
        """Return the rows with at least one target, with a remark on the others."""
        known = np.isfinite(self.read_targets()).any(axis=1)
        if known.all():
            return self
        if not known.any():
            raise DataError(f"{self.table.source}: no row has a value of {', '.join(self.task.target_names)}.")
        rows = self.with_table(self.table.take(np.flatnonzero(known).tolist()))
        remark = f"{int((~known).sum())} rows without a target are left out, the first: "
        rows.table.remarks = [*self.table.remarks, remark + self.table.where(int(np.argmin(known)))]
        return rows

    def read_targets(self) -> np.ndarray:
        """Return the targets, (rows, targets) float64, NaN where unknown."""
        names = self.task.target_names
        return np.array([self.table.raw_column(name, self.task.target[name]) for name in names], np.float64).T

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        targets = self.read_targets()
        inspect_table(report, self.task, self.table, targets[:, 0].tolist())
        for name, values in zip(self.task.target_names, targets.T, strict=True):
            known = values[np.isfinite(values)]
            if not len(known):
                report.add_error(f"the target {name!r} is missing in all training rows")
                continue
            report.statistics[f"target {name}"] = {
                "mean": float(known.mean()),
                "standard deviation": float(known.std()),
                "from": float(known.min()),
                "to": float(known.max()),
            }
            if not known.std():
                report.add_error(f"the target {name!r} has the same value in all rows: there is nothing to learn")
        if validation is not None:
            _inspect_repeats(report, self, validation)

    def calibrate(self, store: Store) -> dict[str, Any]:
        """Set the widths of the intervals, so that they have their coverage on these validation rows."""
        from dlkit.training.run_network import run_network

        outputs, targets = run_network(self.task.stages_.network, store)
        quantiles = outputs["value_quantiles"].mean(axis=1)
        lower, median, upper = (quantiles[..., level] for level in self.task.interval_levels)
        intervals = self.task.stages_.postprocess.get_layer("conformal_intervals")
        found: dict[str, Any] = intervals.calibrate(
            median, median - lower, upper - median, targets["value_quantiles"], self.task.coverage
        )
        return found

    def baseline_metrics(self, targets: dict[str, list]) -> dict[str, Any]:
        predicted = predict_linear(self.task.linear_model_, self.task.inputs, self.table, self.task.stages_.preprocess)
        if predicted is None:
            return {}
        scaling = self.task.stages_.postprocess.get_layer("target_scaling")
        values = scaling(predicted.astype(np.float32)).numpy()
        metrics: dict[str, Any] = {}
        for index, name in enumerate(self.task.target_names):
            true = np.array(targets[name], np.float64)
            known = np.isfinite(true)
            scores = score_numbers(true[known], values[known, index]) if known.any() else {}
            suffix = f"_{name}" if len(self.task.target_names) > 1 else ""
            metrics |= {f"ridge_{key}{suffix}": value for key, value in scores.items()}
        return metrics

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add the absolute error of each target, and whether its interval holds the true value."""
        made = super().with_errors(row, target, answer)[0]
        task = self.task
        columns = zip(
            task.target_names, *(task.answer_names(kind) for kind in ("value", "lower", "upper")), strict=True
        )
        for name, value, lower, upper in columns:
            suffix = value.removeprefix("value")
            known = bool(np.isfinite(target[name]))
            made[f"absolute_error{suffix}"] = abs(float(target[name]) - answer[value]) if known else None
            made[f"inside{suffix}"] = bool(answer[lower] <= target[name] <= answer[upper]) if known else None
        return [made]

    def _split(self, fraction: float) -> tuple[Table, Table]:
        return split_by_column(self.task, self.table, fraction, self.task.seed) or super()._split(fraction)


def _inspect_repeats(report: Report, rows: NumberRows, validation: NumberRows) -> None:
    """Warn about validation rows that also occur in the training data."""
    columns = rows.task.inputs
    seen = {str(rows.table.raw(row, columns)) for row in report.sample(len(rows))}
    both = [row for row in report.sample(len(validation), 0.9) if str(validation.table.raw(row, columns)) in seen]
    if both:
        report.add_warning(
            f"{len(both)} of {len(validation)} validation rows also occur in the training data",
            (validation.table.where(row) for row in both),
            "Metrics on them measure overfitting, not generalization: remove them from one of the two sets.",
        )
