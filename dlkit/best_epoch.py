"""Which epoch's weights are kept: that of the best validation metric and, among equals, of the lowest loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

TIE_TOLERANCE = 1e-6  # relative difference below which two values of a metric are one: what float32 rounds


class ValidationResult(NamedTuple):
    """What validation found after an epoch: the metric that decides, and the loss."""

    metric: float
    loss: float


class FittedTask(Protocol):
    """What tells which epoch was kept: a fitted task; see `dlkit.task.Task`."""

    monitor: str
    history_: dict[str, list[float]]
    best_epoch_: dict[str, Any]


def lower_is_better(monitor: str) -> bool:
    """Whether a metric of this name is better when it is lower."""
    return monitor.endswith("loss")


def is_better(monitor: str, now: ValidationResult, best: ValidationResult) -> bool:
    """Whether an epoch is better than the best one so far.

    A coarse metric, as the accuracy on a few rows, ties for many epochs while the network still learns: the loss then
    decides. What is not a number is worse than any number.
    """
    if math.isnan(now.metric) or math.isnan(best.metric):
        return math.isnan(best.metric) and not math.isnan(now.metric)
    if not math.isclose(now.metric, best.metric, rel_tol=TIE_TOLERANCE):
        return now.metric < best.metric if lower_is_better(monitor) else now.metric > best.metric
    return now.loss < best.loss or (math.isnan(best.loss) and not math.isnan(now.loss))


def best_epoch_index(task: FittedTask) -> int:
    """The epoch whose weights a fitted task has, counted from 0."""
    if "epoch" in task.best_epoch_:
        return int(task.best_epoch_["epoch"]) - 1
    # A model that was saved before this was written down: without validation the last epoch, else the first of a tie.
    monitored: Sequence[float] = task.history_.get(f"val_{task.monitor}", ())
    if not monitored:
        return len(next(iter(task.history_.values()), ())) - 1
    return monitored.index((min if lower_is_better(task.monitor) else max)(monitored))


def metrics_of_epoch(history: Mapping[str, list[float]], epoch: int) -> dict[str, float]:
    """The metrics of one epoch, of those that every epoch has: a changed run may have begun or ended some."""
    epochs = max(map(len, history.values()), default=0)
    return {name: values[epoch] for name, values in history.items() if len(values) == epochs}
