"""EASE: a linear item-to-item model with a closed-form solution."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.lazy import keras, tf


def solve_item_weights(
    user: np.ndarray,
    item: np.ndarray,
    num_users: int,
    num_items: int,
    *,
    l2: float,
    mask_rate: float = 0.0,
    user_power: float = 0.0,
    values: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the item-to-item weights that best reconstruct each user's items, each from the other ones.

    References: EASE of Steck, 2019, arXiv:1905.03375, equation 8; with `mask_rate`, the expected loss when that
    fraction of the inputs is masked, Steck, 2020, NeurIPS, "Autoencoders that don't overfit towards the Identity",
    equation 8.
    The weight of a user is n_items ** -user_power, scaled to a mean of 1.

    Args:
        user: (interactions,) int, user indices from 0, sorted.
        item: (interactions,) int, item indices from 0; pairs of user and item are distinct.
        num_users: number of users.
        num_items: number of items.
        l2: positive float, L2 regularization, added to the diagonal of the Gram matrix.
        mask_rate: float in [0, 1), input mask rate.
        user_power: float, exponent of the weight of a user.
        values: (interactions,) float, values of the interactions; None for 1.

    Returns:
        (num_items, num_items) float32, from rows to columns, with zeros on the diagonal.

    Examples:
        >>> user, item = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 2])
        >>> solve_item_weights(user, item, 2, 3, l2=1.0).shape
        (3, 3)
    """
    counts = np.bincount(user, minlength=num_users)
    user_weights = np.maximum(counts, 1.0) ** -user_power
    user_weights *= num_users / user_weights.sum()
    gram = np.zeros((num_items, num_items))
    starts = np.searchsorted(user, np.arange(num_users + 1))
    for first in range(0, num_users, 1024):  # dense chunks of users
        last = min(first + 1024, num_users)
        chunk = np.zeros((last - first, num_items), np.float32)
        rows = slice(starts[first], starts[last])
        chunk[user[rows] - first, item[rows]] = 1.0 if values is None else values[rows]
        gram += chunk.T @ (chunk * user_weights[first:last, None].astype(np.float32))
    diagonal = np.diag_indices(num_items)
    gram[diagonal] += l2 + mask_rate / (1 - mask_rate) * gram[diagonal]
    inverse = np.linalg.inv(gram)
    weights = inverse / -inverse[diagonal]
    weights[diagonal] = 0.0
    return weights.astype(np.float32)


@keras.saving.register_keras_serializable("dlkit")
class EASE(keras.layers.Layer):
    """Scores of all items: the sum of the item-to-item weights of the items of a history, times a scale.

    Only the scale is trained, which calibrates the softmax of the scores. Assign `item_weights`, (num_items,
    num_items), after building.

    Call with `history`: (batch, any) int32, 0 for padding. Returns (batch, 1 + num_items) float32, padding first.

    Args:
        num_items: number of items, without padding.

    Examples:
        >>> layer = EASE(num_items=3)
        >>> layer(np.array([[0, 1, 3]])).shape
        TensorShape([1, 4])
    """

    def __init__(self, num_items: int, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_items = num_items

    def build(self, *_: Any) -> None:
        shape = (self.num_items, self.num_items)
        self.item_weights = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="item_weights")
        self.scale = self.add_weight(shape=(), initializer=keras.initializers.Constant(5.0), name="scale")
        self.built = True

    def call(self, history: tf.Tensor) -> tf.Tensor:
        history = tf.cast(history, tf.int32)
        rows = tf.broadcast_to(tf.range(tf.shape(history)[0])[:, tf.newaxis], tf.shape(history))
        indices = tf.stack([rows, history], 2)
        multi_hot = tf.zeros([tf.shape(history)[0], self.num_items + 1])
        multi_hot = tf.tensor_scatter_nd_update(multi_hot, indices, tf.ones(tf.shape(history)))[:, 1:]
        scores = tf.matmul(multi_hot, tf.convert_to_tensor(self.item_weights)) * tf.convert_to_tensor(self.scale)
        return tf.pad(scores, [[0, 0], [1, 0]])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_items": self.num_items}
