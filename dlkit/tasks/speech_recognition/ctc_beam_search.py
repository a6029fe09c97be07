"""Beam search over the texts that CTC frames may stand for, with a language model, in core TensorFlow ops.

`tf.nn.ctc_beam_search_decoder` has no place for a language model, and works through the rows of a batch one by one.
"""

from __future__ import annotations

from typing import NamedTuple

from dlkit.lazy import tf

IMPOSSIBLE = -1e9  # the logarithm of a probability of 0: finite, so that sums and differences stay numbers
CERTAIN_BLANK = -0.003  # the log probability of a blank above which a run of such frames counts as one
MAX_CANDIDATES = 48  # the most probable characters of a frame that extend texts, for large alphabets
HASH_FACTOR = 1_000_003
NO_KEY = -(2**62)


class Automaton(NamedTuple):
    """The tables of an `NgramAutomaton` in the graph."""

    log_probs: tf.Tensor
    next_states: tf.Tensor
    start: int


class Frames(NamedTuple):
    """What the search reads of its frames; those that are padding are certain blanks.

    Attributes:
        blank: (batch, frames) float32, log probability of the blank.
        characters: (batch, frames, characters) float32, those of the characters.
        candidates: (batch, frames, candidates) int32, the most probable characters of each frame.
        candidate_log_probs: (batch, frames, candidates) float32.
    """

    blank: tf.Tensor
    characters: tf.Tensor
    candidates: tf.Tensor
    candidate_log_probs: tf.Tensor


class Beam(NamedTuple):
    """The best texts so far of each row, (batch, width) each.

    Attributes:
        blank, no_blank: float32, log probabilities of the paths of a text that end with a blank, or with its last
            character.
        bonus: float32, weighted log probability of the language model, and the bonus of the characters.
        state: int32, of the automaton.
        last: int32, the last character; -1 for an empty text.
        key, parent_key: int64, hashes of the text, and of the text without its last character.
    """

    blank: tf.Tensor
    no_blank: tf.Tensor
    bonus: tf.Tensor
    state: tf.Tensor
    last: tf.Tensor
    key: tf.Tensor
    parent_key: tf.Tensor


