"""Forecasting networks: their inputs, the encoders of the context, and the decoder that most of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from dlkit.lazy import keras, layers, ops
from dlkit.regression.quantiles import OrderedQuantiles
from dlkit.tasks.forecasting.naive_forecasts import (
    ForecastMixture,
    NaiveForecasts,
    TrendForecasts,
    get_naive_indices,
)
from dlkit.tasks.forecasting.timestamps import CalendarFeatures


@dataclass(frozen=True)
class NetworkSpec:
    """The shapes of a forecasting network's inputs and outputs.

    Attributes:
        context_length: Input size, in time steps.
        horizon: Forecast horizon, in time steps.
        frequency: Frequency of the timestamps, as `Frequency.as_list` returns it.
        season_lengths: Season lengths, in time steps.
        quantile_levels: Quantile levels, ascending, including 0.5.
        future_features, historical_features, static_features: Number of features that the covariates of each kind
            make; see `dlkit.tasks.forecasting.series_preprocessing.count_features`.
        use_trends: Whether trends are among the naive forecasts.
        use_smoothing: Whether there is a forecast by exponential smoothing.
        lags: Number of time steps that a linear autoregression reads, which is one of the forecasts that are averaged;
            0 for none.
        autoregression_share: Share of the autoregression in a member of the ensemble whose forecasts are not trained;
            the rest is exponential smoothing. 1 without smoothing, and 0 for no autoregression in it.

    Examples:
        >>> NetworkSpec(24, 6, [1, 0, 0, 0, 0, 1], [12], [0.1, 0.5, 0.9]).num_below_median
        1
    """

    context_length: int
    horizon: int
    frequency: list[int]
    season_lengths: list[int]
    quantile_levels: list[float]
    future_features: int = 0
    historical_features: int = 0
    static_features: int = 0
    use_trends: bool = True
    use_smoothing: bool = False
    lags: int = 0
    autoregression_share: float = 0.0

    @property
    def num_below_median(self) -> int:
        """Number of quantile levels below the median."""
        return self.quantile_levels.index(0.5)

    @property
    def has_untrained_member(self) -> bool:
        """Whether the last member of the ensemble is exponential smoothing, an autoregression, or their average."""
        return self.use_smoothing or self.autoregression_share > 0


Encoder = Callable[[dict[str, Any], int], Any]
"""A function of the network's inputs and the number of the ensemble member, to the encoded context (batch, width)."""


def get_trend_options(spec: NetworkSpec) -> tuple[int, int, list[int]]:
    """Return the arguments of `TrendForecasts`: horizon, trend length and season lengths."""
    trend_length = min(2 * max(min(spec.season_lengths, default=1), spec.horizon), spec.context_length)
    fitting = [length for length in spec.season_lengths if 2 * length <= spec.context_length]
    return spec.horizon, trend_length, fitting


def build_inputs(spec: NetworkSpec) -> dict[str, Any]:
    """Build the inputs of a forecasting network, as `SeriesPreprocessing` returns them, without those of no feature."""
    inputs = {
        "values": keras.Input((spec.context_length,), name="values"),
        "observed_mask": keras.Input((spec.context_length,), dtype="uint8", name="observed_mask"),
        "cutoff": keras.Input((), dtype="int64", name="cutoff"),
    }
    if spec.use_smoothing:
        inputs["smoothed"] = keras.Input((spec.horizon,), name="smoothed")
    if spec.future_features:
        shape = (spec.context_length + spec.horizon, spec.future_features)
        inputs["future_covariates"] = keras.Input(shape, name="future_covariates")
    if spec.historical_features:
        shape = (spec.context_length, spec.historical_features)
        inputs["historical_covariates"] = keras.Input(shape, name="historical_covariates")
    if spec.static_features:
        inputs["static_covariates"] = keras.Input((spec.static_features,), name="static_covariates")
    return inputs


def build_horizon_features(inputs: dict[str, Any], spec: NetworkSpec) -> Any:
    """Build the features of each step of the horizon: calendar, future and static covariates, and its position.

    Returns:
        (batch, horizon, features) float32.
    """
    calendar = CalendarFeatures(1, spec.horizon, spec.frequency, name="horizon_calendar")(inputs["cutoff"])
    parts = [calendar]
    if spec.future_features:
        parts.append(inputs["future_covariates"][:, spec.context_length :])
    if spec.static_features:
        parts.append(layers.RepeatVector(spec.horizon)(inputs["static_covariates"]))
    position = (ops.arange(spec.horizon, dtype="float32") + 1.0) / spec.horizon
    # As a product with ones: XLA does not compile the BiasAdd that Keras makes of a sum.
    parts.append(ops.ones_like(calendar[:, :, :1]) * position[None, :, None])
    return layers.Concatenate(name="horizon_features")(parts)


