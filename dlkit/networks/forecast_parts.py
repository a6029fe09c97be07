"""What the networks of forecasting have in common: their inputs, and how a context becomes a forecast."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from dlkit.layers.calendar import Calendar
from dlkit.layers.naive_forecasts import MixForecasts, NaiveForecasts, naive_places
from dlkit.layers.ordered_quantiles import OrderedQuantiles


@dataclass(frozen=True)
class Shape:
    """What a forecasting network is given and what it gives.

    Attributes:
        window, horizon: steps of the history, and ahead.
        step: [months, seconds, whole numbers] from one stamp to the next.
        seasons: lengths of seasons, in steps.
        levels: levels of the quantiles, ascending, 0.5 among them.
        known, past, static: how many covariates are known ahead, known up to now, and features of a series.
    """

    window: int
    horizon: int
    step: list[int]
    seasons: list[int]
    levels: list[float]
    known: int = 0
    past: int = 0
    static: int = 0

    @property
    def below(self) -> int:
        """How many levels are below the median."""
        return self.levels.index(0.5)


def inputs_of(shape: Shape) -> dict[str, Any]:
    """The inputs of every forecasting network, as `ReadSeries` gives them; those of no width are left out."""
    window, ahead = shape.window, shape.window + shape.horizon
    made = {
        "values": keras.Input((window,), name="values"),
        "there": keras.Input((window,), dtype="uint8", name="there"),
        "origin": keras.Input((), dtype="int64", name="origin"),
    }
    if shape.known:
        made["known"] = keras.Input((ahead, shape.known), name="known")
    if shape.past:
        made["past"] = keras.Input((window, shape.past), name="past")
    if shape.static:
        made["static"] = keras.Input((shape.static,), name="static")
    return made


def features_of_steps(inputs: dict[str, Any], shape: Shape) -> Any:
    """What is known of each step ahead beside the values: its calendar, its covariates, the series' features, its
    place."""
    calendar = Calendar(1, shape.horizon, shape.step, name="calendar_ahead")(inputs["origin"])
    parts = [calendar]
    if shape.known:
        parts.append(inputs["known"][:, shape.window :])
    if shape.static:
        parts.append(layers.RepeatVector(shape.horizon)(inputs["static"]))
    place = (ops.arange(shape.horizon, dtype="float32") + 1.0) / shape.horizon
    parts.append(ops.ones_like(calendar[:, :, :1]) * place[None, :, None])  # Keras's sum is a BiasAdd XLA takes amiss
    return layers.Concatenate(name="steps_ahead")(parts)


def features_of_history(inputs: dict[str, Any], shape: Shape, recent: int, member: int) -> Any:
    """The newest steps with all that is known of them: (batch, recent, features)."""
    start = shape.window - recent
    there = ops.cast(inputs["there"][:, start:], "float32")
    parts = [inputs["values"][:, start:, None], there[:, :, None]]
    parts.append(Calendar(1 - recent, 0, shape.step, name=f"calendar_so_far_{member}")(inputs["origin"]))
    if shape.known:
        parts.append(inputs["known"][:, start : shape.window])
    if shape.past:
        parts.append(inputs["past"][:, start:])
    if shape.static:
        parts.append(layers.RepeatVector(recent)(inputs["static"]))
    return layers.Concatenate(name=f"steps_so_far_{member}")(parts)


def forecaster(shape: Shape, members: int, units: int, dropout: float, name: str, context: Any) -> keras.Model:
    """A network of members side by side, each with a context of its own, whose mean is the forecast.

    Each member mixes naive forecasts, by weights that it finds for each step from its context and what is known of the
    step and of the steps that the naive forecasts come from, adds what is missing, and gives the widths between
    quantiles.

    Args:
        shape: what is given and what is wanted.
        members: how many; they differ by their first weights alone.
        units: width of the hidden layers.
        dropout: float in [0, 1), of the hidden layers.
        name: of the network.
        context: function from the inputs and a member's number to (batch, width), what it makes of the history.

    Returns:
        keras.Model from the inputs of `inputs_of` to `quantiles`: (batch, members, horizon, levels) float32, scaled.
    """
    inputs = inputs_of(shape)
    places = naive_places(shape.window, shape.horizon, shape.seasons)
    forecasts = NaiveForecasts(places, name="naive")(inputs["values"])
    there = NaiveForecasts(places, name="naive_there")(inputs["there"])
    steps = [features_of_steps(inputs, shape), forecasts, there]
    if shape.known:
        steps.append(NaiveForecasts(places, name="naive_known")(inputs["known"]))
    known = layers.Concatenate(name="known_of_steps")(steps)
    made = [
        _member(shape, units, dropout, member, context(inputs, member), known, (forecasts, there))
        for member in range(members)
    ]
    return keras.Model(inputs, {"quantiles": ops.stack(made, 1)}, name=name)


def _member(shape: Shape, units: int, dropout: float, member: int, context: Any, known: Any, naive: tuple) -> Any:
    forecasts, there = naive
    x = layers.Concatenate()([layers.RepeatVector(shape.horizon)(context), known])
    for depth in range(2):
        x = layers.Dense(units, activation="gelu", name=f"step_{member}_{depth}")(x)
        x = layers.Dropout(dropout)(x)
    logits = layers.Dense(forecasts.shape[-1], dtype="float32", name=f"mixture_{member}")(x)
    rest = layers.Dense(1, kernel_initializer="zeros", dtype="float32", name=f"rest_{member}")(x)
    widths = layers.Dense(
        len(shape.levels) - 1,
        bias_initializer=keras.initializers.Constant(-1.0),
        dtype="float32",
        name=f"widths_{member}",
    )(x)
    median = MixForecasts()(logits, forecasts, there) + rest[..., 0]
    return OrderedQuantiles(shape.below)(median, widths)
