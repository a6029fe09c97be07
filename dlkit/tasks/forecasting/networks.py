"""What the networks of forecasting have in common: their inputs, and how a context becomes a forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dlkit.lazy import keras, layers, ops
from dlkit.tasks.forecasting.naive_forecasts import MixForecasts, NaiveForecasts, TrendForecasts, naive_places
from dlkit.tasks.forecasting.quantiles import OrderedQuantiles
from dlkit.tasks.forecasting.stamps import Calendar


@dataclass(frozen=True)
class Shape:
    """What a forecasting network is given and what it gives.

    Attributes:
        window, horizon: steps of the history, and ahead.
        step: from one timestamp to the next, as `Step.as_list` gives it.
        seasons: lengths of seasons, in steps.
        levels: levels of the quantiles, ascending, 0.5 among them.
        known, past, static: how many covariates are known ahead, known up to now, and features of a series.
        trends: whether trends are among the naive forecasts.
    """

    window: int
    horizon: int
    step: list[int]
    seasons: list[int]
    levels: list[float]
    known: int = 0
    past: int = 0
    static: int = 0
    trends: bool = True

    @property
    def below(self) -> int:
        """How many levels are below the median."""
        return self.levels.index(0.5)


def trend_options(shape: Shape) -> tuple[int, int, list[int]]:
    """The horizon, the newest steps and the seasons of `TrendForecasts`."""
    recent = min(2 * max(min(shape.seasons, default=1), shape.horizon), shape.window)
    return shape.horizon, recent, [season for season in shape.seasons if 2 * season <= shape.window]


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
    naive = (
        NaiveForecasts(places, name="naive")(inputs["values"]),
        NaiveForecasts(places, name="naive_there")(inputs["there"]),
    )
    if shape.trends:
        trends = TrendForecasts(*trend_options(shape), name="trends")(inputs["values"], inputs["there"])
        naive = tuple(layers.Concatenate()(parts) for parts in zip(naive, trends, strict=True))
    forecasts, there = layers.Identity(name="forecasts")(naive[0]), layers.Identity(name="forecasts_there")(naive[1])
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


TREND = 25  # steps of the moving average, as in the paper


def forecast_linear(shape: Shape, *, parts: Literal["last", "trend"] = "last", members: int = 1) -> keras.Model:
    """A linear map from the window to the horizon, NLinear or DLinear of Zeng et al., 2022, arXiv:2205.13504.

    What is known of the steps ahead adds a linear term, which starts at 0: without covariates and calendar it is the
    paper's network. The widths between quantiles are a linear map of the window too.

    Args:
        shape: see `Shape`.
        parts: "last" for NLinear, which takes the last value off the window and adds it again; "trend" for DLinear,
            which maps a moving average and the rest apart.
        members: how many; they differ by their first weights alone.

    Returns:
        keras.Model from the inputs of `inputs_of` to `quantiles`: (batch, members, horizon, levels) float32, scaled.
    """
    inputs = inputs_of(shape)
    values = inputs["values"]
    last = values[:, -1:]
    steps = features_of_steps(inputs, shape)
    made = []
    for member in range(members):
        if parts == "last":
            median = last + _horizon(shape, f"whole_{member}")(values - last)
        else:
            trend = _moving_average(values)
            median = _horizon(shape, f"trend_{member}")(trend) + _horizon(shape, f"season_{member}")(values - trend)
        term = layers.Dense(1, kernel_initializer="zeros", use_bias=False, dtype="float32", name=f"steps_{member}")(
            steps
        )
        widths = layers.Dense(
            shape.horizon * (len(shape.levels) - 1),
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(-1.0),
            dtype="float32",
            name=f"widths_{member}",
        )(values - last)
        widths = layers.Reshape((shape.horizon, len(shape.levels) - 1), dtype="float32")(widths)
        made.append(OrderedQuantiles(shape.below)(median + term[..., 0], widths))
    return keras.Model(
        inputs, {"quantiles": ops.stack(made, 1)}, name=f"forecast_{'n' if parts == 'last' else 'd'}linear"
    )


def _horizon(shape: Shape, name: str) -> keras.layers.Layer:
    return layers.Dense(shape.horizon, kernel_initializer="zeros", dtype="float32", name=name)


def _moving_average(values: keras.KerasTensor) -> keras.KerasTensor:
    """The mean around each step, the ends repeated: (batch, window)."""
    before, after = (TREND - 1) // 2, TREND // 2
    first, last = ops.repeat(values[:, :1], before, 1), ops.repeat(values[:, -1:], after, 1)
    padded = ops.concatenate([first, values, last], 1)
    return ops.average_pool(padded[..., None], TREND, 1)[..., 0]


def forecast_mlp(shape: Shape, *, recent: int, members: int = 1, units: int = 64, dropout: float = 0.1) -> keras.Model:
    """A dense encoder of the newest values, and a decoder of each step with what is known of it.

    After TiDE (Das et al., 2023, arXiv:2304.08424), whose temporal decoder reads the covariates of each step; what it
    adds to is not a linear map of the window but a mixture of naive forecasts, so that a long window costs no weights.

    Args:
        shape: see `Shape`.
        recent: positive integer, how many of the newest steps the encoder reads.
        members, units, dropout: see `forecaster`.

    Returns:
        keras.Model; see `forecaster`.
    """

    def context(inputs: dict[str, keras.KerasTensor], member: int) -> keras.KerasTensor:
        start = shape.window - recent
        parts = [inputs["values"][:, start:], ops.cast(inputs["there"][:, start:], "float32")]
        parts.append(Calendar(0, 0, shape.step, name=f"calendar_now_{member}")(inputs["origin"])[:, 0])
        if shape.past:
            parts.append(layers.Flatten()(inputs["past"][:, start:]))
        if shape.static:
            parts.append(inputs["static"])
        x = layers.Concatenate()(parts)
        x = layers.Dense(units, activation="gelu", name=f"encoder_{member}")(x)
        return layers.Dropout(dropout)(x)

    return forecaster(shape, members, units, dropout, "forecast_mlp", context)


CELLS = {"lstm": layers.LSTM, "gru": layers.GRU}


def forecast_rnn(
    shape: Shape,
    *,
    recent: int,
    cell: str = "gru",
    members: int = 1,
    units: int = 64,
    dropout: float = 0.1,
) -> keras.Model:
    """An LSTM (Hochreiter and Schmidhuber, 1997) or GRU (Cho et al., 2014) over the newest steps, whose last state is
    the context.

    Args:
        shape: see `Shape`.
        recent: positive integer, how many of the newest steps are read.
        cell: "lstm" or "gru".
        members, units, dropout: see `forecaster`.

    Returns:
        keras.Model; see `forecaster`.
    """

    def context(inputs: dict[str, keras.KerasTensor], member: int) -> keras.KerasTensor:
        x = features_of_history(inputs, shape, recent, member)
        # cuDNN's kernels do not run elsewhere, and an export must.
        return layers.Dropout(dropout)(CELLS[cell](units, use_cudnn=False, name=f"{cell}_{member}")(x))

    return forecaster(shape, members, units, dropout, f"forecast_{cell}", context)


def forecast_tcn(
    shape: Shape, *, recent: int, members: int = 1, units: int = 64, kernel: int = 3, dropout: float = 0.1
) -> keras.Model:
    """Dilated causal convolutions over the newest steps, in residual blocks until the last one sees them all.

    Source: Bai et al., 2018, arXiv:1803.01271, with layer normalization in place of weight normalization.

    Args:
        shape: see `Shape`.
        recent: positive integer, how many of the newest steps are read.
        kernel: odd positive integer, steps of a convolution.
        members, units, dropout: see `forecaster`.

    Returns:
        keras.Model; see `forecaster`.
    """

    def context(inputs: dict[str, keras.KerasTensor], member: int) -> keras.KerasTensor:
        x = layers.Dense(units, name=f"lift_{member}")(features_of_history(inputs, shape, recent, member))
        dilation, seen = 1, 1
        while seen < recent:
            y = x
            for place in range(2):
                y = layers.Conv1D(
                    units, kernel, padding="causal", dilation_rate=dilation, name=f"conv_{member}_{dilation}_{place}"
                )(y)
                y = layers.Dropout(dropout)(layers.Activation("relu")(layers.LayerNormalization()(y)))
            x = layers.Add()([x, y])
            seen, dilation = seen + 2 * (kernel - 1) * dilation, dilation * 2
        return x[:, -1]

    return forecaster(shape, members, units, dropout, "forecast_tcn", context)


def forecast_transformer(
    shape: Shape,
    *,
    recent: int,
    members: int = 1,
    units: int = 64,
    heads: int = 4,
    blocks: int = 2,
    dropout: float = 0.1,
) -> keras.Model:
    """Self-attention over patches of the newest steps, as PatchTST of Nie et al., 2023, arXiv:2211.14730.

    A patch is a sixteenth of what is read, and not shorter than 2 steps; they do not overlap. The patches of all
    covariates are read together, where the paper reads each series on its own.

    Args:
        shape: see `Shape`.
        recent: positive integer, how many of the newest steps are read.
        heads: attention heads; `units` is a multiple.
        blocks: attention blocks.
        members, units, dropout: see `forecaster`.

    Returns:
        keras.Model; see `forecaster`.
    """
    patch = max(2, recent // 16)
    count = -(-recent // patch)

    def context(inputs: dict[str, keras.KerasTensor], member: int) -> keras.KerasTensor:
        x = features_of_history(inputs, shape, recent, member)
        x = layers.ZeroPadding1D((count * patch - recent, 0))(x)
        x = layers.Reshape((count, patch * x.shape[-1]))(x)
        x = layers.Dense(units, name=f"patches_{member}")(x)
        x = x + layers.Embedding(count, units, name=f"places_{member}")(ops.arange(count))
        for block in range(blocks):
            y = layers.LayerNormalization()(x)
            y = layers.MultiHeadAttention(heads, units // heads, dropout=dropout, name=f"attention_{member}_{block}")(
                y, y
            )
            x = layers.Add()([x, layers.Dropout(dropout)(y)])
            y = layers.Dense(2 * units, activation="gelu", name=f"wide_{member}_{block}")(
                layers.LayerNormalization()(x)
            )
            x = layers.Add()([x, layers.Dropout(dropout)(layers.Dense(units, name=f"narrow_{member}_{block}")(y))])
        return layers.Flatten()(layers.LayerNormalization()(x))

    return forecaster(shape, members, units, dropout, "forecast_transformer", context)