def build_encoder_features(inputs: dict[str, Any], spec: NetworkSpec, encoder_length: int, member: int) -> Any:
    """Build the features of the most recent steps of the context: values, observed mask, calendar and covariates.

    Returns:
        (batch, encoder_length, features) float32.
    """
    start = spec.context_length - encoder_length
    observed_mask = ops.cast(inputs["observed_mask"][:, start:], "float32")
    parts = [inputs["values"][:, start:, None], observed_mask[:, :, None]]
    calendar = CalendarFeatures(1 - encoder_length, 0, spec.frequency, name=f"encoder_calendar_{member}")
    parts.append(calendar(inputs["cutoff"]))
    if spec.future_features:
        parts.append(inputs["future_covariates"][:, start : spec.context_length])
    if spec.historical_features:
        parts.append(inputs["historical_covariates"][:, start:])
    if spec.static_features:
        parts.append(layers.RepeatVector(encoder_length)(inputs["static_covariates"]))
    return layers.Concatenate(name=f"encoder_features_{member}")(parts)


def mixture_forecaster(
    spec: NetworkSpec, encoder: Encoder, *, ensemble_size: int, width: int, dropout: float, name: str
) -> keras.Model:
    """Build an ensemble of networks that decode an encoded context to quantiles.

    The decoder of each member mixes naive forecasts, with weights that it computes for each step of the horizon from
    the encoded context, the features of the step and the future covariates of the steps that the naive forecasts come
    from. It adds a residual to the mixture and computes the widths between quantiles.

    Args:
        spec: Shapes of the inputs and outputs.
        encoder: Function of the inputs and the number of the member, to the encoded context, (batch, any) float32.
        ensemble_size: Number of members, which differ by their initial weights alone.
        width: Width of the hidden layers.
        dropout: Dropout rate of the hidden layers, a float in [0, 1).
        name: Name of the network.

    Returns:
        keras.Model from the inputs of `build_inputs` to `quantiles`: (batch, members, horizon, quantiles) float32,
        scaled as the values are. The members are `ensemble_size` networks and, last, the average of exponential
        smoothing and the autoregression, of which only the widths between quantiles are trained.

    Examples:
        >>> spec = NetworkSpec(24, 6, [1, 0, 0, 0, 0, 1], [12], [0.1, 0.5, 0.9], use_smoothing=True)
        >>> encoder = lambda inputs, member: inputs["values"]
        >>> network = mixture_forecaster(spec, encoder, ensemble_size=2, width=8, dropout=0.0, name="identity")
        >>> network.output["quantiles"].shape
        (None, 3, 6, 3)
    """
    inputs = build_inputs(spec)
    indices = get_naive_indices(spec.context_length, spec.horizon, spec.season_lengths)
    forecasts, valid = _build_forecasts(inputs, spec, indices)
    parts = [build_horizon_features(inputs, spec), forecasts, valid]
    if spec.future_features:
        parts.append(NaiveForecasts(indices, name="naive_covariates")(inputs["future_covariates"]))
    features = layers.Concatenate(name="decoder_features")(parts)
    members = [
        _decode(spec, width, dropout, member, encoder(inputs, member), features, (forecasts, valid))
        for member in range(ensemble_size)
    ]
    if spec.has_untrained_member:
        share = spec.autoregression_share
        parts = [(1.0 - share) * inputs["smoothed"]] if spec.use_smoothing else []
        if share:
            parts.append(share * forecasts[..., -1])
        widths = _build_widths(spec, "untrained", kernel_initializer="zeros")(features)
        members.append(OrderedQuantiles(spec.num_below_median)(sum(parts), widths))
    return keras.Model(inputs, {"quantiles": ops.stack(members, 1)}, name=name)


def _build_forecasts(inputs: dict[str, Any], spec: NetworkSpec, indices: Any) -> tuple[Any, Any]:
    """Build the forecasts that are mixed, (batch, horizon, forecasts), and their mask."""
    values, mask = inputs["values"], inputs["observed_mask"]
    forecasts, valid = NaiveForecasts(indices, name="naive")(values), NaiveForecasts(indices, name="naive_valid")(mask)
    if spec.use_trends:
        trends, trends_valid = TrendForecasts(*get_trend_options(spec), name="trends")(values, mask)
        forecasts, valid = layers.Concatenate()([forecasts, trends]), layers.Concatenate()([valid, trends_valid])
    if spec.lags:
        last = values[:, -1:]
        # Its weights are set from training windows, and stay: the networks correct it.
        regression = layers.Dense(spec.horizon, trainable=False, dtype="float32", name="autoregression")
        regressed = (last + regression(values[:, -spec.lags :] - last))[..., None]
        forecasts, valid = (
            ops.concatenate([forecasts, regressed], -1),
            ops.pad(valid, ((0, 0), (0, 0), (0, 1)), constant_values=1.0),
        )
    return layers.Identity(name="forecasts")(forecasts), layers.Identity(name="forecasts_valid")(valid)


