"""The stages of a forecaster, its training windows, and the signature `forecast` with options for each request."""

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
from dlkit.tasks.forecasting.columns import MIN_VALUES_FOR_SCALE, Float64Series, QuantileLevels
from dlkit.tasks.forecasting.rows import (
    SeriesWindows,
    choose_context_length,
    cut_training_rows,
    get_season_lengths,
)
from dlkit.tasks.forecasting.timestamps import add_steps

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.forecasting.task import Forecaster


MAX_INITIALIZATION_WINDOWS = 4096  # training windows that initial weights are computed from
MAX_STATISTICS_ROWS = 10_000  # rows that statistics are computed from


def build_stages(task: Forecaster, examples: Table) -> Stages:
    """Learn the frequency, the context length and statistics from training rows, and build the three models."""
    from dlkit.tasks.forecasting.forecast_decoding import ForecastDecoding
    from dlkit.tasks.forecasting.initial_weights import (
        find_autoregression,
        initialize_from_naive,
        should_use_smoothing,
        should_use_trends,
    )
    from dlkit.tasks.forecasting.networks import NetworkSpec
    from dlkit.tasks.forecasting.series_preprocessing import SeriesPreprocessing, count_features

    windows = SeriesWindows(examples, task.timestamps, task.resolve_frequency(examples))
    rows = range(min(len(examples), MAX_STATISTICS_ROWS))
    frequency = windows.frequency.with_anchor(map(windows.get_timestamps, rows))
    longest = max(sum(windows.get_lengths(row)) for row in range(len(examples)))
    task.frequency_ = frequency.as_list()
    columns = task.timestamps
    task.categories_ = {
        name: categories
        for name in (*columns.historical_covariates, *columns.future_covariates)
        if (categories := _find_categories(examples, name))
    }
    task.set_columns()
    season_lengths = get_season_lengths(task, frequency)
    context_length = task.context_length or choose_context_length(season_lengths, task.horizon, longest)
    table = cut_training_rows(windows, context_length, task.horizon)
    num_windows = sum(_count_windows(table, task.horizon))
    statistics: dict[str, Any] = {
        kind: {
            name: task.categories_.get(name) or _compute_statistics(examples, name) for name in getattr(columns, kind)
        }
        for kind in ("historical_covariates", "future_covariates")
    }
    statistics["static_covariates"] = {
        name: _compute_static_statistics(examples, name) for name in columns.static_covariates
    }
    preprocessing = SeriesPreprocessing(
        context_length,
        task.horizon,
        task.frequency_,
        prior_scales=_compute_prior_scales(windows),
        fill="last" if task.fill == "raise" else task.fill,
        allow_gaps=task.fill != "raise",
        irregular=task.irregular,
        duplicates=task.duplicates,
        lower_bound=_compute_lower_bound(windows),
        smoothing=_choose_smoothing(task, season_lengths, context_length, num_windows),
        **statistics,
        name="series_preprocessing",
    )
    levels = list(task.quantile_levels)
    spec = NetworkSpec(
        context_length,
        task.horizon,
        task.frequency_,
        season_lengths,
        levels,
        future_features=count_features(preprocessing.future_covariates),
        historical_features=count_features(preprocessing.historical_covariates),
        static_features=count_features(preprocessing.static_covariates),
        use_smoothing=preprocessing.smoothing is not None,
    )
    try:
        sample, truth = _sample_training_windows(task, preprocessing, table)
    except tf.errors.InvalidArgumentError:  # encoding names the row
        network = _build_network(task, spec)
    else:
        spec = replace(spec, use_trends=should_use_trends(spec, sample, truth))
        spec = replace(spec, use_smoothing=should_use_smoothing(spec, sample, truth))
        autoregression = None if task.network in LINEAR else find_autoregression(spec, sample, truth)
        if autoregression:
            few = num_windows < MAX_UNTRAINED_WINDOWS
            share = autoregression.share if spec.use_smoothing else float(few)
            spec = replace(spec, lags=autoregression.lags, autoregression_share=share)
        network = _build_network(task, spec)
        initialize_from_naive(network, spec, sample, truth, autoregression)
    if not spec.use_smoothing:
        preprocessing.smoothing = None
    inputs = {
        name: keras.Input((None,) * len(column.shape), dtype=column.dtype, name=name)
        for name, column in task.inputs.items()
    }
    tensors = preprocessing(inputs)
    preprocess = keras.Model(inputs, tensors, name="preprocess")
    quantiles = keras.Input(network.output["quantiles"].shape[1:], name="quantiles")
    others = {
        name: keras.Input((), dtype=tensors[name].dtype, name=name)
        for name in ("center", "scale", "cutoff", "anchor_day", "lower_bound")
        if name in tensors
    }
    weight = 1.0 - (num_windows / MAX_UNTRAINED_WINDOWS) ** 2
    decoding = ForecastDecoding(
        task.frequency_, levels, weight if spec.has_untrained_member else None, name="forecast_decoding"
    )
    answer = decoding(quantiles, **others)
    return Stages(preprocess, network, keras.Model({"quantiles": quantiles, **others}, answer, name="postprocess"))


