"""Outputs of a trained network on encoded rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.data.split import evenly_spaced
from dlkit.lazy import keras, tf

if TYPE_CHECKING:
    from dlkit.training.store import Store

BATCH_ROWS = 256
MAX_ROWS = 20_000


def run_network(network: keras.Model, store: Store, max_rows: int = MAX_ROWS) -> tuple[Any, Any]:
    """Run a network on encoded rows without training, on evenly spaced ones if there are more than `max_rows`.

    Args:
        network: a trained network, with a dict of outputs.
        store: the encoded rows.
        max_rows: maximum number of rows.

    Returns:
        Tuple of the outputs and of the training targets of these rows, as arrays.
    """
    run = tf.function(lambda tensors: network(tensors, training=False), autograph=False)
    rows = np.array(evenly_spaced(store.rows, max_rows))
    made, targets = [], []
    for start in range(0, len(rows), BATCH_ROWS):
        tensors, target, *_ = store.rows_at(rows[start : start + BATCH_ROWS])
        made.append(run({name: tf.constant(tensors[name]) for name in network.input}))
        targets.append(target)
    join = tf.nest.map_structure
    return join(lambda *parts: np.concatenate(parts), *made), join(lambda *parts: np.concatenate(parts), *targets)