def _decode(
    spec: NetworkSpec, width: int, dropout: float, member: int, context: Any, features: Any, naive: tuple
) -> Any:
    """Decode the context of a member to quantiles, (batch, horizon, quantiles)."""
    forecasts, valid = naive
    x = layers.Concatenate()([layers.RepeatVector(spec.horizon)(context), features])
    for depth in range(2):
        x = layers.Dense(width, activation="gelu", name=f"decoder_{member}_{depth}")(x)
        x = layers.Dropout(dropout)(x)
    logits = layers.Dense(forecasts.shape[-1], dtype="float32", name=f"mixture_{member}")(x)
    residual = layers.Dense(1, kernel_initializer="zeros", dtype="float32", name=f"residual_{member}")(x)
    median = ForecastMixture()(logits, forecasts, valid) + residual[..., 0]
    return OrderedQuantiles(spec.num_below_median)(median, _build_widths(spec, member)(x))


def _build_widths(spec: NetworkSpec, member: int | str, **options: Any) -> keras.layers.Layer:
    """Build the layer that computes the widths between quantiles."""
    return layers.Dense(
        len(spec.quantile_levels) - 1,
        bias_initializer=keras.initializers.Constant(-1.0),
        dtype="float32",
        name=f"widths_{member}",
        **options,
    )


MOVING_AVERAGE_STEPS = 25  # as in the paper


def linear_forecaster(
    spec: NetworkSpec, *, variant: Literal["nlinear", "dlinear"] = "nlinear", ensemble_size: int = 1
) -> keras.Model:
    """Build NLinear or DLinear of Zeng et al., 2022, arXiv:2205.13504, a linear map from the context to the horizon.

    The features of each step of the horizon add a linear term, which is initialized to 0: without covariates and
    calendar it is the paper's network. The widths between quantiles are a linear map of the context, too.

    Args:
        spec: Shapes of the inputs and outputs.
        variant: "nlinear" subtracts the last value of the context and adds it again; "dlinear" maps a moving average
            and the remainder separately.
        ensemble_size: Number of members, which differ by their initial weights alone.

    Returns:
        keras.Model from the inputs of `build_inputs` to `quantiles`: (batch, ensemble_size, horizon, quantiles)
        float32, scaled as the values are.

    Examples:
        >>> spec = NetworkSpec(24, 6, [1, 0, 0, 0, 0, 1], [12], [0.1, 0.5, 0.9])
        >>> linear_forecaster(spec, variant="dlinear").output["quantiles"].shape
        (None, 1, 6, 3)
    """
    inputs = build_inputs(spec)
    values = inputs["values"]
    last = values[:, -1:]
    features = build_horizon_features(inputs, spec)
    members = []
    for member in range(ensemble_size):
        if variant == "nlinear":
            median = last + _project_to_horizon(spec, f"linear_{member}")(values - last)
        else:
            trend = _moving_average(values)
            remainder = _project_to_horizon(spec, f"remainder_{member}")
            median = _project_to_horizon(spec, f"trend_{member}")(trend) + remainder(values - trend)
        term = layers.Dense(
            1, kernel_initializer="zeros", use_bias=False, dtype="float32", name=f"covariates_{member}"
        )(features)
        widths = layers.Dense(
            spec.horizon * (len(spec.quantile_levels) - 1),
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(-1.0),
            dtype="float32",
            name=f"widths_{member}",
        )(values - last)
        widths = layers.Reshape((spec.horizon, len(spec.quantile_levels) - 1), dtype="float32")(widths)
        members.append(OrderedQuantiles(spec.num_below_median)(median + term[..., 0], widths))
    return keras.Model(inputs, {"quantiles": ops.stack(members, 1)}, name=f"forecast_{variant}")


def _project_to_horizon(spec: NetworkSpec, name: str) -> keras.layers.Layer:
    return layers.Dense(spec.horizon, kernel_initializer="zeros", dtype="float32", name=name)


