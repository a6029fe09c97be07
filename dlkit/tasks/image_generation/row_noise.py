"""Random numbers of each row from a seed of its own, so that they do not depend on the other rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import tf


def draw_normal(seeds: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Draw standard normal values for each row.

    Args:
        seeds: (batch, 2) int32, or (batch,) int32: a seed of one number is that number and 0.
        shape: shape of the values of a row.

    Returns:
        (batch, *shape) float32. The algorithm is named, so that all devices draw the same.

    Examples:
        >>> seeds = tf.constant([[1, 0], [2, 0]])
        >>> bool(tf.reduce_all(draw_normal(seeds, [3])[1] == draw_normal(seeds[1:], [3])[0]))
        True
    """
    pairs = tf.stack([seeds, tf.zeros_like(seeds)], 1) if seeds.shape.rank == 1 else seeds
    spec = tf.TensorSpec(shape, tf.float32)
    return tf.map_fn(
        lambda seed: tf.random.stateless_normal(shape, seed, alg="philox"), pairs, fn_output_signature=spec
    )


def draw_uniform(seeds: tf.Tensor, shape: Sequence[int] = ()) -> tf.Tensor:
    """Draw values in [0, 1) for each row: (batch, 2) int32 seeds to (batch, *shape) float32."""
    spec = tf.TensorSpec(shape, tf.float32)
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform(shape, seed, alg="philox"), seeds, fn_output_signature=spec
    )
