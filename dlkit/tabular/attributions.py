"""Attributions of a prediction to the columns of its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dlkit.columns import to_batch
from dlkit.graph_predictor import inputs_to_table
from dlkit.lazy import keras, tf
from dlkit.tabular.preprocess import input_of_cells

STEPS = 64  # of the path from the reference row


def attribute(
    task: Any, row: Mapping[str, Any], output: Callable[[dict[str, tf.Tensor]], tf.Tensor]
) -> tuple[dict[str, float], float]:
    """Attribute a prediction to the columns of a row by integrated gradients.

    The path leads from a reference row, with medians for numbers, unknown categories and empty texts, along the
    embeddings of the cells. Source: Sundararajan et al., 2017, arXiv:1703.01365.

    Args:
        task: a fitted task of tables.
        row: a row, as `predict` takes it.
        output: from the outputs of the network, by name, to the (batch,) number to explain.

    Returns:
        The contribution of each column, largest first, and the prediction for the reference row. The contributions add
        up to the difference of the two predictions, up to the error of the integral.
    """
    raw = inputs_to_table(row, task.inputs)[0].raw(0, task.inputs)
    cells = task.stages_.preprocess(to_batch([raw], task.inputs))
    network = task.stages_.network
    embedding = network.get_layer("features")
    body = keras.Model(embedding.output, network.output)
    aim = embedding({name: cells[name] for name in network.input})
    start = embedding({name: tf.zeros_like(cells[name]) for name in network.input})  # 0: median, unknown, padding
    steps = (tf.range(STEPS, dtype=aim.dtype) + 0.5) / STEPS
    path = start + tf.reshape(steps, [-1] + [1] * (len(aim.shape) - 1)) * (aim - start)
    with tf.GradientTape() as tape:
        tape.watch(path)
        total = tf.reduce_sum(output(body(path, training=False)))
    products = ((aim - start)[0] * tf.reduce_mean(tape.gradient(total, path), axis=0)).numpy()
    if embedding.flat:
        by_cell = np.add.reduceat(products, np.cumsum([0, *embedding.widths[:-1]]))
    else:
        by_cell = products.sum(axis=-1)
    contributions = dict.fromkeys(task.inputs, 0.0)
    for name, value in zip(input_of_cells(task.inputs), by_cell, strict=True):
        contributions[name] += float(value)
    ordered = dict(sorted(contributions.items(), key=lambda item: -abs(item[1])))
    return ordered, float(output(body(start, training=False))[0])