def _moving_average(values: keras.KerasTensor) -> keras.KerasTensor:
    """Compute the moving average, with both ends repeated: (batch, context_length)."""
    before, after = (MOVING_AVERAGE_STEPS - 1) // 2, MOVING_AVERAGE_STEPS // 2
    first, last = ops.repeat(values[:, :1], before, 1), ops.repeat(values[:, -1:], after, 1)
    padded = ops.concatenate([first, values, last], 1)
    return ops.average_pool(padded[..., None], MOVING_AVERAGE_STEPS, 1)[..., 0]


def mlp_forecaster(
    spec: NetworkSpec, *, encoder_length: int, ensemble_size: int = 1, width: int = 64, dropout: float = 0.1
) -> keras.Model:
    """Build a dense encoder of the most recent values, with the decoder of `mixture_forecaster`.

    After TiDE (Das et al., 2023, arXiv:2304.08424), whose temporal decoder reads the covariates of each step. Where
    TiDE adds a linear map of the context, a mixture of naive forecasts is used: a long context costs no weights.

    Args:
        spec: Shapes of the inputs and outputs.
        encoder_length: Positive integer, number of most recent time steps that the encoder reads.
        ensemble_size, width, dropout: See `mixture_forecaster`.

    Returns:
        keras.Model; see `mixture_forecaster`.

    Examples:
        >>> spec = NetworkSpec(24, 6, [1, 0, 0, 0, 0, 1], [12], [0.1, 0.5, 0.9])
        >>> mlp_forecaster(spec, encoder_length=12, width=8).output["quantiles"].shape
        (None, 1, 6, 3)
    """

    def encoder(inputs: dict[str, keras.KerasTensor], member: int) -> keras.KerasTensor:
        start = spec.context_length - encoder_length
        parts = [inputs["values"][:, start:], ops.cast(inputs["observed_mask"][:, start:], "float32")]
        parts.append(CalendarFeatures(0, 0, spec.frequency, name=f"cutoff_calendar_{member}")(inputs["cutoff"])[:, 0])
        if spec.historical_features:
            parts.append(layers.Flatten()(inputs["historical_covariates"][:, start:]))
        if spec.static_features:
            parts.append(inputs["static_covariates"])
        x = layers.Concatenate()(parts)
        x = layers.Dense(width, activation="gelu", name=f"encoder_{member}")(x)
        return layers.Dropout(dropout)(x)

    return mixture_forecaster(
        spec, encoder, ensemble_size=ensemble_size, width=width, dropout=dropout, name="forecast_mlp"
    )


CELLS = {"lstm": layers.LSTM, "gru": layers.GRU}


def rnn_forecaster(
    spec: NetworkSpec,
    *,
    encoder_length: int,
    cell: Literal["lstm", "gru"] = "gru",
    ensemble_size: int = 1,
    width: int = 64,
    dropout: float = 0.1,
) -> keras.Model:
    """Build a recurrent encoder of the most recent time steps, with the decoder of `mixture_forecaster`.

    The last state of an LSTM (Hochreiter and Schmidhuber, 1997) or GRU (Cho et al., 2014) is the encoded context.

    Args:
        spec: Shapes of the inputs and outputs.
        encoder_length: Positive integer, number of most recent time steps that the encoder reads.
        cell: "lstm" or "gru".
        ensemble_size, width, dropout: See `mixture_forecaster`; `width` is that of the recurrent state, too.

    Returns:
        keras.Model; see `mixture_forecaster`.

    Examples:
        >>> spec = NetworkSpec(24, 6, [1, 0, 0, 0, 0, 1], [12], [0.1, 0.5, 0.9])
        >>> rnn_forecaster(spec, encoder_length=12, cell="lstm", width=8).output["quantiles"].shape
        (None, 1, 6, 3)
    """

    def encoder(inputs: dict[str, keras.KerasTensor], member: int) -> keras.KerasTensor:
        x = build_encoder_features(inputs, spec, encoder_length, member)
        # cuDNN's kernels run on GPUs only, and an exported model must run anywhere.
        return layers.Dropout(dropout)(CELLS[cell](width, use_cudnn=False, name=f"{cell}_{member}")(x))

    return mixture_forecaster(
        spec, encoder, ensemble_size=ensemble_size, width=width, dropout=dropout, name=f"forecast_{cell}"
    )


