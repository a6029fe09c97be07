"""Sampling of tokens, with a chance of each row's own."""

from __future__ import annotations

from dlkit.lazy import tf


def uniforms(seeds: tf.Tensor, steps: int) -> tf.Tensor:
    """A number in [0, 1) for each row and step, from the row's seed alone: (rows,) int32 to (rows, steps) float32."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([steps], tf.stack([seed, 0]), alg="philox"),
        seeds,
        fn_output_signature=tf.TensorSpec([steps], tf.float32),
    )


def draw_tokens(
    log_probs: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor, chance: tf.Tensor
) -> tf.Tensor:
    """Leaves one token to rows that sample, with its log-probability.

    Of the distribution at the temperature, the `top_k` most probable tokens stay, as far as the mass `top_p` reaches
    (Holtzman et al., 2020, arXiv:1904.09751); one of them is drawn by their probabilities.

    Args:
        log_probs: (rows, beams, vocabulary) float32; a row that samples has its hypothesis first.
        temperature: (rows,) float32; 0 and below leaves a row as it is.
        top_k: (rows,) int32; 0 and below for all.
        top_p: (rows,) float32; 1 for all. The most probable token always stays.
        chance: (rows,) float32 in [0, 1).

    Returns:
        (rows, beams, vocabulary) float32, -inf for what was not drawn.
    """
    size = log_probs.shape[-1]
    samples = temperature > 0
    tempered = log_probs[:, 0] / tf.where(samples, temperature, 1.0)[:, tf.newaxis]
    probabilities, ids = tf.math.top_k(tf.nn.softmax(tempered), size)
    rank = tf.range(size)
    most = tf.where(top_k > 0, top_k, size)[:, tf.newaxis]
    before = tf.cumsum(probabilities, axis=1, exclusive=True)
    kept = (rank < most) & (before < top_p[:, tf.newaxis]) | (rank == 0)
    mass = tf.cumsum(tf.where(kept, probabilities, 0.0), axis=1)
    place = tf.reduce_sum(tf.cast(mass <= chance[:, tf.newaxis] * mass[:, -1:], tf.int32), 1)
    place = tf.minimum(place, tf.reduce_sum(tf.cast(kept, tf.int32), 1) - 1)  # rounding may reach beyond the last
    drawn = tf.one_hot(tf.gather(ids, place, batch_dims=1), size, on_value=True, off_value=False, dtype=tf.bool)
    out = samples[:, tf.newaxis] & ~drawn
    return tf.where(out[:, tf.newaxis], float("-inf"), log_probs)
