"""Select the best epoch: the one with the best validation metric and, among ties, the lowest loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

TIE_TOLERANCE = 1e-6  # relative difference below which two values of a metric are one: what float32 rounds


class ValidationResult(NamedTuple):
    """Validation results of one epoch: the monitored metric and the loss."""

    metric: float
    loss: float


class FittedTask(Protocol):
    """What is needed of a fitted task to find its best epoch; see `dlkit.task.Task`."""

    monitor: str
    history_: dict[str, list[float]]
    best_epoch_: dict[str, Any]


def lower_is_better(monitor: str) -> bool:
    """Return whether lower values of a metric of this name are better."""
    return monitor.endswith("loss")


def is_better(monitor: str, current: ValidationResult, best: ValidationResult) -> bool:
    """Return whether an epoch is better than the best one so far.

    A coarse metric, as the accuracy on a few rows, ties for many epochs while the network still learns: the loss then
    decides. What is not a number is worse than any number.
    """
    if math.isnan(current.metric) or math.isnan(best.metric):
        return math.isnan(best.metric) and not math.isnan(current.metric)
    if not math.isclose(current.metric, best.metric, rel_tol=TIE_TOLERANCE):
        return current.metric < best.metric if lower_is_better(monitor) else current.metric > best.metric
    return current.loss < best.loss or (math.isnan(best.loss) and not math.isnan(current.loss))


def best_epoch_index(task: FittedTask) -> int:
    """Return the index of the epoch whose weights a fitted task has, from 0."""
    return int(task.best_epoch_["epoch"]) - 1


def metrics_of_epoch(history: Mapping[str, list[float]], epoch: int) -> dict[str, float]:
    """Return the metrics of one epoch.

    Metrics that some epochs lack, because a resumed run changed them, are left out.
    """
    epochs = max(map(len, history.values()), default=0)
    return {name: values[epoch] for name, values in history.items() if len(values) == epochs}
