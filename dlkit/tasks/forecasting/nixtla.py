"""Rows of a table of forecasts, with the column names of Nixtla's libraries (statsforecast, neuralforecast)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def get_quantile_column(level: float) -> str:
    """Return the column of a quantile, named as Nixtla names interval bounds: `yhat-lo-80` for 0.1, `yhat-hi-80` for
    0.9.

    Examples:
        >>> get_quantile_column(0.1)
        'yhat-lo-80'
    """
    return f"yhat-{'lo' if level < 0.5 else 'hi'}-{round(100 * abs(1 - 2 * level), 4):g}"


def make_forecast_rows(unique_id: Any, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the forecast of one series as rows of a long table, one for each time step of the horizon.

    Args:
        unique_id: The id of the series.
        answer: The forecast, as `Forecaster.present` returns it.
    """
    columns = {"ds": answer["ds"], "yhat": answer["forecast"]}
    columns |= {
        get_quantile_column(float(level)): values
        for level, values in answer["quantiles"].items()
        if float(level) != 0.5
    }
    return [
        {"unique_id": unique_id, **dict(zip(columns, cells, strict=True))}
        for cells in zip(*columns.values(), strict=True)
    ]
