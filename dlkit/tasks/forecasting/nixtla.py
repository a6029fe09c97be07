"""Rows of a table of forecasts, with the names that Nixtla's libraries (statsforecast, neuralforecast) give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def quantile_column(level: float) -> str:
    """The column of a quantile, as Nixtla names the bounds of intervals: `yhat-lo-80` for 0.1, `yhat-hi-80` for 0.9."""
    return f"yhat-{'lo' if level < 0.5 else 'hi'}-{round(100 * abs(1 - 2 * level), 4):g}"


def forecast_rows(series: Any, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answer to one series, as `Forecaster.present` gives it, as rows of a long table: one for each step ahead."""
    columns = {"ds": answer["ds"], "yhat": answer["forecast"]}
    columns |= {quantile_column(float(level)): of for level, of in answer["quantiles"].items() if float(level) != 0.5}
    return [
        {"unique_id": series, **dict(zip(columns, cells, strict=True))} for cells in zip(*columns.values(), strict=True)
    ]
