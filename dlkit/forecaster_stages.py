"""The stages of a forecaster, from what its training rows say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.data.table import Table
from dlkit.lazy import keras
from dlkit.task import Stages

if TYPE_CHECKING:
    from dlkit.tasks.forecasting import Forecaster

MANY = 10_000  # rows to learn statistics from


def build_stages(task: Forecaster, examples: Table) -> Stages:
    """Learns the frequency, the window and what covariates look like, and builds the three models."""
    from dlkit.layers.answer_forecast import AnswerForecast
    from dlkit.layers.read_series import ReadSeries
    from dlkit.networks.forecast_parts import Shape

    windows = task.windows(examples)
    step = windows.step
    longest = max(sum(windows.lengths(row)) for row in range(len(examples)))
    task.step_ = [step.months, step.seconds, step.whole]
    seasons = [task.season] if task.season else step.seasons()
    window = task.window or _window(seasons, task.horizon, longest)
    stamps = task.stamps
    facts: dict[str, Any] = {
        kind: {name: _facts(examples, name) for name in getattr(stamps, kind)} for kind in ("past", "known")
    }
    facts["static"] = {name: _names(examples, name) for name in stamps.static}
    fill = "last" if task.fill == "refuse" else task.fill
    typical = _typical(windows)
    reader = ReadSeries(window, task.horizon, task.step_, fill=fill, typical=typical, **facts, name="reader")
    inputs = {
        name: keras.Input((None,) * len(column.shape), dtype=column.dtype, name=name)
        for name, column in task.inputs.items()
    }
    preprocess = keras.Model(inputs, reader(inputs), name="preprocess")
    known, past = len(stamps.known), len(stamps.past)
    levels = list(task.quantiles)
    shape = Shape(window, task.horizon, task.step_, seasons, levels, known, past, reader.static_width)
    network = _network(task, shape)
    scaled = keras.Input(network.output["quantiles"].shape[1:], name="quantiles")
    others = {
        "center": keras.Input((), name="center"),
        "scale": keras.Input((), name="scale"),
        "origin": keras.Input((), dtype="int64", name="origin"),
    }
    answer = AnswerForecast(task.step_, levels, name="answer")(scaled, **others)
    return Stages(preprocess, network, keras.Model({"quantiles": scaled, **others}, answer, name="postprocess"))


def _window(seasons: list[int], horizon: int, longest: int) -> int:
    wanted = [(4 if season <= 200 else 2) * season for season in seasons if 2 * season <= longest]
    return max(1, min(max([2 * horizon, *wanted]), longest - 1))


def _network(task: Forecaster, shape: Any) -> keras.Model:
    from dlkit.networks.forecast_linear import forecast_linear
    from dlkit.networks.forecast_mlp import forecast_mlp
    from dlkit.networks.forecast_sequence import forecast_rnn, forecast_tcn, forecast_transformer

    if task.network in ("nlinear", "dlinear"):
        return forecast_linear(shape, parts="last" if task.network == "nlinear" else "trend", members=task.members)
    season = min(shape.seasons, default=1)
    usual = max(season, task.horizon)
    if task.network != "mlp":
        usual = max(7 * season if season <= 24 else 2 * season, 2 * task.horizon)
    options: dict[str, Any] = {
        "recent": min(task.recent or usual, shape.window),
        "members": task.members,
        "units": task.units,
        "dropout": task.dropout,
    }
    if task.network == "mlp":
        return forecast_mlp(shape, **options)
    if task.network == "tcn":
        return forecast_tcn(shape, **options)
    if task.network == "transformer":
        return forecast_transformer(shape, **options)
    return forecast_rnn(shape, cell=task.network, **options)


def _typical(windows: Any) -> float:
    """The usual deviation of a series over its mean."""
    ratios = []
    for row in range(min(len(windows.table), MANY)):
        values = windows.values(row)
        values = values[np.isfinite(values)]
        if len(values) > 1 and abs(values.mean()) > 0:
            ratios.append(float(values.std() / abs(values.mean())))
    return float(np.clip(np.median(ratios), 1e-3, 10.0)) if ratios else 0.1


def _facts(examples: Table, name: str) -> dict[str, float]:
    """The mean and deviation of a covariate."""
    few = range(min(len(examples), MANY))
    values = np.concatenate([np.asarray(examples.columns[name][row], np.float64) for row in few])
    values = values[np.isfinite(values)]
    deviation = float(values.std()) if len(values) else 0.0
    return {"mean": float(values.mean()) if len(values) else 0.0, "deviation": deviation if deviation > 0 else 1.0}


def _names(examples: Table, name: str) -> Any:
    """The mean and deviation of a static covariate that is a number in all rows, else its names."""
    texts = {str(text).strip() for text in examples.columns[name]} - {"", "nan", "None"}
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        return sorted(texts)
    if not len(numbers) or name == "unique_id":
        return sorted(texts)
    deviation = float(numbers.std())
    return {"mean": float(numbers.mean()), "deviation": deviation if deviation > 0 else 1.0}
