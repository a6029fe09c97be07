"""Sampling of tokens with random numbers of each row's own."""

from __future__ import annotations

from dlkit.lazy import tf


def draw_uniforms(seeds: tf.Tensor, steps: int) -> tf.Tensor:
    """Draw a number in [0, 1) for each row and step, from the seed of the row alone.

    Args:
        seeds: (rows,) int32.
        steps: positive integer.

    Returns:
        (rows, steps) float32.
    """
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([steps], tf.stack([seed, 0]), alg="philox"),
        seeds,
        fn_output_signature=tf.TensorSpec([steps], tf.float32),
    )


def sample_tokens(
    log_probs: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor, uniforms: tf.Tensor
) -> tf.Tensor:
    """Sample a token for each row of a temperature above 0, and mask all other tokens of the row.

    A token is sampled from the `top_k` most probable ones that make up the probability mass `top_p` (nucleus sampling:
    Holtzman et al., 2020, arXiv:1904.09751), at the temperature of the row.

    Args:
        log_probs: (rows, beams, vocabulary) float32; the hypothesis of a row that samples is its first one.
        temperature: (rows,) float32; rows at or below 0 are not changed.
        top_k: (rows,) int32; all tokens at or below 0.
        top_p: (rows,) float32; 1 for all tokens. The most probable token is never excluded.
        uniforms: (rows,) float32 in [0, 1), the random numbers.

    Returns:
        (rows, beams, vocabulary) float32, -inf for tokens that were not sampled.
    """
    vocabulary_size = log_probs.shape[-1]
    is_sampling = temperature > 0
    scaled = log_probs[:, 0] / tf.where(is_sampling, temperature, 1.0)[:, tf.newaxis]
    probabilities, ids = tf.math.top_k(tf.nn.softmax(scaled), vocabulary_size)
    rank = tf.range(vocabulary_size)
    num_candidates = tf.where(top_k > 0, top_k, vocabulary_size)[:, tf.newaxis]
    mass_before = tf.cumsum(probabilities, axis=1, exclusive=True)
    is_candidate = (rank < num_candidates) & (mass_before < top_p[:, tf.newaxis]) | (rank == 0)
    mass = tf.cumsum(tf.where(is_candidate, probabilities, 0.0), axis=1)
    index = tf.reduce_sum(tf.cast(mass <= uniforms[:, tf.newaxis] * mass[:, -1:], tf.int32), 1)
    # Rounding may exceed the last candidate.
    index = tf.minimum(index, tf.reduce_sum(tf.cast(is_candidate, tf.int32), 1) - 1)
    sampled_ids = tf.gather(ids, index, batch_dims=1)
    is_sampled = tf.one_hot(sampled_ids, vocabulary_size, on_value=True, off_value=False, dtype=tf.bool)
    is_masked = is_sampling[:, tf.newaxis] & ~is_sampled
    return tf.where(is_masked[:, tf.newaxis], float("-inf"), log_probs)
