"""Exponential smoothing of a window: an average of many models, weighted by how well each one fits the window."""

from __future__ import annotations

import itertools

import numpy as np

from dlkit.lazy import tf

LEVELS = (0.1, 0.25, 0.45, 0.65, 0.85, 0.99)  # share of an error that goes to the level
# Share of the level's change that goes to the slope, and factor of the slope at each step; the first one has no slope.
TRENDS = ((0.0, 0.0), (0.05, 0.9), (0.02, 1.0), (0.2, 0.9))
SEASONS = (None, 0.02, 0.15)  # share of what the level leaves of an error that goes to the season; None for no season
MIN_SQUARED_ERROR = 1e-6  # in variances of the window: below it, models are equally good
MIN_ABOVE = 1e-3  # in standard deviations of the window, how far all values are above 0 where logarithms are smoothed
MAX_ABOVE = 1e9
MAX_SEASONS, MAX_STEPS = 5, 60  # read at the end of a window, whichever is longer
MIN_STEPS = 10  # time steps at the beginning of a window that tell the initial level and slope, or two seasons


def smooth(values: tf.Tensor, observed: tf.Tensor, zero: tf.Tensor, horizon: int, season_length: int) -> tf.Tensor:
    """Forecast windows by exponential smoothing.

    The models have additive errors, no trend, a linear or a damped one, and no or additive seasons, each for several
    smoothing coefficients; and the same for the logarithms of windows of positive values, whose seasons and trends are
    in proportion to the level. The answer is the mean of their forecasts, weighted by Akaike's criterion, corrected for
    short windows.
    Sources: Hyndman et al., 2002, A state space framework for automatic forecasting using exponential smoothing;
    the weights of Burnham and Anderson, 2002, Model selection and multimodel inference.

    Args:
        values: (batch, steps) float32, in standard deviations of the window.
        observed: (batch, steps) bool.
        zero: (batch,) float32, what a value of 0 is scaled to.
        horizon: Positive integer, in time steps.
        season_length: Positive integer, in time steps; 1 for none. The window should hold at least
            three seasons.

    Returns:
        (batch, horizon) float32; finite for any window.

    Examples:
        >>> import tensorflow as tf
        >>> values = tf.constant([[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]])
        >>> forecast = smooth(values, tf.ones([1, 12], tf.bool), tf.zeros([1]), 2, 2)
        >>> tf.round(10.0 * forecast[0]).numpy().tolist()
        [10.0, 20.0]
    """
    steps = min(values.shape[1], max(MAX_SEASONS * season_length, MAX_STEPS))
    values, observed = values[:, -steps:], observed[:, -steps:]
    above = values - zero[:, tf.newaxis]
    positive = tf.reduce_min(tf.where(observed, above, MAX_ABOVE), 1, keepdims=True) > MIN_ABOVE
    logs = tf.math.log(tf.clip_by_value(tf.where(observed, above, 1.0), MIN_ABOVE, MAX_ABOVE))
    forecasts, criteria = _smooth(values, observed, horizon, season_length)
    of_logs, criteria_of_logs = _smooth(logs, observed, horizon, season_length)
    low = tf.reduce_min(tf.where(observed, logs, np.log(MAX_ABOVE)), 1)[:, tf.newaxis, tf.newaxis]
    high = tf.reduce_max(tf.where(observed, logs, np.log(MIN_ABOVE)), 1)[:, tf.newaxis, tf.newaxis]
    span = tf.maximum(high - low, 0.0)  # growth beyond the window is bounded by that within it
    of_logs = tf.exp(tf.clip_by_value(of_logs, low - span, high + span)) + zero[:, tf.newaxis, tf.newaxis]
    # In units of the values, a density of logarithms is divided by each value.
    criteria_of_logs += 2.0 * tf.reduce_sum(tf.where(observed, logs, 0.0), 1, keepdims=True)
    criteria_of_logs = tf.where(positive, criteria_of_logs, np.float32(1e30))
    weights = tf.nn.softmax(-0.5 * tf.concat([criteria, criteria_of_logs], 1), 1)
    return tf.reduce_sum(weights[:, tf.newaxis] * tf.concat([forecasts, of_logs], 2), 2)


