"""The stages of a forecaster, its training windows, and forecasts with options of each request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Count, is_missing_number, tensor_specs, to_batch
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.lazy import keras, tf
from dlkit.stages import Stages, chain
from dlkit.tasks.forecasting.columns import FEW, Levels, Series
from dlkit.tasks.forecasting.rows import Windows, cut, seasons_of, window_of
from dlkit.tasks.forecasting.stamps import later

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.forecasting.task import Forecaster


ENOUGH = 4096  # windows to choose the first weights by
MANY = 10_000  # rows to learn statistics from


def build_stages(task: Forecaster, examples: Table) -> Stages:
    """Learns the frequency, the window and what covariates look like, and builds the three models."""
    from dlkit.tasks.forecasting.answer_forecast import AnswerForecast
    from dlkit.tasks.forecasting.first_weights import begin_with_naive, trends_help
    from dlkit.tasks.forecasting.networks import Shape
    from dlkit.tasks.forecasting.read_series import ReadSeries, width_of

    windows = Windows(examples, task.stamps, task.step(examples))
    step = windows.step.anchored(map(windows.stamps_of, range(min(len(examples), MANY))))
    longest = max(sum(windows.lengths(row)) for row in range(len(examples)))
    task.step_ = step.as_list()
    stamps = task.stamps
    task.categories_ = {name: names for name in (*stamps.past, *stamps.known) if (names := _categories(examples, name))}
    task.set_columns()
    seasons = seasons_of(task, step)
    window = task.window or window_of(seasons, task.horizon, longest)
    facts: dict[str, Any] = {
        kind: {name: task.categories_.get(name) or _facts(examples, name) for name in getattr(stamps, kind)}
        for kind in ("past", "known")
    }
    facts["static"] = {name: _names(examples, name) for name in stamps.static}
    reader = ReadSeries(
        window,
        task.horizon,
        task.step_,
        fill="last" if task.fill == "refuse" else task.fill,
        gaps=task.fill != "refuse",
        off_grid=task.off_grid,
        duplicates=task.duplicates,
        usual=_usual(windows),
        lowest=_lowest(windows),
        only_meant=True,
        **facts,
        name="reader",
    )
    inputs = {
        name: keras.Input((None,) * len(column.shape), dtype=column.dtype, name=name)
        for name, column in task.inputs.items()
    }
    made = reader(inputs)
    preprocess = keras.Model(inputs, made, name="preprocess")
    known, past = width_of(reader.known), width_of(reader.past)
    levels = list(task.quantiles)
    shape = Shape(window, task.horizon, task.step_, seasons, levels, known, past, reader.static_width)
    try:
        some, truth = _some_windows(task, reader, windows)
    except tf.errors.InvalidArgumentError:  # encoding says which row it is
        network = _network(task, shape)
    else:
        network = _network(task, replace(shape, trends=trends_help(shape, some, truth)))
        begin_with_naive(network, {name: some[name] for name in network.input}, truth, levels)
    scaled = keras.Input(network.output["quantiles"].shape[1:], name="quantiles")
    others = {
        name: keras.Input((), dtype=made[name].dtype, name=name)
        for name in ("center", "scale", "origin", "anchor", "lowest")
        if name in made
    }
    answer = AnswerForecast(task.step_, levels, finite=True, name="answer")(scaled, **others)
    return Stages(preprocess, network, keras.Model({"quantiles": scaled, **others}, answer, name="postprocess"))


def _some_windows(task: Forecaster, reader: Any, windows: Windows) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Some of the training windows, as `windows_of` gives them."""
    table = cut(windows, reader.window, task.horizon)
    rows, count = [], 0
    for row in np.random.default_rng(task.seed).permutation(len(table)):
        if count < ENOUGH:
            rows.append(int(row))
            count += max(1, len(table.columns["following"][row]) - task.horizon + 1)
    columns = {**task.inputs, "following": task.target["following"]}
    raw = to_batch([table.raw(row, columns) for row in rows], columns)
    scaled, truth, _ = windows_of(reader, raw, raw["following"], task.horizon)
    return scaled, truth


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


LEVELS = 32  # at most, at which the usual deviation is kept


def _usual(windows: Windows) -> list[list[float]]:
    """At up to `LEVELS` levels of training series, ascending, how far they usually go from their mean.

    A level is the root of the mean square: it is that of a value which is as large as they are. Where values go through
    0, a level of 0 is among them: then a small value does not speak of a small series.
    """
    found = []
    for row in range(min(len(windows.table), MANY)):
        values = windows.values(row)
        values = values[np.isfinite(values)]
        if len(values) > 1 and values.std() > 0:
            found.append((float(np.sqrt(np.square(values).mean())), float(values.std()), float(values.min())))
    if not found:
        return [[1.0, 0.1]]
    sides = np.array_split(np.array(sorted(found)), min(LEVELS, len(found)))
    made = [[float(np.median(side[:, 0])), float(np.median(side[:, 1]))] for side in sides]
    return [[0.0, made[0][1]], *made] if min(lowest for *_, lowest in found) < 0 else made


def _lowest(windows: Windows) -> float | None:
    """0 where no value of the training series is below: counts, prices, rain. Else no bound."""
    lows = (windows.values(row) for row in range(len(windows.table)))
    return 0.0 if all((values >= 0)[np.isfinite(values)].all() for values in lows) else None


