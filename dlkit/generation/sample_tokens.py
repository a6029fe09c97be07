"""Sampling of tokens with random numbers of each row's own, and the penalty of repeated tokens."""

from __future__ import annotations

from collections import namedtuple

from dlkit.lazy import tf

Sampling = namedtuple("Sampling", "temperature top_k top_p seed repetition_penalty", defaults=(None,))
"""How tokens are chosen, (batch,) each: float32, int32, float32, int32, float32. A row of temperature 0 uses beam
search. Without repetition penalties, the last one is None.
"""


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


def penalize_repetition(logits: tf.Tensor, ids: tf.Tensor, penalty: tf.Tensor) -> tf.Tensor:
    """Make tokens that a row has already less probable.

    A positive logit is divided by the penalty, a negative one multiplied: Keskar et al., 2019, arXiv:1909.05858,
    section 4.1, in the form for negative logits that transformers uses.

    Args:
        logits: (rows, vocabulary) float32.
        ids: (rows, tokens) int32, the tokens of the row so far.
        penalty: (rows,) float32, above 0; 1 for none.

    Returns:
        (rows, vocabulary) float32.

    Examples:
        >>> penalize_repetition(tf.constant([[2.0, -2.0, 2.0]]), tf.constant([[0, 1]]), tf.constant([2.0]))[0].numpy()
        array([ 1., -4.,  2.], dtype=float32)
    """
    rows = tf.repeat(tf.range(tf.shape(ids)[0]), tf.shape(ids)[1])
    counts = tf.scatter_nd(
        tf.stack([rows, tf.reshape(ids, [-1])], 1), tf.ones_like(rows), tf.shape(logits, out_type=tf.int32)
    )
    factor = penalty[:, tf.newaxis]
    return tf.where(counts > 0, tf.where(logits > 0, logits / factor, logits * factor), logits)