def _smooth(values: tf.Tensor, observed: tf.Tensor, horizon: int, season_length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the forecasts of all models, (batch, horizon, models), and their criteria, (batch, models)."""
    steps = values.shape[1]
    level_share, trend_share, damping, season_share, seasonal = _list_models(season_length)
    has_trend = (damping > 0).astype(np.float32)
    count = tf.reduce_sum(tf.cast(observed, tf.float32), 1, keepdims=True)
    profile = _estimate_profile(values, observed, season_length)  # (batch, season_length)
    level, slope = _estimate_start(values, observed, profile, seasonal, has_trend)
    seasons = tf.transpose(profile)[:, :, tf.newaxis] * seasonal  # (season_length, batch, models)
    by_step = tf.transpose(values)[:, :, tf.newaxis], tf.transpose(observed)[:, :, tf.newaxis]
    begun = tf.transpose(tf.cumsum(tf.cast(observed, tf.int32), 1) > 0)[:, :, tf.newaxis]

    def step(
        number: tf.Tensor, level: tf.Tensor, slope: tf.Tensor, seasons: tf.Tensor, squares: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        phase = number % season_length
        season, damped = seasons[phase], slope * damping
        ahead = level + damped
        error = tf.where(by_step[1][number], by_step[0][number] - ahead - season, 0.0)
        level = tf.where(begun[number], ahead + level_share * error, level)
        slope = tf.where(begun[number], damped + trend_share * error, slope)
        seasons = tf.tensor_scatter_nd_add(seasons, [[phase]], (season_share * error)[tf.newaxis])
        return number + 1, level, slope, seasons, squares + tf.square(error)

    _, level, slope, seasons, squares = tf.while_loop(
        lambda number, *_: number < steps,
        step,
        (0, level, slope, seasons, tf.zeros_like(level)),
        maximum_iterations=steps,
    )
    forecasts = []
    for number in range(steps, steps + horizon):
        slope = slope * damping
        level = level + slope
        forecasts.append(level + seasons[number % season_length])
    parameters = 3 + 2 * has_trend + (damping % 1 > 0) + season_length * seasonal  # the variance is one of them
    freedom = tf.maximum(count - parameters - 1, 1.0)
    fit = count * tf.math.log(tf.maximum(squares / tf.maximum(count, 1.0), MIN_SQUARED_ERROR))
    return tf.stack(forecasts, 1), fit + 2 * parameters + 2 * parameters * (parameters + 1) / freedom


def _list_models(season_length: int) -> tuple[np.ndarray, ...]:
    """Return the coefficients of the models, (models,) float32 each: shares of an error that go to the level, the slope
    and the season, the damping of the slope, 0 for no slope, and whether there is a season."""
    seasons = SEASONS if season_length > 1 else SEASONS[:1]
    models = list(itertools.product(LEVELS, TRENDS, seasons))
    level = [share for share, _, _ in models]
    trend = [share * of_trend for share, (of_trend, _), _ in models]
    damping = [damping for _, (_, damping), _ in models]
    season = [(1 - share) * (of_season or 0.0) for share, _, of_season in models]
    seasonal = [of_season is not None for _, _, of_season in models]
    return tuple(np.array(column, np.float32) for column in (level, trend, damping, season, seasonal))


def _estimate_start(
    values: tf.Tensor, observed: tf.Tensor, profile: tf.Tensor, seasonal: np.ndarray, has_trend: np.ndarray
) -> tuple[tf.Tensor, tf.Tensor]:
    """Estimate level and slope, (batch, models) each, before the first observed value: those of a line through the
    first two seasons."""
    season_length, steps = profile.shape[1], values.shape[1]
    cumulated = tf.cumsum(tf.cast(observed, tf.int32), 1)
    since = tf.cumsum(tf.cast(cumulated > 0, tf.int32), 1)  # 1 for the first observed value
    first = observed & (since <= max(2 * season_length, MIN_STEPS))
    weights = tf.cast(first, tf.float32)
    number = tf.maximum(tf.reduce_sum(weights, 1, keepdims=True), 1.0)
    times = tf.cast(since, tf.float32)
    mean_time = tf.reduce_sum(weights * times, 1, keepdims=True) / number
    centered = weights * (times - mean_time)
    spread = tf.reduce_sum(tf.square(centered), 1, keepdims=True)
    repeated = tf.gather(profile, np.arange(steps) % season_length, axis=1)
    levels, slopes = [], []
    for part in (values, values - repeated):
        mean = tf.reduce_sum(weights * part, 1, keepdims=True) / number
        line = tf.reduce_sum(centered * (part - mean), 1, keepdims=True) / tf.maximum(spread, 1.0)
        levels.append(mean)
        slopes.append(line)
    level = tf.where(seasonal > 0, levels[1], levels[0])
    slope = tf.where(seasonal > 0, slopes[1], slopes[0]) * has_trend
    return level - slope * mean_time, slope


def _estimate_profile(values: tf.Tensor, observed: tf.Tensor, season_length: int) -> tf.Tensor:
    """Estimate the season: (batch, season_length), by phase, 0 on average.

    It is the mean, over the window, of the differences of the values from lines through their seasons.
    """
    steps = values.shape[1]
    seasons = steps // season_length
    start = steps - seasons * season_length
    blocks, mask = (
        tf.reshape(part[:, start:], [-1, seasons, season_length]) for part in (values, tf.cast(observed, tf.float32))
    )
    counts = tf.reduce_sum(mask, 2, keepdims=True)
    means = tf.reduce_sum(mask * blocks, 2, keepdims=True) / tf.maximum(counts, 1.0)
    full = tf.cast(counts >= MIN_OBSERVED * season_length, tf.float32)
    phases = np.arange(season_length, dtype=np.float32) - (season_length - 1) / 2
    # The slope within a season is that from the season before to the one after, as far as these are known.
    pairs = full[:, 1:] * full[:, :-1]
    changes = pairs * (means[:, 1:] - means[:, :-1])
    both = tf.pad(pairs, [[0, 0], [0, 1], [0, 0]]) + tf.pad(pairs, [[0, 0], [1, 0], [0, 0]])
    slopes = tf.pad(changes, [[0, 0], [0, 1], [0, 0]]) + tf.pad(changes, [[0, 0], [1, 0], [0, 0]])
    slopes = slopes / tf.maximum(both, 1.0) / season_length
    weights = mask * full
    total = tf.reduce_sum(weights * (blocks - means - slopes * phases), 1)
    profile = total / tf.maximum(tf.reduce_sum(weights, 1), 1.0)
    profile -= tf.reduce_mean(profile, 1, keepdims=True)
    return tf.roll(profile, start % season_length, 1)


MIN_OBSERVED = 0.75  # share of a season's values that must be known for it to count