def tcn_forecaster(
    spec: NetworkSpec,
    *,
    encoder_length: int,
    ensemble_size: int = 1,
    width: int = 64,
    kernel_size: int = 3,
    dropout: float = 0.1,
) -> keras.Model:
    """Build a temporal convolutional encoder of the most recent steps, with the decoder of `mixture_forecaster`.

    Residual blocks of dilated causal convolutions are stacked until the receptive field of the last step holds all
    steps that are read. Source: Bai et al., 2018, arXiv:1803.01271, with layer normalization in place of weight
    normalization.

    Args:
        spec: Shapes of the inputs and outputs.
        encoder_length: Positive integer, number of most recent time steps that the encoder reads.
        kernel_size: Odd positive integer, in time steps.
        ensemble_size, width, dropout: See `mixture_forecaster`.

    Returns:
        keras.Model; see `mixture_forecaster`.

    Examples:
        >>> spec = NetworkSpec(24, 6, [1, 0, 0, 0, 0, 1], [12], [0.1, 0.5, 0.9])
        >>> tcn_forecaster(spec, encoder_length=12, width=8).output["quantiles"].shape
        (None, 1, 6, 3)
    """

    def encoder(inputs: dict[str, keras.KerasTensor], member: int) -> keras.KerasTensor:
        features = build_encoder_features(inputs, spec, encoder_length, member)
        x = layers.Dense(width, name=f"input_projection_{member}")(features)
        dilation, receptive_field = 1, 1
        while receptive_field < encoder_length:
            y = x
            for depth in range(2):
                y = layers.Conv1D(
                    width,
                    kernel_size,
                    padding="causal",
                    dilation_rate=dilation,
                    name=f"conv_{member}_{dilation}_{depth}",
                )(y)
                y = layers.Dropout(dropout)(layers.Activation("relu")(layers.LayerNormalization()(y)))
            x = layers.Add()([x, y])
            receptive_field, dilation = receptive_field + 2 * (kernel_size - 1) * dilation, dilation * 2
        return x[:, -1]

    return mixture_forecaster(
        spec, encoder, ensemble_size=ensemble_size, width=width, dropout=dropout, name="forecast_tcn"
    )


def transformer_forecaster(
    spec: NetworkSpec,
    *,
    encoder_length: int,
    ensemble_size: int = 1,
    width: int = 64,
    heads: int = 4,
    blocks: int = 2,
    dropout: float = 0.1,
) -> keras.Model:
    """Build a transformer encoder over patches of the most recent steps, with the decoder of `mixture_forecaster`.

    After PatchTST (Nie et al., 2023, arXiv:2211.14730). The patches do not overlap; each is a sixteenth of the steps
    that are read, and at least 2 steps. A patch holds the values and all covariates, where the paper processes each
    channel separately.

    Args:
        spec: Shapes of the inputs and outputs.
        encoder_length: Positive integer, number of most recent time steps that the encoder reads.
        heads: Number of attention heads; `width` must be a multiple of it.
        blocks: Number of transformer blocks.
        ensemble_size, width, dropout: See `mixture_forecaster`.

    Returns:
        keras.Model; see `mixture_forecaster`.

    Examples:
        >>> spec = NetworkSpec(24, 6, [1, 0, 0, 0, 0, 1], [12], [0.1, 0.5, 0.9])
        >>> transformer_forecaster(spec, encoder_length=12, width=8).output["quantiles"].shape
        (None, 1, 6, 3)
    """
    patch_length = max(2, encoder_length // 16)
    num_patches = -(-encoder_length // patch_length)

    def encoder(inputs: dict[str, keras.KerasTensor], member: int) -> keras.KerasTensor:
        x = build_encoder_features(inputs, spec, encoder_length, member)
        x = layers.ZeroPadding1D((num_patches * patch_length - encoder_length, 0))(x)
        x = layers.Reshape((num_patches, patch_length * x.shape[-1]))(x)
        x = layers.Dense(width, name=f"patch_embedding_{member}")(x)
        x = x + layers.Embedding(num_patches, width, name=f"position_embedding_{member}")(ops.arange(num_patches))
        for block in range(blocks):
            y = layers.LayerNormalization()(x)
            y = layers.MultiHeadAttention(heads, width // heads, dropout=dropout, name=f"attention_{member}_{block}")(
                y, y
            )
            x = layers.Add()([x, layers.Dropout(dropout)(y)])
            y = layers.Dense(2 * width, activation="gelu", name=f"feedforward_{member}_{block}")(
                layers.LayerNormalization()(x)
            )
            # The dropout layer draws its seed before the dense layer draws that of its weights.
            dropout_layer = layers.Dropout(dropout)
            y = layers.Dense(width, name=f"feedforward_output_{member}_{block}")(y)
            x = layers.Add()([x, dropout_layer(y)])
        return layers.Flatten()(layers.LayerNormalization()(x))

    return mixture_forecaster(
        spec, encoder, ensemble_size=ensemble_size, width=width, dropout=dropout, name="forecast_transformer"
    )