def search_texts(
    log_probs: tf.Tensor, automaton: Automaton, width: int, language_weight: float, character_bonus: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the most probable text of each row.

    Texts are ranked by their log probability under CTC, plus `language_weight` times that under the language model,
    plus `character_bonus` for each character. Source: Hannun et al., 2014, arXiv:1408.2873, algorithm 1, with the
    language model applied to every character.

    Args:
        log_probs: (batch, frames, characters + 1) float32, the blank last.
        automaton: the language model.
        width: number of texts that are kept after each frame.
        language_weight, character_bonus: as above.

    Returns:
        Tuple of the characters, (batch, frames) int32, padded with -1, and the log probability under CTC of the text,
        (batch,) float32: of its paths that the search has seen.
    """
    frames = _read_frames(merge_blanks(log_probs))
    beam = _start(tf.shape(log_probs)[0], width, automaton.start)
    steps = tf.shape(frames.blank)[1]
    links = tf.TensorArray(tf.int32, steps, element_shape=[None, width])
    added = tf.TensorArray(tf.int32, steps, element_shape=[None, width])

    def step(
        time: tf.Tensor, beam: Beam, links: tf.TensorArray, added: tf.TensorArray
    ) -> tuple[tf.Tensor, Beam, tf.TensorArray, tf.TensorArray]:
        beam, link, character = _extend(
            beam, Frames(*(part[:, time] for part in frames)), automaton, language_weight, character_bonus
        )
        return time + 1, beam, links.write(time, link), added.write(time, character)

    _, beam, links, added = tf.while_loop(
        lambda time, *_: time < steps, step, (0, beam, links, added), parallel_iterations=1
    )
    total = _add(beam.blank, beam.no_blank)
    ends = language_weight * tf.gather(automaton.log_probs[:, -1], beam.state)
    best = tf.argmax(total + beam.bonus + ends, 1, output_type=tf.int32)
    return _trace(links, added, best, steps), tf.gather(total, best, batch_dims=1)


def merge_blanks(log_probs: tf.Tensor) -> tf.Tensor:
    """Leave out frames with a certain blank after another such frame; rows are padded with certain blanks.

    What is left out changes the probability of a text by less than its share of `CERTAIN_BLANK`.

    Args:
        log_probs: (batch, frames, characters + 1) float32, the blank last.

    Returns:
        (batch, at most frames, characters + 1) float32.
    """
    certain = log_probs[:, :, -1] > CERTAIN_BLANK
    kept = ~(certain & tf.pad(certain[:, :-1], [[0, 0], [1, 0]]))
    count = tf.reduce_sum(tf.cast(kept, tf.int32), 1)
    order = tf.argsort(tf.cast(~kept, tf.int32), 1, stable=True)[:, : tf.maximum(tf.reduce_max(count), 1)]
    merged = tf.gather(log_probs, order, batch_dims=1)
    is_padding = ~tf.sequence_mask(count, tf.shape(order)[1])
    outputs = log_probs.shape[-1]
    padding = tf.where(tf.range(outputs) == outputs - 1, 0.0, IMPOSSIBLE)
    return tf.where(is_padding[:, :, tf.newaxis], padding, merged)


def _read_frames(log_probs: tf.Tensor) -> Frames:
    characters = log_probs[:, :, :-1]
    best, candidates = tf.math.top_k(characters, min(MAX_CANDIDATES, characters.shape[-1]))
    return Frames(log_probs[:, :, -1], characters, candidates, best)


def _start(rows: tf.Tensor, width: int, state: int) -> Beam:
    """Return the beam before the first frame: the empty text, and others that are impossible."""
    first = tf.tile((tf.range(width) == 0)[tf.newaxis], [rows, 1])
    zeros = tf.zeros_like(first, tf.float32)
    return Beam(
        blank=tf.where(first, 0.0, IMPOSSIBLE),
        no_blank=tf.fill(tf.shape(zeros), IMPOSSIBLE),
        bonus=zeros,
        state=tf.fill(tf.shape(zeros), state),
        last=tf.fill(tf.shape(zeros), -1),
        key=tf.where(first, tf.zeros([], tf.int64), _impossible_keys(width)),
        parent_key=tf.fill(tf.shape(zeros), tf.constant(NO_KEY, tf.int64)),
    )


def _extend(
    beam: Beam, frame: Frames, automaton: Automaton, language_weight: float, character_bonus: float
) -> tuple[Beam, tf.Tensor, tf.Tensor]:
    """Return the beam after a frame, and for each of its texts the text before it was added and what was added."""
    width, candidates = beam.last.shape[1], frame.candidates.shape[1]
    total = _add(beam.blank, beam.no_blank)
    longer = _score_longer(beam, total, frame)
    stayed, longer = _score_same(beam, total, frame, longer)
    bonuses = tf.gather(tf.gather(automaton.log_probs, beam.state), frame.candidates, axis=2, batch_dims=1)
    bonuses = beam.bonus[:, :, tf.newaxis] + language_weight * bonuses + character_bonus
    blank = total + frame.blank[:, tf.newaxis]
    ranks = tf.concat(
        [_add(blank, stayed) + beam.bonus, tf.reshape(longer + bonuses, [-1, width * candidates])], axis=1
    )
    rank, chosen = tf.math.top_k(ranks, width)
    is_possible = rank > IMPOSSIBLE / 2
    is_longer = chosen >= width
    place = tf.maximum(chosen - width, 0)  # among the longer ones
    link = tf.where(is_longer, place // candidates, chosen)
    character = tf.where(is_longer, tf.gather(frame.candidates, place % candidates, batch_dims=1), -1)

    def choose(same: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
        return tf.where(is_longer, changed, tf.gather(same, link, batch_dims=1))

    def choose_longer(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.reshape(values, [-1, width * candidates]), place, batch_dims=1)

    parent_key, parent_state = (tf.gather(values, link, batch_dims=1) for values in (beam.key, beam.state))
    key = choose(beam.key, parent_key * HASH_FACTOR + tf.cast(character, tf.int64) + 1)
    return (
        Beam(
            blank=choose(blank, tf.fill(tf.shape(blank), IMPOSSIBLE)),
            no_blank=choose(stayed, choose_longer(longer)),
            bonus=choose(beam.bonus, choose_longer(bonuses)),
            state=choose(
                beam.state,
                tf.gather_nd(automaton.next_states, tf.stack([parent_state, tf.maximum(character, 0)], -1)),
            ),
            last=choose(beam.last, character),
            key=tf.where(is_possible, key, _impossible_keys(width)),
            parent_key=tf.where(is_possible, choose(beam.parent_key, parent_key), tf.constant(NO_KEY, tf.int64)),
        ),
        link,
        character,
    )


def _impossible_keys(width: int) -> tf.Tensor:
    """Return keys of impossible texts, (width,) int64: those that fill up a beam must not pass for texts of it."""
    return -1 - tf.range(width, dtype=tf.int64)


def _score_longer(beam: Beam, total: tf.Tensor, frame: Frames) -> tf.Tensor:
    """Return the log probability of each text with each candidate added, (batch, width, candidates)."""
    is_repeated = beam.last[:, :, tf.newaxis] == frame.candidates[:, tf.newaxis]  # needs a blank in between
    before = tf.where(is_repeated, beam.blank[:, :, tf.newaxis], total[:, :, tf.newaxis])
    return before + frame.candidate_log_probs[:, tf.newaxis]


def _score_same(beam: Beam, total: tf.Tensor, frame: Frames, longer: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return log probabilities of the paths of each text that end with its last character, and the longer texts' again.

    A text of the beam may also come from another one, to which its last character is added: the paths of both are
    added up, and the longer text is taken out.
    """
    known = tf.maximum(beam.last, 0)
    of_last = tf.where(beam.last >= 0, tf.gather(frame.characters, known, batch_dims=1), IMPOSSIBLE)
    comes_from = beam.key[:, :, tf.newaxis] == beam.parent_key[:, tf.newaxis]  # (batch, parent, text)
    is_same = beam.last[:, :, tf.newaxis] == beam.last[:, tf.newaxis]
    grown = tf.where(is_same, beam.blank[:, :, tf.newaxis], total[:, :, tf.newaxis]) + of_last[:, tf.newaxis]
    grown = tf.reduce_max(tf.where(comes_from, grown, IMPOSSIBLE), 1)
    is_added = tf.cast(beam.last[:, :, tf.newaxis] == frame.candidates[:, tf.newaxis], tf.float32)
    is_known = tf.matmul(tf.cast(comes_from, tf.float32), is_added) > 0
    return _add(beam.no_blank + of_last, grown), tf.where(is_known, IMPOSSIBLE, longer)


def _add(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Add probabilities given by their logarithms."""
    high, low = tf.maximum(first, second), tf.minimum(first, second)
    return high + tf.math.log1p(tf.exp(low - high))


def _trace(links: tf.TensorArray, added: tf.TensorArray, best: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Follow the links back from the best texts: (batch,) int32 to characters, (batch, steps) int32, padded with -1."""
    all_links, all_added = links.stack(), added.stack()

    def step(time: tf.Tensor, at: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        found = found.write(time, tf.gather(all_added[time], at, batch_dims=1))
        return time - 1, tf.gather(all_links[time], at, batch_dims=1), found

    found = tf.TensorArray(tf.int32, steps, element_shape=[None])
    *_, found = tf.while_loop(lambda time, *_: time >= 0, step, (steps - 1, best, found), parallel_iterations=1)
    return pack_left(tf.transpose(found.stack()))


def pack_left(characters: tf.Tensor) -> tf.Tensor:
    """Move the characters of each row, (batch, any) int32, to its start, before all -1."""
    order = tf.argsort(tf.cast(characters < 0, tf.int32), 1, stable=True)
    return tf.gather(characters, order, batch_dims=1)


def search_greedily(log_probs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Take the most probable character of each frame; returns what `search_texts` does, of the single best path."""
    best = tf.argmax(log_probs, 2, output_type=tf.int32)
    is_repeated = tf.pad(best[:, 1:] == best[:, :-1], [[0, 0], [1, 0]])
    is_blank = best == log_probs.shape[-1] - 1
    score = tf.reduce_sum(tf.reduce_max(log_probs, 2), 1)
    return pack_left(tf.where(is_blank | is_repeated, -1, best)), score
