"""Linear networks for forecasting."""

import keras
from keras import layers, ops

from dlkit.layers.ordered_quantiles import OrderedQuantiles
from dlkit.networks.forecast_parts import features_of_steps, inputs_of

TREND = 25  # steps of the moving average, as in the paper


def forecast_linear(shape, *, parts="last", members=1):
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


def _horizon(shape, name):
    return layers.Dense(shape.horizon, kernel_initializer="zeros", dtype="float32", name=name)


def _moving_average(values):
    """The mean around each step, the ends repeated: (batch, window)."""
    before, after = (TREND - 1) // 2, TREND // 2
    first, last = ops.repeat(values[:, :1], before, 1), ops.repeat(values[:, -1:], after, 1)
    padded = ops.concatenate([first, values, last], 1)
    return ops.average_pool(padded[..., None], TREND, 1)[..., 0]
