"""Summary of a task in five lines, for `repr`."""

from __future__ import annotations

from typing import Any

from dlkit.best_epoch import best_epoch_index
from dlkit.hparams import summary

_LINE = 160  # characters; what is longer is cut


def summarize_task(task: Any) -> str:
    """Summarize a task: its class, hyperparameters that are not defaults, training data and metric.

    Examples:
        >>> print(task)
        SentimentClassifier: Texts to labels, or to one label.
          options: epochs=3, network='transformer'
          fitted: yes, best epoch 2 of 3
          rows: 320 of reviews.csv
          metric: accuracy 0.9500, baseline 0.5000, on 80 validation rows
    """
    lines = {"options": _options(task), "fitted": _fitted(task), "rows": _rows(task), "metric": _metric(task)}
    shown = (f"  {name}: {text}" for name, text in lines.items())
    return "\n".join(map(_shorten, [f"{type(task).__name__}: {summary(type(task))}", *shown]))


def _options(task: Any) -> str:
    defaults = type(task)().hparams
    others = [f"{name}={value!r}" for name, value in task.hparams.items() if value != defaults[name]]
    return ", ".join(others) or "the defaults"


def _fitted(task: Any) -> str:
    if not hasattr(task, "stages_"):
        return "no"
    epochs = len(task.history_.get("loss", ()))
    return f"yes, best epoch {best_epoch_index(task) + 1} of {epochs}" if epochs else "yes"


def _rows(task: Any) -> str:
    found = task.fingerprint_
    return f"{found['rows']:,} of {found['source']}" if "rows" in found and "source" in found else "none"


def _metric(task: Any) -> str:
    """Return the primary metric of the last evaluation or, without one, of the validation rows."""
    name, tested, best = task.primary_metric, task.last_evaluation_, task.best_epoch_
    evaluated = name in tested.get("metrics", {})
    found = tested["metrics"] if evaluated else best
    if name not in found:
        return "none"
    base = found.get(f"baseline_{name}")
    compared = f", baseline {base:.4f}" if isinstance(base, float) else ""
    rows = f"{tested['rows']:,} rows of {tested['source']}" if evaluated else f"{best.get('rows', 0):,} validation rows"
    return f"{name} {found[name]:.4f}{compared}, on {rows}"


def _shorten(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[: _LINE - 4]} ..."
