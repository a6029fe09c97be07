"""A dense network for forecasting."""

from keras import layers, ops

from dlkit.layers.calendar import Calendar
from dlkit.networks.forecast_parts import forecaster


def forecast_mlp(shape, *, recent, members=1, units=64, dropout=0.1):
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

    def context(inputs, member):
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
