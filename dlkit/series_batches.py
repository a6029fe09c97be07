"""Windows of series in the graph: all origins of a row, and histories cut short."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.lazy import tf


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


def later(origin: Any, steps: Any, step: list[int]) -> Any:
    """Stamps so many steps later: int64."""
    from dlkit.layers.stamps import months_later

    months, seconds, whole = step
    if months:
        shape = tf.broadcast_dynamic_shape(tf.shape(origin), tf.shape(steps))
        return months_later(tf.broadcast_to(origin, shape), steps * months)
    return origin + steps * (seconds + whole)


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