LINEAR = ("nlinear", "dlinear")  # networks that average no forecasts
# Training windows. The fewer there are, the more weight has a forecast that is not trained, by exponential smoothing or
# an autoregression; from so many on, a network learns what it would tell.
MAX_UNTRAINED_WINDOWS = 5000
MAX_SMOOTHED_SEASON = 60  # time steps
MIN_SMOOTHED_SEASONS = 2.75  # that a window must hold


def _choose_smoothing(task: Forecaster, season_lengths: list[int], context_length: int, num_windows: int) -> int | None:
    """Return the season length of the forecast by exponential smoothing, 1 for none; None for no such forecast."""
    if task.network in LINEAR or num_windows > MAX_UNTRAINED_WINDOWS:
        return None
    season_length = min(season_lengths, default=1)
    if season_length > MAX_SMOOTHED_SEASON:
        return 1
    return season_length if MIN_SMOOTHED_SEASONS * season_length <= context_length else None


def _count_windows(table: Table, horizon: int) -> list[int]:
    """Return the number of training windows of each row."""
    return [max(1, len(values) - horizon + 1) for values in table.columns["future_y"]]


def _sample_training_windows(
    task: Forecaster, preprocessing: Any, table: Table
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Return a random sample of the training windows, as `make_training_windows` does."""
    rows, count, counts = [], 0, _count_windows(table, task.horizon)
    for row in np.random.default_rng(task.seed).permutation(len(table)):
        if count < MAX_INITIALIZATION_WINDOWS:
            rows.append(int(row))
            count += counts[row]
    columns = {**task.inputs, "future_y": task.target["future_y"]}
    raw = to_batch([table.raw(row, columns) for row in rows], columns)
    scaled, truth, _ = make_training_windows(preprocessing, raw, raw["future_y"], task.horizon)
    return scaled, truth


def _build_network(task: Forecaster, spec: Any) -> keras.Model:
    from dlkit.tasks.forecasting.networks import (
        linear_forecaster,
        mlp_forecaster,
        rnn_forecaster,
        tcn_forecaster,
        transformer_forecaster,
    )

    if task.network == "nlinear" or task.network == "dlinear":
        return linear_forecaster(spec, variant=task.network, ensemble_size=task.ensemble_size)
    season_length = min(spec.season_lengths, default=1)
    encoder_length = max(season_length, task.horizon)
    if task.network != "mlp":
        seasons = 7 * season_length if season_length <= 24 else 2 * season_length
        encoder_length = max(seasons, 2 * task.horizon)
    options: dict[str, Any] = {
        "encoder_length": min(task.encoder_length or encoder_length, spec.context_length),
        "ensemble_size": task.ensemble_size,
        "width": task.width,
        "dropout": task.dropout,
    }
    if task.network == "mlp":
        return mlp_forecaster(spec, **options)
    if task.network == "tcn":
        return tcn_forecaster(spec, **options)
    if task.network == "transformer":
        return transformer_forecaster(spec, **options)
    return rnn_forecaster(spec, cell=task.network, **options)


MAX_PRIOR_SCALES = 32


def _compute_prior_scales(windows: SeriesWindows) -> list[list[float]]:
    """Return at up to `MAX_PRIOR_SCALES` levels of the training series, ascending, their usual standard deviation.

    A level is the root mean square of a series, that of a constant as large as its values. Where values are negative, 0
    is one of the levels: then a small value does not indicate a small series.
    """
    found = []
    for row in range(min(len(windows.table), MAX_STATISTICS_ROWS)):
        values = windows.get_values(row)
        values = values[np.isfinite(values)]
        if len(values) > 1 and values.std() > 0:
            found.append((float(np.sqrt(np.square(values).mean())), float(values.std()), float(values.min())))
    if not found:
        return [[1.0, 0.1]]
    groups = np.array_split(np.array(sorted(found)), min(MAX_PRIOR_SCALES, len(found)))
    scales = [[float(np.median(group[:, 0])), float(np.median(group[:, 1]))] for group in groups]
    return [[0.0, scales[0][1]], *scales] if min(lowest for *_, lowest in found) < 0 else scales


def _compute_lower_bound(windows: SeriesWindows) -> float | None:
    """Return 0 where no value of the training series is negative, as for counts and prices; else None."""
    rows = (windows.get_values(row) for row in range(len(windows.table)))
    return 0.0 if all((values >= 0)[np.isfinite(values)].all() for values in rows) else None


def _find_categories(examples: Table, name: str) -> list[str]:
    """Return the categories of a categorical covariate; none for a numeric one."""
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


def _compute_statistics(examples: Table, name: str) -> dict[str, float]:
    """Return the mean and standard deviation of a numeric covariate."""
    rows = range(min(len(examples), MAX_STATISTICS_ROWS))
    values = np.concatenate([Float64Series().raw(examples.columns[name][row]) for row in rows])
    values = values[np.isfinite(values)]
    deviation = float(values.std()) if len(values) else 0.0
    return {"mean": float(values.mean()) if len(values) else 0.0, "deviation": deviation if deviation > 0 else 1.0}


def _compute_static_statistics(examples: Table, name: str) -> Any:
    """Return the mean and standard deviation of a static covariate that is a number in all rows, else its
    categories."""
    texts = {str(text).strip() for text in examples.columns[name]} - {"", "nan", "None"}
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        return sorted(texts)
    if not len(numbers) or name == "unique_id":
        return sorted(texts)
    deviation = float(numbers.std())
    return {"mean": float(numbers.mean()), "deviation": deviation if deviation > 0 else 1.0}


def make_training_windows(
    preprocessing: Any, features: dict[str, Any], future_y: Any, horizon: int
) -> tuple[Any, Any, Any]:
    """Cut rows into training windows, one for each cutoff that has a whole horizon after it.

    The first cutoff of a row is the end of its history.

    Args:
        preprocessing: The layer `SeriesPreprocessing` of the task.
        features: Dict of the raw columns, of rows of any length.
        future_y: (batch, any) float64, the values after each history, padded by NaN at the end.
        horizon: Positive integer, in time steps.

    Returns:
        Tuple of what the layer returns for each window; the scaled future values, (windows, horizon) float32, NaN where
        a value is unknown and after a constant window; and the row of each window, (windows,) int32. Windows without an
        observed value in the context or in the horizon are left out.
    """
    future_y = tf.cast(future_y, features["y"].dtype)
    finite = tf.math.is_finite(future_y)
    positions = tf.range(1, tf.shape(future_y)[1] + 1)
    count = tf.reduce_max(tf.pad(tf.where(finite, positions, 0), [[0, 0], [1, 0]]), 1)
    last_cutoff = tf.maximum(count - horizon, 0)
    cutoffs = tf.reduce_max(last_cutoff) + 1
    steps_ahead = cutoffs + horizon
    aligned = preprocessing.align(features, steps_ahead, training=True)
    padded = tf.pad(future_y, [[0, 0], [0, steps_ahead]], constant_values=tf.constant(np.nan, future_y.dtype))
    series = tf.concat([aligned["y"], padded[:, : cutoffs - 1]], 1)
    context_length = preprocessing.context_length
    windows = {"y": tf.signal.frame(series, context_length, 1)}
    truth = tf.signal.frame(padded[:, : cutoffs + horizon - 1], horizon, 1)
    sizes = {"historical_covariates": context_length, "future_covariates": context_length + horizon}
    for kind, size in sizes.items():
        if kind in aligned:
            windows[kind] = tf.signal.frame(aligned[kind][:, : size + cutoffs - 1], size, 1, axis=1)
    steps = tf.range(cutoffs)
    anchor_day = aligned["anchor_day"][:, tf.newaxis] if "anchor_day" in aligned else None
    first = aligned["cutoff"][:, tf.newaxis]
    windows["cutoff"] = add_steps(first, tf.cast(steps, tf.int64), preprocessing.frequency, anchor_day)
    for name in ("static_covariates", "anchor_day"):
        if name in aligned:
            windows[name] = tf.repeat(aligned[name][:, tf.newaxis], cutoffs, axis=1)
    wanted = steps <= last_cutoff[:, tf.newaxis]
    wanted &= tf.reduce_any(tf.math.is_finite(windows["y"]), 2) & tf.reduce_any(tf.math.is_finite(truth), 2)
    selected = tf.where(wanted)
    scaled = preprocessing.scale_windows({name: tf.gather_nd(values, selected) for name, values in windows.items()})
    center, scale = scaled["center"][:, tf.newaxis], scaled["scale"][:, tf.newaxis]
    # The forecast of a constant window is its value, whatever follows: there is nothing to learn.
    divisor = tf.where(scale > 0, scale, tf.constant(np.nan, scale.dtype))
    scaled_truth = (tf.gather_nd(truth, selected) - center) / divisor
    return scaled, tf.cast(scaled_truth, tf.float32), tf.cast(selected[:, 0], tf.int32)


def truncate_contexts(
    tensors: dict[str, Any], truth: Any, fraction: float, seed: int, step: Any
) -> tuple[dict[str, Any], Any]:
    """Truncate the context of some training windows at random, as if their history were short.

    The number of time steps that remain, from one to all, is log-uniform.

    Args:
        tensors: A batch of the network's inputs.
        truth: (batch, horizon) float32, the scaled future values.
        fraction: Fraction of the rows that are truncated, between 0 and 1.
        seed, step: Integers that determine the random numbers.

    Returns:
        Tuple of the tensors and the truth, scaled as `SeriesPreprocessing` scales the remaining values: one or two of
        them together with one that is off by the deviation of the window, 1. Windows whose remaining values hardly vary
        are left as they are.
    """
    values, observed_mask = tensors["values"], tensors["observed_mask"]
    rows, length = tf.shape(values)[0], values.shape[1]
    draws = tf.random.stateless_uniform([rows, 2], [seed, tf.cast(step, tf.int32)])
    kept_steps = tf.where(draws[:, 0] < fraction, tf.cast(float(length) ** draws[:, 1], tf.int32), length)
    kept = tf.range(length) >= length - kept_steps[:, tf.newaxis]
    kept_mask = tf.where(kept, observed_mask, 0)
    any_observed = tf.reduce_any(kept_mask > 0, 1, keepdims=True)
    kept_mask, kept = tf.where(any_observed, kept_mask, observed_mask), kept | ~any_observed
    weight = tf.cast(kept_mask, tf.float32)
    count = tf.maximum(tf.reduce_sum(weight, 1, keepdims=True), 1.0)
    center = tf.reduce_sum(weight * values, 1, keepdims=True) / count
    squares = tf.reduce_sum(weight * tf.square(values - center), 1, keepdims=True)
    with_prior = tf.sqrt((squares + 1.0) / (count + 1.0))
    scale = tf.where(count < MIN_VALUES_FOR_SCALE, with_prior, tf.sqrt(squares / count))
    truncated = (kept_steps[:, tf.newaxis] < length) & any_observed & (scale >= MIN_TRUNCATED_DEVIATION)
    center, scale = tf.where(truncated, center, 0.0), tf.where(truncated, scale, 1.0)
    kept_mask, kept = tf.where(truncated, kept_mask, observed_mask), kept | ~truncated
    scaled = tf.where(kept, (values - center) / scale, 0.0)
    made = {**tensors, "values": scaled, "observed_mask": kept_mask}
    if "smoothed" in tensors:  # of the whole context: it has no weights that would learn from the future
        made["smoothed"] = (tensors["smoothed"] - center) / scale
    return made, (truth - center) / scale


# Relative to the deviation of the window: where the remaining values vary less, future values would be far off in units
# of their deviation.
MIN_TRUNCATED_DEVIATION = 1 / 3


def forecast_signature(task: Forecaster) -> Signature:
    """Return the signature `forecast`, from a history, a horizon up to the trained one and quantile levels to a
    forecast."""
    from dlkit.serving.signature import Signature

    preprocess, network, postprocess = task.stages_.serving_models()
    decoding = postprocess.get_layer("forecast_decoding")
    run = chain(preprocess, network, postprocess)

    def forecast(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        answer = run({name: raw[name] for name in task.inputs})
        return decoding.select(answer, raw["horizon"], raw["quantile_levels"])

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(raw["ds"])[0]
        levels = tf.tile([[task.quantile_levels[0], 0.5]], [rows, 1])
        return {**raw, "horizon": tf.fill([rows], (task.horizon + 1) // 2), "quantile_levels": levels}

    columns = {
        **task.inputs,
        "horizon": Count(optional=True, default=task.horizon),
        "quantile_levels": QuantileLevels(optional=True, default=task.quantile_levels),
    }
    return Signature("forecast", forecast, tensor_specs(columns), example=example, columns=columns)


def forecast_history(
    task: Forecaster, history: dict[str, Any], horizon: int | None, quantile_levels: Sequence[float] | None
) -> dict[str, Any]:
    """Forecast one history; see `Forecaster.forecast`."""
    missing = [name for name in task.inputs if name not in history]
    if missing:
        raise DataError(f"the history needs {', '.join(task.inputs)}. There is no {missing[0]!r}.")
    horizon = task.horizon if horizon is None else horizon
    levels = list(task.quantile_levels if quantile_levels is None else quantile_levels)
    request = {**history, "horizon": horizon, "quantile_levels": levels}
    (answer,) = task.call_signature("forecast", [request])
    quantiles = answer["quantiles"][:horizon]
    return {
        "ds": task.answer["ds"].show(answer["ds"][:horizon]),
        "forecast": answer["forecast"][:horizon].tolist(),
        "quantiles": {f"{level:g}": quantiles[:, index].tolist() for index, level in enumerate(levels)},
    }
