"""From the raw history of a request to a window on a regular grid, filled and scaled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.tasks.forecasting.columns import FEW
from dlkit.tasks.forecasting.frequency import DAY, Step
from dlkit.tasks.forecasting.stamps import business_day, business_position, civil, day_of_month, parse_stamps

SMALL = 1e-6  # of the mean: what varies less is constant, where levels tell the scale
LARGEST_SCALED = 1e9  # of scaled values: far more than a window of any length can have
NEXT_TO_NOTHING = 1e-30  # whose logarithm is a number
Facts = dict[str, float] | list[str]
"""Of a covariate that is a number its `mean` and `deviation`, else the names that it may have."""


@keras.saving.register_keras_serializable("dlkit")
class ReadSeries(keras.layers.Layer):
    """The last `window` steps of a series up to its newest stamp, with what is known of the `horizon` after it.

    Call with a dict of `ds`: (batch, any) string, stamps in any order, padded by "" at the end; `y`: (batch, any)
    float64, NaN where a value is missing; each of `past`: the same in float32, or names, string; each of `known`: the
    same, and after the history's values those of the `horizon` steps that follow the newest stamp; each of `static`:
    (batch,) string. Returns

    - `values`: (batch, window) float32, gaps filled, less `center`, over `scale`; 0 before the first value;
    - `there`: (batch, window) uint8, whether a value was given;
    - if there are such, `known`: (batch, window + horizon, features) and `past`: (batch, window, features),
      standardised, 0 where missing, and `static`: (batch, features) float32;
    - `origin`: (batch,) int64, the newest stamp, in seconds since 1970 or as the whole number that it is;
    - of steps of months, `anchor`: (batch,) int64, the day of the month that the stamps stand on, 31 for the last;
    - `center`, `scale`: (batch,), of the dtype of `y`, of the values that were given (Kim et al., 2022, RevIN, without
      weights); a `scale` of 0 where they do not differ;
    - if there is such, `lowest`: (batch,), of the dtype of `y`, below which no forecast may be: the smallest float32
      where the window itself goes below;
    - `given`: (batch,) int32, how many were.

    One or two values do not tell how far a series goes: their deviation is taken together with one value that is off by
    the usual deviation of the training series whose level is the nearest. From three on each series is scaled by
    itself.

    Args:
        window, horizon: positive integers, in steps.
        step: as `Step.as_list` gives it. One of three numbers is of a model that was saved before anchors were known:
            stamps then have no fractions, and the last day of a month stays the last.
        fill: "last", "linear" or "mean", as in `fill_gaps`.
        typical: float, the usual deviation over the mean, of a model that was saved before `usual` was known: all
            windows are taken together with one value that is off by it.
        past, known: dicts of each covariate's mean and deviation, or of its names.
        static: dict of each static covariate's names, or of [mean, deviation] under "" for numbers.
        usual: pairs of a level, ascending and not negative, and the usual deviation there; None for `typical`.
        off_grid: "refuse", or "floor": stamps between the steps count for the step before.
        duplicates: what values of one step become: "mean", "last", or "refuse".
        gaps: whether steps may be missing between the first stamp and the newest.
        lowest: float, below which no training series went; None for no bound.
        only_meant: whether a history without any value, and values beyond those of float32, are refused in a request.
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        step: Sequence[int],
        fill: Literal["last", "linear", "mean"] = "last",
        typical: float = 0.1,
        past: Mapping[str, Facts] | None = None,
        known: Mapping[str, Facts] | None = None,
        static: Mapping[str, Facts] | None = None,
        usual: Sequence[Sequence[float]] | None = None,
        off_grid: Literal["refuse", "floor"] = "refuse",
        duplicates: Literal["mean", "last", "refuse"] = "mean",
        gaps: bool = True,
        lowest: float | None = None,
        only_meant: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.window, self.horizon, self.step = window, horizon, list(step)
        self.fill, self.typical = fill, typical
        self.past, self.known, self.static = dict(past or {}), dict(known or {}), dict(static or {})
        self.usual = None if usual is None else [list(pair) for pair in usual]
        self.off_grid, self.duplicates, self.gaps, self.lowest = off_grid, duplicates, gaps, lowest
        self.only_meant = only_meant
        self._step, self._as_before = Step(*step), len(step) == 3
        self._convert_input_args = False  # Keras knows no string tensors

    @property
    def static_width(self) -> int:
        """How many features the static covariates make."""
        return width_of(self.static)

    @property
    def limits(self) -> dict[str, Limits]:
        """What its tensors can be, where a request brings them."""
        largest = float(np.finfo(np.float32).max)  # of what a request may bring, and of what is learned of it
        return {
            "values": Limits(-LARGEST_SCALED, LARGEST_SCALED),
            "there": Limits(0, 1, nonzero=True),
            "anchor": Limits(1, 31),
            "center": Limits(-largest, largest),
            "scale": Limits(0, largest),
            "lowest": Limits(-largest, largest),
            "given": Limits(1),
        }

    def call(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        made = self.scaled(self.grid(inputs, self.horizon))
        if not self.only_meant:
            return made
        y = inputs["y"]
        large = tf.math.is_finite(y) & (tf.abs(y) > tf.cast(np.finfo(np.float32).max, y.dtype))
        _refuse_number(large, "`y` must be numbers of float32's range, up to 3.4e38.")
        window = f"the last {self.window} steps up to its last timestamp"
        _refuse_number(made["given"] == 0, f"`y` must hold a number within {window}. All are missing or not finite.")
        return made

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
        unit = self._step.unit
        behind = tf.where(real, last - position, 0)
        _refuse(
            behind % unit != 0,
            ds,
            f"`ds` holds a timestamp that is not a multiple of {self._unit()} before the last one:",
        )
        self._refuse_repeats_and_gaps(behind // unit, real, ds)
        place = self.window - 1 - tf.cast(tf.minimum(behind // unit, self.window), tf.int32)
        there = tf.logical_and(real, place >= 0)
        order = tf.argsort(seconds, stable=True) if self.duplicates == "last" else None
        made = {"origin": tf.gather(seconds, newest, batch_dims=1)}
        if self._anchors:
            made["anchor"] = self._anchor(seconds, real)
        made["y"] = self._placed(inputs["y"], place, there, order, "y")
        for kind, facts, longer in (("past", self.past, training), ("known", self.known, True)):
            columns = []
            for name, values in self._columns(inputs, facts):
                placed = self._placed(values, place, there, order, name, longer)
                if longer:
                    placed = tf.concat([placed, self._ahead(values, count, ahead, name, training)], 1)
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
        given = tf.reduce_sum(tf.cast(there, y.dtype), 1)
        center, scale = self._of_levels(y, there, given) if self.usual is None else self._of_itself(y, there, given)
        unit = tf.where(scale > 0, scale, tf.ones_like(scale))
        values = tf.where(there, (y - center[:, tf.newaxis]) / unit[:, tf.newaxis], tf.zeros_like(y))
        made = {
            "values": fill_gaps(tf.cast(values, tf.float32), there, self.fill),
            "there": tf.cast(there, tf.uint8),
            **{kind: _standard(raw[kind], facts) for kind, facts in self._covariates().items()},
            **({"static": raw["static"]} if self.static else {}),
            "origin": raw["origin"],
            **({"anchor": raw["anchor"]} if self._anchors else {}),
            "center": center,
            "scale": scale,
            **({} if self.lowest is None else {"lowest": self._bound(y, there)}),
            "given": tf.cast(given, tf.int32),
        }
        return {name: tf.ensure_shape(made[name], shape) for name, shape in self._shapes().items()}

    def _of_levels(self, y: tf.Tensor, there: tf.Tensor, given: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Center and scale of models that were saved before `usual` was known."""
        weight = tf.cast(there, tf.float32)
        known = tf.where(there, y, 0.0)
        center = tf.reduce_sum(known, 1) / tf.maximum(given, 1.0)
        squares = tf.reduce_sum(weight * tf.square(known - center[:, tf.newaxis]), 1)
        spread = tf.sqrt((squares + tf.square(self.typical * center)) / (given + 1.0))
        least = SMALL * tf.abs(center)
        return center, tf.where(spread > least, spread, tf.where(center == 0.0, 1.0, tf.abs(center)))

    def _of_itself(self, y: tf.Tensor, there: tf.Tensor, given: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean and deviation of what was given; the value itself and 0 where all of three or more are one."""
        zero = tf.zeros_like(y)
        some = tf.maximum(given, 1)
        center = tf.reduce_sum(tf.where(there, y, zero), 1) / some
        squares = tf.reduce_sum(tf.square(tf.where(there, y - center[:, tf.newaxis], zero)), 1)
        few = tf.sqrt((squares + tf.square(self._usual(center))) / (given + 1))
        highest = tf.reduce_max(tf.where(there, y, y.dtype.min), 1)
        lowest = tf.reduce_min(tf.where(there, y, y.dtype.max), 1)
        same = tf.logical_and(given >= FEW, highest == lowest)
        own = tf.where(same, tf.zeros_like(center), tf.sqrt(squares / some))
        return tf.where(same, highest, center), tf.where(given < FEW, few, own)

    def _bound(self, y: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        """The bound, where no value that was given is below it."""
        bound = tf.constant(self.lowest, y.dtype)
        below = tf.reduce_any(tf.logical_and(there, y < bound), 1)
        return tf.where(below, tf.constant(np.finfo(np.float32).min, y.dtype), bound)

    def _usual(self, center: tf.Tensor) -> tf.Tensor:
        """The deviation of the training series of the nearest level; beyond their levels it goes along with them."""
        levels, deviations = (tf.constant([pair[side] for pair in self.usual or []], center.dtype) for side in (0, 1))
        level = tf.abs(center)
        far = tf.abs(_log(level)[:, tf.newaxis] - _log(levels))
        found = tf.gather(deviations, tf.argmin(far, 1))
        inside = tf.clip_by_value(level, levels[0], levels[-1])
        return tf.where(level > 0, found * level / tf.where(level > 0, inside, tf.ones_like(inside)), found)

    def _covariates(self) -> dict[str, Mapping[str, Facts]]:
        """The facts of those that change with time, of the kinds that there are."""
        return {kind: facts for kind, facts in (("known", self.known), ("past", self.past)) if facts}

    @staticmethod
    def _columns(inputs: Mapping[str, tf.Tensor], facts: Mapping[str, Facts]) -> Iterator[tuple[str, tf.Tensor]]:
        """The covariates as numbers: of names, for each of them whether it stands there."""
        for name, known in facts.items():
            if isinstance(known, dict):
                yield name, inputs[name]
            else:
                yield from ((name, tf.cast(inputs[name] == category, tf.float32)) for category in known)

    @property
    def _anchors(self) -> bool:
        """Whether months are counted from a day that the stamps stand on."""
        return bool(self._step.months) and not self._step.business and not self._as_before

    def _anchor(self, seconds: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """The same as `Step.day`, of the stamps of each row."""
        day, length = day_of_month(tf.math.floordiv(seconds, DAY))
        ends = tf.reduce_all((day == length) | ~real, 1)
        fits = tf.reduce_all((day == tf.minimum(tf.constant(self._step.anchor, tf.int64), length)) | ~real, 1)
        last = tf.where(fits, tf.constant(self._step.anchor or 31, tf.int64), 31)
        return tf.where(ends, last, tf.reduce_max(tf.where(real, day, 0), 1))

    def _positions(self, ds: tf.Tensor, real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Stamps as numbers, those between the steps as the step before where they may be, and their positions."""
        step = self._step
        if step.whole:
            formed = tf.strings.regex_full_match(ds, r"-?\d{1,18}")
            _refuse(
                tf.logical_and(real, ~formed),
                ds,
                '`ds` must hold integers, as in training, padded with "". Received:',
            )
            seconds = self._floored(tf.strings.to_number(tf.where(formed, ds, "0"), tf.int64))
            return seconds, seconds
        seconds, valid = parse_stamps(ds, step.per_second)
        _refuse(
            tf.logical_and(real, ~valid),
            ds,
            '`ds` must hold timestamps such as 2016-10-01 or 2016-10-01 13:00:00, padded with "". Received:',
        )
        if step.months:
            year, month, _ = civil(tf.math.floordiv(seconds, DAY))
            return seconds, year * 12 + month - 1
        if step.business:
            return self._business_days(ds, seconds, real)
        if not self._as_before and step.per_second == 1 and self.off_grid == "refuse":
            fraction = tf.strings.regex_full_match(ds, r".*\.\d*[1-9]\d*")
            _refuse(fraction, ds, f"`ds` holds fractional seconds, with a time step of {self._unit()}:")
        seconds = self._floored(seconds)
        return seconds, seconds

    def _floored(self, position: tf.Tensor) -> tf.Tensor:
        if self.off_grid == "refuse":
            return position
        return position - tf.math.floormod(position - self._step.anchor, self._step.unit)

    def _business_days(self, ds: tf.Tensor, seconds: tf.Tensor, real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        days, time = tf.math.floordiv(seconds, DAY), tf.math.floormod(seconds, DAY)
        position = business_position(days)
        if self.off_grid == "floor":
            return business_day(position) * DAY + time, position
        weekend = tf.logical_and(real, business_day(position) != days)
        _refuse(weekend, ds, "`ds` holds a weekend day, which is not a business day:")
        return seconds, position

    def _unit(self) -> str:
        step = self._step
        if step.business:
            return str(step)
        return (
            f"{step.months} months" if step.months else f"{step.seconds} seconds" if step.seconds else f"{step.whole}"
        )

    def _refuse_repeats_and_gaps(self, steps: tf.Tensor, real: tf.Tensor, ds: tf.Tensor) -> None:
        """Refuses what a table's rows may not have either; `steps` are those from each stamp to the newest one."""
        if self.duplicates != "refuse" and self.gaps:
            return
        order = tf.argsort(tf.where(real, steps, -1), stable=True)
        ordered = tf.gather(tf.where(real, steps, -1), order, batch_dims=1)
        same = tf.logical_and(ordered[:, 1:] == ordered[:, :-1], ordered[:, 1:] >= 0)
        stamps = tf.gather(ds, order, batch_dims=1)[:, 1:]
        if self.duplicates == "refuse":
            _refuse(same, stamps, "`ds` holds duplicate timestamps, which `duplicates` refuses:")
        if not self.gaps:
            wide = tf.logical_and(ordered[:, 1:] - ordered[:, :-1] > 1, ordered[:, :-1] >= 0)
            _refuse(wide, stamps, f"`ds` lacks a step of {self._unit()}, which `fill` refuses, after")

    def _placed(
        self,
        values: tf.Tensor,
        place: tf.Tensor,
        there: tf.Tensor,
        order: tf.Tensor | None,
        name: str,
        longer: bool = False,
    ) -> tf.Tensor:
        """Values at their places of the window: (batch, window), NaN elsewhere; of several the mean, or the last."""
        rows, length = tf.shape(place)[0], tf.shape(place)[1]
        _enough(values, length, name, "at least as many values as `ds` has timestamps")
        if not longer:  # a value beyond the stamps would be lost in silence
            _refuse_number(
                tf.math.is_finite(values[:, length:]), f"`{name}` must not have more values than `ds` has timestamps."
            )
        values = values[:, :length]
        finite = tf.logical_and(there, tf.math.is_finite(values))
        cells = tf.where(finite)
        at = tf.stack([tf.cast(cells[:, 0], tf.int32), tf.gather_nd(place, cells)], 1)
        shape = tf.stack([rows, self.window])
        nothing = tf.constant(np.nan, values.dtype)
        if order is not None:
            rank = tf.gather_nd(tf.argsort(order), cells)
            latest = tf.tensor_scatter_nd_max(tf.fill(shape, -1), at, rank)
            found = tf.gather(tf.gather(values, order, batch_dims=1), tf.maximum(latest, 0), batch_dims=1)
            return tf.where(latest >= 0, found, nothing)
        sums = tf.scatter_nd(at, tf.gather_nd(values, cells), shape)
        counts = tf.scatter_nd(at, tf.ones_like(at[:, 0], values.dtype), shape)
        return tf.where(counts > 0, sums / tf.maximum(counts, 1), nothing)

    def _ahead(
        self, values: tf.Tensor, count: tf.Tensor, ahead: int | tf.Tensor, name: str, training: bool
    ) -> tf.Tensor:
        """A covariate's values of the steps after the history: (batch, ahead)."""
        places = count[:, tf.newaxis] + tf.range(ahead)
        padded = tf.pad(values, [[0, 0], [0, ahead]], constant_values=np.nan)
        future = tf.gather(padded, places, batch_dims=1)
        if not training:
            missing = tf.logical_not(tf.math.is_finite(future))
            expected = f"a value for each timestamp of `ds` and for the {self.horizon} steps after the last one"
            _refuse_number(missing, f"`{name}` is a future covariate and needs {expected}. At least one is missing.")
        return future

    @staticmethod
    def _static(text: tf.Tensor, names: Facts) -> tf.Tensor:
        if not isinstance(names, dict):
            return tf.cast(text[:, tf.newaxis] == tf.constant(list(names)), tf.float32)
        formed = tf.strings.regex_full_match(text, r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
        number = tf.strings.to_number(tf.where(formed, text, "0"))
        return tf.where(formed, (number - names["mean"]) / names["deviation"], 0.0)[:, tf.newaxis]

    def _shapes(self, rows: int | None = None) -> dict[str, tuple[int | None, ...]]:
        covariates = {
            "known": (rows, self.window + self.horizon, width_of(self.known)),
            "past": (rows, self.window, width_of(self.past)),
            "static": (rows, self.static_width),
        }
        return {
            "values": (rows, self.window),
            "there": (rows, self.window),
            **{name: shape for name, shape in covariates.items() if shape[-1]},
            **dict.fromkeys(self._scalars(), (rows,)),
        }

    def _scalars(self) -> list[str]:
        anchor, lowest = ["anchor"] if self._anchors else [], [] if self.lowest is None else ["lowest"]
        return ["origin", *anchor, "center", "scale", *lowest, "given"]

    def compute_output_spec(self, inputs: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
        own = inputs["y"].dtype
        kinds = {"there": "uint8", "origin": "int64", "anchor": "int64", "given": "int32"}
        kinds |= dict.fromkeys(("center", "scale", "lowest"), own)
        shapes = self._shapes(inputs["ds"].shape[0])
        return {name: keras.KerasTensor(shape, kinds.get(name, "float32")) for name, shape in shapes.items()}

    def get_config(self) -> dict[str, Any]:
        as_before = ("window", "horizon", "step", "fill", "typical", "past", "known", "static")
        own = (*as_before, "usual", "off_grid", "duplicates", "gaps", "lowest", "only_meant")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def width_of(covariates: Mapping[str, Facts]) -> int:
    """How many features they make: one for a number, and one for each of a category's names."""
    return sum(1 if isinstance(facts, dict) else len(facts) for facts in covariates.values())


def _standard(values: tf.Tensor, covariates: Mapping[str, Facts]) -> tf.Tensor:
    facts: list[dict[str, float]] = []
    for known in covariates.values():
        facts += [known] if isinstance(known, dict) else [{"mean": 0.0, "deviation": 1.0}] * len(known)
    mean = tf.constant([fact["mean"] for fact in facts], tf.float32)
    deviation = tf.constant([fact["deviation"] for fact in facts], tf.float32)
    return tf.where(tf.math.is_finite(values), (values - mean) / deviation, 0.0)


def _log(values: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(values, NEXT_TO_NOTHING))


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
