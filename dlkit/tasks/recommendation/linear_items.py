"""Items that speak for items: one matrix, worked out in one step."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.lazy import keras, tf


def item_weights(
    user: np.ndarray,
    item: np.ndarray,
    users: int,
    items: int,
    *,
    regularization: float,
    hidden: float = 0.0,
    user_power: float = 0.0,
    values: np.ndarray | None = None,
) -> np.ndarray:
    """The weights of items for items that restore each user's items best, each from the others.

    Source: EASE of Steck, 2019, arXiv:1905.03375, equation 8; with `hidden`, the expected loss where that share of the
    items is hidden, Steck, 2020, NeurIPS, "Autoencoders that don't overfit towards the Identity", equation 8. A user
    counts by the number of items to the power of -`user_power`, scaled to a mean of 1.

    Args:
        user, item: (interactions,) int, distinct pairs, both counted from 0.
        users, items: how many there are.
        regularization: positive float, added to the diagonal of the items' products.
        hidden: float in [0, 1).
        user_power: float.
        values: (interactions,) float, what each counts in the place of 1.

    Returns:
        (items, items) float32, from rows to columns, with zeros on the diagonal.
    """
    counts = np.bincount(user, minlength=users)
    weights = np.maximum(counts, 1.0) ** -user_power
    weights *= users / weights.sum()
    products = np.zeros((items, items))
    starts = np.searchsorted(user, np.arange(users + 1))
    for first in range(0, users, 1024):  # a dense part of the users at a time
        last = min(first + 1024, users)
        part = np.zeros((last - first, items), np.float32)
        rows = slice(starts[first], starts[last])
        part[user[rows] - first, item[rows]] = 1.0 if values is None else values[rows]
        products += part.T @ (part * weights[first:last, None].astype(np.float32))
    diagonal = np.diag_indices(items)
    products[diagonal] += regularization + hidden / (1 - hidden) * products[diagonal]
    inverse = np.linalg.inv(products)
    found = inverse / -inverse[diagonal]
    found[diagonal] = 0.0
    return found.astype(np.float32)


@keras.saving.register_keras_serializable("dlkit")
class LinearItems(keras.layers.Layer):
    """The sum of what each item of a history says of all items, times a factor.

    Only the factor is trained, which makes probabilities of scores. Assign `weights_of_items`, (items, items), after
    building.

    Call with `history`: (batch, any) int32, 0 for none. Returns (batch, 1 + items) float32, nothing's first.

    Args:
        items: positive integer, how many there are, without nothing.
    """

    def __init__(self, items: int, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.items = items

    def build(self, *_: Any) -> None:
        shape = (self.items, self.items)
        self.weights_of_items = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="of_items")
        self.factor = self.add_weight(shape=(), initializer=keras.initializers.Constant(5.0), name="factor")
        self.built = True

    def call(self, history: tf.Tensor) -> tf.Tensor:
        history = tf.cast(history, tf.int32)
        rows = tf.broadcast_to(tf.range(tf.shape(history)[0])[:, tf.newaxis], tf.shape(history))
        cells = tf.stack([rows, history], 2)
        had = tf.zeros([tf.shape(history)[0], self.items + 1])
        had = tf.tensor_scatter_nd_update(had, cells, tf.ones(tf.shape(history)))[:, 1:]
        scores = tf.matmul(had, tf.convert_to_tensor(self.weights_of_items)) * tf.convert_to_tensor(self.factor)
        return tf.pad(scores, [[0, 0], [1, 0]])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "items": self.items}
