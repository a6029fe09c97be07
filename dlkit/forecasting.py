"""Forecasts with a request's own horizon and quantiles: the signature `forecast`, in Python and to serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.chain import chain
from dlkit.columns import batch_of, tensor_specs
from dlkit.errors import DataError
from dlkit.lazy import tf

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.forecasting import Forecaster


def forecast_signature(task: Forecaster) -> Signature:
    """A history, a horizon up to the trained one and levels of quantiles, to the forecast of so many steps."""
    from dlkit.serving.signature import Signature

    preprocess, network, postprocess = task.stages_.answering()
    layer = postprocess.get_layer("answer")
    run = chain(preprocess, network, postprocess)

    def forecast(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return layer.at(run({name: raw[name] for name in task.inputs}), raw["horizon"], raw["levels"])

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(raw["ds"])[0]
        levels = tf.tile([[task.quantiles[0], 0.5]], [rows, 1])
        return {**raw, "horizon": tf.fill([rows], (task.horizon + 1) // 2), "levels": levels}

    specs = {
        **tensor_specs(task.inputs),
        "horizon": tf.TensorSpec([None], tf.int32),
        "levels": tf.TensorSpec([None, None], tf.float32),
    }
    return Signature("forecast", forecast, specs, example=example)


def forecast(
    task: Forecaster, history: dict[str, Any], horizon: int | None, levels: Sequence[float] | None
) -> dict[str, Any]:
    """One answer; see `Forecaster.forecast`."""
    from dlkit.answering import graph_message
    from dlkit.serving.signature import trace

    task._check_fitted()
    if task._forecasting is None or task._forecasting[0] is not task.stages_:
        task._forecasting = task.stages_, trace(forecast_signature(task))
    horizon = task.horizon if horizon is None else horizon
    levels = list(task.quantiles if levels is None else levels)
    missing = [name for name in task.inputs if name not in history]
    if missing:
        raise DataError(f"the history needs {', '.join(task.inputs)}. There is no {missing[0]!r}.")
    raw = {name: column.raw(history[name]) for name, column in task.inputs.items()}
    asked = {"horizon": tf.constant([horizon], tf.int32), "levels": tf.constant([levels], tf.float32)}
    try:
        made = task._forecasting[1](**batch_of([raw], task.inputs), **asked)
    except tf.errors.InvalidArgumentError as error:
        raise DataError(f"the history: {graph_message(error)}") from error
    quantiles = np.asarray(made["quantiles"][0])[:horizon]
    return {
        "ds": task.answer["ds"].show(made["ds"][0].numpy()[:horizon]),
        "forecast": made["forecast"][0].numpy()[:horizon].tolist(),
        "quantiles": {f"{level:g}": quantiles[:, place].tolist() for place, level in enumerate(levels)},
    }
