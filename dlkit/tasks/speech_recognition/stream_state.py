"""What a stream has said so far, as one row of numbers: a server keeps nothing between requests."""

from __future__ import annotations

from typing import NamedTuple

from dlkit.lazy import tf

HEADER = 6  # numbers of the header: the model, the peak, the samples of the stream in two parts, and two counts
PART = 4096  # of the number of samples: float32 holds integers up to 2 ** 24 alone


class StreamState(NamedTuple):
    """The state of the streams of a batch.

    Attributes:
        peak: (rows,) float32, the largest sample so far.
        samples: (rows,) int32, number of samples so far.
        network: (rows, numbers) float32, the state of the network.
        rest: (rows, any) float32, the last samples, which are part of frames to come.
        rest_count: (rows,) int32, how many there are.
        logits: (rows, any, classes) float32, the outputs of the network so far.
        logits_count: (rows,) int32, how many there are.
    """

    peak: tf.Tensor
    samples: tf.Tensor
    network: tf.Tensor
    rest: tf.Tensor
    rest_count: tf.Tensor
    logits: tf.Tensor
    logits_count: tf.Tensor


class StateLayout(NamedTuple):
    """How the states of a model are written.

    Attributes:
        model: a positive integer below 2 ** 24 that tells this model from others.
        numbers: of the state of the network.
        classes: of the logits.
        most_rest: the most samples that are kept for frames to come.
    """

    model: int
    numbers: int
    classes: int
    most_rest: int

    def pack(self, state: StreamState) -> tf.Tensor:
        """Write states, (rows, any) float32, padded with zeros."""
        header = [
            tf.fill(tf.shape(state.peak), float(self.model)),
            state.peak,
            *(tf.cast(part, tf.float32) for part in (state.samples // PART, state.samples % PART)),
            *(tf.cast(count, tf.float32) for count in (state.rest_count, state.logits_count)),
        ]
        fixed = tf.concat([tf.stack(header, 1), state.network], 1)
        rows = tf.shape(fixed)[0]
        numbers = tf.fill([rows], HEADER + self.numbers)
        # Explicit lengths, as a matrix of no columns has no rows for `tf.reshape`.
        logits = tf.reshape(state.logits, [rows, tf.shape(state.logits)[1] * self.classes])
        parts = ((fixed, numbers), (state.rest, state.rest_count), (logits, state.logits_count * self.classes))
        packed = tf.concat([tf.RaggedTensor.from_tensor(part, lengths) for part, lengths in parts], 1)
        return packed.to_tensor()

    def unpack(self, packed: tf.Tensor) -> tuple[StreamState, tf.Tensor]:
        """Read states.

        Args:
            packed: (rows, any) float32; a row of zeros, or of none, is the state before the first chunk.

        Returns:
            Tuple of the states and whether they are states of this model, (rows,) bool; those that are not are read as
            ones before the first chunk.
        """
        given = tf.shape(packed)[1]
        fixed = HEADER + self.numbers
        packed = tf.pad(packed, [[0, 0], [0, fixed]])
        is_finite = tf.reduce_all(tf.math.is_finite(packed), 1)
        packed = tf.where(is_finite[:, tf.newaxis], packed, 0.0)
        model, peak, *header = tf.unstack(packed[:, :HEADER], HEADER, axis=1)
        in_range = tf.reduce_all([(part >= 0) & (part < 2**24) for part in header], 0)
        high, low, rest, outputs = (tf.cast(tf.where(in_range, part, 0.0), tf.int32) for part in header)
        in_range &= (rest <= self.most_rest) & (high < 2**18)
        size = fixed + tf.cast(rest, tf.int64) + tf.cast(outputs, tf.int64) * self.classes
        is_state = is_finite & in_range & (model == self.model) & (size <= tf.cast(given, tf.int64))
        is_start = is_finite & tf.reduce_all(packed == 0, 1)
        kept = tf.cast(is_state, tf.int32)
        rest, outputs = rest * kept, outputs * kept
        start = tf.fill(tf.shape(rest), fixed)
        state = StreamState(
            peak=tf.where(is_state, peak, 0.0),
            samples=(high * PART + low) * kept,
            network=tf.ensure_shape(
                tf.where(is_state[:, tf.newaxis], packed[:, HEADER:fixed], 0.0), [None, self.numbers]
            ),
            rest=cut(packed, start, rest),
            rest_count=rest,
            logits=tf.reshape(
                cut(packed, start + rest, outputs * self.classes),
                [tf.shape(packed)[0], tf.reduce_max(tf.concat([outputs, [0]], 0)), self.classes],
            ),
            logits_count=outputs,
        )
        return state, is_state | is_start


def append(
    before: tf.Tensor, count_before: tf.Tensor, after: tf.Tensor, count_after: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Join rows of different lengths: (rows, any, ...) each, with how many of each count, (rows,) int32.

    Returns:
        Tuple of the joined rows, padded with zeros, and their counts.
    """
    parts = ((before, count_before), (after, count_after))
    joined = tf.concat([tf.RaggedTensor.from_tensor(values, counts) for values, counts in parts], 1)
    counts = count_before + count_after
    longest = tf.reduce_max(tf.concat([counts, [0]], 0))
    shape = tf.concat([tf.shape(before)[:1], [longest], tf.shape(before)[2:]], 0)
    return tf.ensure_shape(joined.to_tensor(shape=shape), [*before.shape[:1], None, *before.shape[2:]]), counts


def cut(values: tf.Tensor, starts: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Cut a part out of each row, (rows, any): as long as the longest, zeros behind shorter ones."""
    places = tf.range(tf.reduce_max(tf.concat([lengths, [0]], 0)))
    found = tf.gather(values, tf.minimum(starts[:, tf.newaxis] + places, tf.shape(values)[1] - 1), axis=1, batch_dims=1)
    return tf.where(places < lengths[:, tf.newaxis], found, 0.0)