def _categories(examples: Table, name: str) -> list[str]:
    """The names of a covariate that is a category, none of one that is a number."""
    found: set[str] = set()
    for cells in examples.columns[name]:
        array = np.asarray(cells)
        if array.dtype.kind in "OUS":
            found |= {text for cell in array if not is_missing_number(cell) and not _is_number(text := str(cell))}
    return sorted(found)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _facts(examples: Table, name: str) -> dict[str, float]:
    """The mean and deviation of a covariate."""
    few = range(min(len(examples), MANY))
    values = np.concatenate([Series().raw(examples.columns[name][row]) for row in few])
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
        following: (batch, any) float64, what came after each history, NaN at the end for nothing.
        horizon: positive integer.

    Returns:
        What the reader makes of each window; the scaled values that followed, (windows, horizon) float32, NaN where
        unknown and after a window without a change; and which row each window is of, (windows,) int32. Windows without
        a known value before or after are left out.
    """
    following = tf.cast(following, features["y"].dtype)
    finite = tf.math.is_finite(following)
    places = tf.range(1, tf.shape(following)[1] + 1)
    count = tf.reduce_max(tf.pad(tf.where(finite, places, 0), [[0, 0], [1, 0]]), 1)
    last = tf.maximum(count - horizon, 0)
    origins = tf.reduce_max(last) + 1
    ahead = origins + horizon
    raw = reader.grid(features, ahead, training=True)
    padded = tf.pad(following, [[0, 0], [0, ahead]], constant_values=tf.constant(np.nan, following.dtype))
    series = tf.concat([raw["y"], padded[:, : origins - 1]], 1)
    cut = {"y": tf.signal.frame(series, reader.window, 1)}
    truth = tf.signal.frame(padded[:, : origins + horizon - 1], horizon, 1)
    for kind, size in (("past", reader.window), ("known", reader.window + horizon)):
        if kind in raw:
            cut[kind] = tf.signal.frame(raw[kind][:, : size + origins - 1], size, 1, axis=1)
    steps = tf.range(origins)
    anchor = raw["anchor"][:, tf.newaxis] if "anchor" in raw else None
    cut["origin"] = later(raw["origin"][:, tf.newaxis], tf.cast(steps, tf.int64), reader.step, anchor)
    for name in ("static", "anchor"):
        if name in raw:
            cut[name] = tf.repeat(raw[name][:, tf.newaxis], origins, axis=1)
    wanted = steps <= last[:, tf.newaxis]
    wanted &= tf.reduce_any(tf.math.is_finite(cut["y"]), 2) & tf.reduce_any(tf.math.is_finite(truth), 2)
    chosen = tf.where(wanted)
    scaled = reader.scaled({name: tf.gather_nd(values, chosen) for name, values in cut.items()})
    center, scale = scaled["center"][:, tf.newaxis], scaled["scale"][:, tf.newaxis]
    # A window without a change is answered by its value, whatever follows: there is nothing to learn from it.
    ahead_of_it = (tf.gather_nd(truth, chosen) - center) / tf.where(scale > 0, scale, tf.constant(np.nan, scale.dtype))
    return scaled, tf.cast(ahead_of_it, tf.float32), tf.cast(chosen[:, 0], tf.int32)


def shortened(tensors: dict[str, Any], truth: Any, share: float, seed: int, step: Any) -> tuple[dict[str, Any], Any]:
    """Some of the windows with the newest steps alone, from one to all, as a short history is read.

    Args:
        tensors: a batch of the network's tensors.
        truth: (batch, horizon) float32, scaled as they are.
        share: of the rows, between 0 and 1.
        seed, step: the draw is a function of both.

    Returns:
        The same, scaled as `ReadSeries` scales the newest steps: one or two values together with one that is off by the
        window's deviation, 1. Windows whose newest steps hardly vary stay whole.
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
    own = tf.sqrt(squares / count)
    scale = tf.where(count < FEW, tf.sqrt((squares + 1.0) / (count + 1.0)), own)
    short = (kept[:, tf.newaxis] < width) & some & (scale >= QUIET)
    center, scale = tf.where(short, center, 0.0), tf.where(short, scale, 1.0)
    left, newest = tf.where(short, left, there), newest | ~short
    return {**tensors, "values": tf.where(newest, (values - center) / scale, 0.0), "there": left}, (
        truth - center
    ) / scale


QUIET = (
    1 / 3
)  # of a window's deviation: newest steps that vary less are not cut out, as what follows is far off in theirs


def forecast_signature(task: Forecaster) -> Signature:
    """A history, a horizon up to the trained one and levels of quantiles, to the forecast of so many steps."""
    from dlkit.serving.signature import Signature

    preprocess, network, postprocess = task.stages_.serving_models()
    layer = postprocess.get_layer("answer")
    run = chain(preprocess, network, postprocess)

    def forecast(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return layer.at(run({name: raw[name] for name in task.inputs}), raw["horizon"], raw["levels"])

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(raw["ds"])[0]
        steps = (task.horizon + 1) // 2 if layer.finite else task.horizon  # else its answer would hold NaN
        levels = tf.tile([[task.quantiles[0], 0.5]], [rows, 1])
        return {**raw, "horizon": tf.fill([rows], steps), "levels": levels}

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
    (made,) = task.call_signature("forecast", [{**history, "horizon": horizon, "levels": levels}])
    quantiles = made["quantiles"][:horizon]
    return {
        "ds": task.answer["ds"].show(made["ds"][:horizon]),
        "forecast": made["forecast"][:horizon].tolist(),
        "quantiles": {f"{level:g}": quantiles[:, place].tolist() for place, level in enumerate(levels)},
    }
