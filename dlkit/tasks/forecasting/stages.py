"""The stages of a forecaster, its training windows, and forecasts with options of each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Count, tensor_specs
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.lazy import keras, tf
from dlkit.stages import Stages, chain
from dlkit.tasks.forecasting.columns import Levels
from dlkit.tasks.forecasting.rows import Windows
from dlkit.tasks.forecasting.stamps import later

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.forecasting.task import Forecaster


MANY = 10_000  # rows to learn statistics from


def build_stages(task: Forecaster, examples: Table) -> Stages:
    """Learns the frequency, the window and what covariates look like, and builds the three models."""
    from dlkit.tasks.forecasting.answer_forecast import AnswerForecast
    from dlkit.tasks.forecasting.networks import Shape
    from dlkit.tasks.forecasting.read_series import ReadSeries

    windows = Windows(examples, task.stamps, task.step(examples))
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
    from dlkit.tasks.forecasting.networks import (
        forecast_linear,
        forecast_mlp,
        forecast_rnn,
        forecast_tcn,
        forecast_transformer,
    )

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


def windows_of(reader: Any, features: dict[str, Any], following: Any, horizon: int) -> tuple[Any, Any, Any]:
    """Every origin of each row as a window of its own: the history's end, and each step after it that has a horizon
    ahead.

    Args:
        reader: the layer `ReadSeries` of the task.
        features: raw columns by name, of rows that may be of any length.
        following: (batch, any) float32, what came after each history, NaN at the end for nothing.
        horizon: positive integer.

    Returns:
        What the reader makes of each window; the scaled values that followed, (windows, horizon) float32, NaN where
        unknown; and which row each window is of, (windows,) int32. Windows without a known value before or after are
        left out.
    """
    finite = tf.math.is_finite(following)
    places = tf.range(1, tf.shape(following)[1] + 1)
    count = tf.reduce_max(tf.pad(tf.where(finite, places, 0), [[0, 0], [1, 0]]), 1)
    last = tf.maximum(count - horizon, 0)
    origins = tf.reduce_max(last) + 1
    ahead = origins + horizon
    raw = reader.grid(features, ahead, training=True)
    padded = tf.pad(following, [[0, 0], [0, ahead]], constant_values=np.nan)
    series = tf.concat([raw["y"], padded[:, : origins - 1]], 1)
    cut = {"y": tf.signal.frame(series, reader.window, 1)}
    truth = tf.signal.frame(padded[:, : origins + horizon - 1], horizon, 1)
    for kind, size in (("past", reader.window), ("known", reader.window + horizon)):
        if kind in raw:
            cut[kind] = tf.signal.frame(raw[kind][:, : size + origins - 1], size, 1, axis=1)
    steps = tf.range(origins)
    cut["origin"] = later(raw["origin"][:, tf.newaxis], tf.cast(steps, tf.int64), reader.step)
    if "static" in raw:
        cut["static"] = tf.repeat(raw["static"][:, tf.newaxis], origins, axis=1)
    wanted = steps <= last[:, tf.newaxis]
    wanted &= tf.reduce_any(tf.math.is_finite(cut["y"]), 2) & tf.reduce_any(tf.math.is_finite(truth), 2)
    chosen = tf.where(wanted)
    scaled = reader.scaled({name: tf.gather_nd(values, chosen) for name, values in cut.items()})
    center, scale = scaled["center"][:, tf.newaxis], scaled["scale"][:, tf.newaxis]
    return scaled, (tf.gather_nd(truth, chosen) - center) / scale, tf.cast(chosen[:, 0], tf.int32)


def shortened(
    tensors: dict[str, Any], truth: Any, share: float, typical: float, seed: int, step: Any
) -> tuple[dict[str, Any], Any]:
    """Some of the windows with the newest steps alone, from one to all, as a short history is read.

    Args:
        tensors: a batch of the network's tensors.
        truth: (batch, horizon) float32, scaled as they are.
        share: of the rows, between 0 and 1.
        typical: as of `ReadSeries`; here in units of the window's deviation, 1.
        seed, step: the draw is a function of both.
    """
    values, there = tensors["values"], tensors["there"]
    rows, width = tf.shape(values)[0], values.shape[1]
    draws = tf.random.stateless_uniform([rows, 2], [seed, tf.cast(step, tf.int32)])
    kept = tf.where(draws[:, 0] < share, tf.cast(float(width) ** draws[:, 1], tf.int32), width)
    newest = tf.range(width) >= width - kept[:, tf.newaxis]
    left = tf.where(newest, there, 0)
    some = tf.reduce_any(left > 0, 1, keepdims=True)
    left, newest = tf.where(some, left, there), newest | ~some
    weight = tf.cast(left, tf.float32)
    count = tf.maximum(tf.reduce_sum(weight, 1, keepdims=True), 1.0)
    center = tf.reduce_sum(weight * values, 1, keepdims=True) / count
    squares = tf.reduce_sum(weight * tf.square(values - center), 1, keepdims=True)
    scale = tf.sqrt((squares + 1.0) / (count + 1.0))
    short = kept[:, tf.newaxis] < width
    center, scale = tf.where(short & some, center, 0.0), tf.where(short & some, scale, 1.0)
    made = {**tensors, "values": tf.where(newest, (values - center) / scale, 0.0), "there": left}
    return made, (truth - center) / scale


def forecast_signature(task: Forecaster) -> Signature:
    """A history, a horizon up to the trained one and levels of quantiles, to the forecast of so many steps."""
    from dlkit.serving.signature import Signature

    preprocess, network, postprocess = task.stages_.answering()
    layer = postprocess.get_layer("answer")
    run = chain(preprocess, network, postprocess)

    def forecast(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return layer.at(run({name: raw[name] for name in task.inputs}), raw["horizon"], raw["levels"])

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(raw["ds"])[0]
        levels = tf.tile([[task.quantiles[0], 0.5]], [rows, 1])
        return {**raw, "horizon": tf.fill([rows], (task.horizon + 1) // 2), "levels": levels}

    columns = {
        **task.inputs,
        "horizon": Count(optional=True, default=task.horizon),
        "levels": Levels(optional=True, default=task.quantiles),
    }
    return Signature("forecast", forecast, tensor_specs(columns), example=example, columns=columns)


def forecast(
    task: Forecaster, history: dict[str, Any], horizon: int | None, levels: Sequence[float] | None
) -> dict[str, Any]:
    """One answer; see `Forecaster.forecast`."""
    missing = [name for name in task.inputs if name not in history]
    if missing:
        raise DataError(f"the history needs {', '.join(task.inputs)}. There is no {missing[0]!r}.")
    horizon = task.horizon if horizon is None else horizon
    levels = list(task.quantiles if levels is None else levels)
    (made,) = task.ask("forecast", [{**history, "horizon": horizon, "levels": levels}])
    quantiles = made["quantiles"][:horizon]
    return {
        "ds": task.answer["ds"].show(made["ds"][:horizon]),
        "forecast": made["forecast"][:horizon].tolist(),
        "quantiles": {f"{level:g}": quantiles[:, place].tolist() for place, level in enumerate(levels)},
    }
