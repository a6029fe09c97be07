"""From the raw history of a request to a window on a regular grid, filled and scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.tasks.forecasting.stamps import civil, parse_stamps

SMALL = 1e-6  # of the mean: what varies less is constant


@keras.saving.register_keras_serializable("dlkit")
class ReadSeries(keras.layers.Layer):
    """The last `window` steps of a series up to its newest stamp, with what is known of the `horizon` after it.

    Call with a dict of `ds`: (batch, any) string, stamps in any order, padded by "" at the end; `y`: (batch, any)
    float32, NaN where a value is missing; each of `past`: the same; each of `known`: the same, and after the history's
    values those of the `horizon` steps that follow the newest stamp; each of `static`: (batch,) string. Returns

    - `values`: (batch, window) float32, gaps filled, less `center`, over `scale`; 0 before the first value;
    - `there`: (batch, window) uint8, whether a value was given;
    - if there are such, `known`: (batch, window + horizon, names) and `past`: (batch, window, names), standardised, 0
      where
      missing, and `static`: (batch, features) float32;
    - `origin`: (batch,) int64, the newest stamp, in seconds since 1970 or as the whole number that it is;
    - `center`, `scale`: (batch,) float32, of the values that were given (Kim et al., 2022, RevIN, without weights);
    - `given`: (batch,) int32, how many were.

    Values of one stamp count by their mean. A window of few values has too small a deviation: it is taken together with
    one value that is off by `typical` times the mean.

    Args:
        window, horizon: positive integers, in steps.
        step: [months, seconds, whole numbers] from one stamp to the next, one of them not 0.
        fill: "last", "linear" or "mean", as in `fill_gaps`.
        typical: float, the usual deviation over the mean.
        past, known: dicts of each covariate's mean and deviation.
        static: dict of each static covariate's names, or of [mean, deviation] under "" for numbers.
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        step: Sequence[int],
        fill: Literal["last", "linear", "mean"] = "last",
        typical: float = 0.1,
        past: Mapping[str, Mapping[str, float]] | None = None,
        known: Mapping[str, Mapping[str, float]] | None = None,
        static: Mapping[str, list[str] | dict[str, float]] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.window, self.horizon, self.step = window, horizon, list(step)
        self.fill, self.typical = fill, typical
        self.past, self.known, self.static = dict(past or {}), dict(known or {}), dict(static or {})
        self._convert_input_args = False  # Keras knows no string tensors

    @property
    def static_width(self) -> int:
        """How many features the static covariates make."""
        return sum(1 if isinstance(names, dict) else len(names) for names in self.static.values())

    def call(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self.scaled(self.grid(inputs, self.horizon))

    def grid(
        self, inputs: Mapping[str, tf.Tensor], ahead: int | tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """The window as it is given, NaN where nothing is: `y`, `past`, `known`, of `ahead` steps more, `origin`,
        `static`.

        In training `past` goes on like `known`, for origins further on, and what is known ahead may be missing.
        """
        ds = inputs["ds"]
        real = ds != ""
        seconds, position = self._positions(ds, real)
        count = tf.reduce_sum(tf.cast(real, tf.int32), 1)
        least = tf.constant(np.iinfo(np.int64).min, tf.int64)
        newest = tf.argmax(tf.where(real, seconds, least), 1)
        last = tf.gather(position, newest, batch_dims=1)[:, tf.newaxis]
        origin = tf.gather(seconds, newest, batch_dims=1)
        unit = sum(self.step)
        behind = tf.where(real, last - position, 0)
        _refuse(
            behind % unit != 0,
            ds,
            f"`ds` holds a stamp that is not a number of steps of {self._unit()} before the newest:",
        )
        place = self.window - 1 - tf.cast(tf.minimum(behind // unit, self.window), tf.int32)
        there = tf.logical_and(real, place >= 0)
        made = {"origin": origin, "y": self._placed(inputs["y"], place, there, "y")}
        for kind, names, longer in (("past", self.past, training), ("known", self.known, True)):
            columns = []
            for name in names:
                placed = self._placed(inputs[name], place, there, name, longer)
                if longer:
                    future = self._ahead(inputs[name], count, ahead, name, training)
                    placed = tf.concat([placed, future], 1)
                columns.append(placed)
            if columns:
                made[kind] = tf.stack(columns, 2)
        if self.static:
            made["static"] = tf.concat([self._static(inputs[name], names) for name, names in self.static.items()], 1)
        return made

    def scaled(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What `call` returns, of what `grid` does, or of windows cut from it."""
        y = raw["y"]
        there = tf.math.is_finite(y)
        weight = tf.cast(there, tf.float32)
        given = tf.reduce_sum(weight, 1)
        known = tf.where(there, y, 0.0)
        some = tf.maximum(given, 1.0)
        center = tf.reduce_sum(known, 1) / some
        squares = tf.reduce_sum(weight * tf.square(known - center[:, tf.newaxis]), 1)
        spread = tf.sqrt((squares + tf.square(self.typical * center)) / (given + 1.0))
        least = SMALL * tf.abs(center)
        scale = tf.where(spread > least, spread, tf.where(center == 0.0, 1.0, tf.abs(center)))
        values = tf.where(there, (y - center[:, tf.newaxis]) / scale[:, tf.newaxis], 0.0)
        made = {
            "values": fill_gaps(values, there, self.fill),
            "there": tf.cast(there, tf.uint8),
            **{kind: _standard(raw[kind], facts) for kind, facts in self._covariates().items()},
            **({"static": raw["static"]} if self.static else {}),
            "origin": raw["origin"],
            "center": center,
            "scale": scale,
            "given": tf.cast(given, tf.int32),
        }
        return {name: tf.ensure_shape(made[name], shape) for name, shape in self._shapes().items()}

    def _covariates(self) -> dict[str, Mapping[str, Mapping[str, float]]]:
        """The facts of those that change with time, of the kinds that there are."""
        return {kind: facts for kind, facts in (("known", self.known), ("past", self.past)) if facts}

    def _positions(self, ds: tf.Tensor, real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        months, _, whole = self.step
        if whole:
            formed = tf.strings.regex_full_match(ds, r"-?\d{1,18}")
            _refuse(
                tf.logical_and(real, ~formed),
                ds,
                '`ds` must hold whole numbers, as in training, padded by "". Received:',
            )
            seconds = tf.strings.to_number(tf.where(formed, ds, "0"), tf.int64)
            return seconds, seconds
        seconds, valid = parse_stamps(ds)
        _refuse(
            tf.logical_and(real, ~valid),
            ds,
            '`ds` must hold stamps as 2016-10-01 or 2016-10-01 13:00:00, padded by "". Received:',
        )
        if not months:
            return seconds, seconds
        year, month, _ = civil(tf.math.floordiv(seconds, 86_400))
        return seconds, year * 12 + month - 1

    def _unit(self) -> str:
        months, seconds, whole = self.step
        return f"{months} months" if months else f"{seconds} seconds" if seconds else f"{whole}"

    def _placed(
        self, values: tf.Tensor, place: tf.Tensor, there: tf.Tensor, name: str, longer: bool = False
    ) -> tf.Tensor:
        """Values at their places of the window: (batch, window), NaN elsewhere; of several the mean."""
        rows, length = tf.shape(place)[0], tf.shape(place)[1]
        _enough(values, length, name, "at least as many values as `ds` has stamps")
        if not longer:  # a value beyond the stamps would be lost in silence
            _refuse_number(
                tf.math.is_finite(values[:, length:]), f"`{name}` must have no more values than `ds` has stamps."
            )
        values = values[:, :length]
        finite = tf.logical_and(there, tf.math.is_finite(values))
        cells = tf.where(finite)
        at = tf.stack([tf.cast(cells[:, 0], tf.int32), tf.gather_nd(place, cells)], 1)
        shape = tf.stack([rows, self.window])
        sums = tf.scatter_nd(at, tf.gather_nd(values, cells), shape)
        counts = tf.scatter_nd(at, tf.ones_like(at[:, 0], tf.float32), shape)
        return tf.where(counts > 0, sums / tf.maximum(counts, 1.0), np.nan)

    def _ahead(
        self, values: tf.Tensor, count: tf.Tensor, ahead: int | tf.Tensor, name: str, training: bool
    ) -> tf.Tensor:
        """A covariate's values of the steps after the history: (batch, ahead)."""
        places = count[:, tf.newaxis] + tf.range(ahead)
        padded = tf.pad(values, [[0, 0], [0, ahead]], constant_values=np.nan)
        future = tf.gather(padded, places, batch_dims=1)
        if not training:
            missing = tf.logical_not(tf.math.is_finite(future))
            expected = f"a value for each stamp of `ds`, and then for the {self.horizon} steps after the newest"
            _refuse_number(missing, f"`{name}` must be known ahead: {expected}. One of these is missing.")
        return future

    @staticmethod
    def _static(text: tf.Tensor, names: list[str] | dict[str, float]) -> tf.Tensor:
        if not isinstance(names, dict):
            return tf.cast(text[:, tf.newaxis] == tf.constant(list(names)), tf.float32)
        formed = tf.strings.regex_full_match(text, r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
        number = tf.strings.to_number(tf.where(formed, text, "0"))
        return tf.where(formed, (number - names["mean"]) / names["deviation"], 0.0)[:, tf.newaxis]

    def _shapes(self, rows: int | None = None) -> dict[str, tuple[int | None, ...]]:
        covariates = {
            "known": (rows, self.window + self.horizon, len(self.known)),
            "past": (rows, self.window, len(self.past)),
            "static": (rows, self.static_width),
        }
        return {
            "values": (rows, self.window),
            "there": (rows, self.window),
            **{name: shape for name, shape in covariates.items() if shape[-1]},
            **dict.fromkeys(("origin", "center", "scale", "given"), (rows,)),
        }

    def compute_output_spec(self, inputs: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
        kinds = {"there": "uint8", "origin": "int64", "given": "int32"}
        shapes = self._shapes(inputs["ds"].shape[0])
        return {name: keras.KerasTensor(shape, kinds.get(name, "float32")) for name, shape in shapes.items()}

    def get_config(self) -> dict[str, Any]:
        own = ("window", "horizon", "step", "fill", "typical", "past", "known", "static")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _standard(values: tf.Tensor, facts: Mapping[str, Mapping[str, float]]) -> tf.Tensor:
    mean = tf.constant([fact["mean"] for fact in facts.values()], tf.float32)
    deviation = tf.constant([fact["deviation"] for fact in facts.values()], tf.float32)
    return tf.where(tf.math.is_finite(values), (values - mean) / deviation, 0.0)


def _refuse(wrong: tf.Tensor, texts: tf.Tensor, message: str) -> None:
    cells = tf.where(wrong)
    first = tf.cond(tf.size(cells) > 0, lambda: tf.gather_nd(texts, cells[0]), lambda: tf.constant(""))
    tf.debugging.Assert(tf.logical_not(tf.reduce_any(wrong)), [message, first])


def _refuse_number(wrong: tf.Tensor, message: str) -> None:
    tf.debugging.Assert(tf.logical_not(tf.reduce_any(wrong)), [message])


def _enough(values: tf.Tensor, count: tf.Tensor, name: str, expected: str) -> None:
    length = tf.shape(values)[1]
    tf.debugging.Assert(length >= count, [f"`{name}` must have {expected},", count, ". Received:", length])


def fill_gaps(values: tf.Tensor, there: tf.Tensor, method: Literal["last", "linear", "mean"]) -> tf.Tensor:
    """Fills in a window what is missing after its first value: nothing that comes later than the window counts.

    Args:
        values: (batch, steps) float32, 0 where none was given.
        there: (batch, steps) bool.
        method: "last", the value before; "linear", the line between the values around, and after the last one that one;
            "mean", 0, which is the mean of scaled values.

    Returns:
        (batch, steps) float32; 0 before the first value.
    """
    if method == "mean":
        return values
    steps = tf.shape(values)[1]
    places = tf.broadcast_to(tf.range(steps), tf.shape(values))
    before = _running_maximum(tf.where(there, places, -1))
    held = tf.gather(values, tf.maximum(before, 0), batch_dims=1)
    filled = tf.where(before >= 0, held, 0.0)
    if method == "last":
        return filled
    back = _running_maximum(tf.reverse(tf.where(there, steps - 1 - places, -1), [1]))
    after = steps - 1 - tf.reverse(back, [1])  # `steps` where nothing comes after
    between = tf.logical_and(before >= 0, after < steps)
    next_value = tf.gather(values, tf.minimum(after, steps - 1), batch_dims=1)
    share = tf.cast(places - before, tf.float32) / tf.cast(tf.maximum(after - before, 1), tf.float32)
    return tf.where(between, filled + share * (next_value - filled), filled)


def _running_maximum(numbers: tf.Tensor) -> tf.Tensor:
    """The largest number so far of each row: (batch, steps) int32, by doubling strides."""
    steps = tf.shape(numbers)[1]

    def wider(stride: tf.Tensor, made: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shifted = tf.pad(made, [[0, 0], [stride, 0]], constant_values=-1)[:, :steps]
        return stride * 2, tf.maximum(made, shifted)

    invariants = [tf.TensorShape([]), tf.TensorShape([None, None])]
    return tf.while_loop(lambda stride, _: stride < steps, wider, [1, numbers], shape_invariants=invariants)[1]
