"""Beam search, language model and alignment of CTC, against all paths and against TensorFlow's decoder."""

import itertools

import numpy as np
import pytest

from dlkit.lazy import tf
from dlkit.tasks.speech_recognition.ctc_alignment import align
from dlkit.tasks.speech_recognition.ctc_beam_search import (
    IMPOSSIBLE,
    Automaton,
    merge_blanks,
    search_greedily,
    search_texts,
)
from dlkit.tasks.speech_recognition.ngram_automaton import learn_automaton, make_automaton, no_language_model
from dlkit.tasks.speech_recognition.transcribe import Transcribe
from dlkit.text.kneser_ney import KneserNey

CHARACTERS = ["a", "b", "c"]
TEXTS = ["abc", "cab", "ab", "ab", "c", "bb"] * 3


def random_log_probs(*shape, seed=0, scale=2.0):
    logits = np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)
    return tf.nn.log_softmax(tf.constant(logits))


def in_graph(automaton):
    return Automaton(tf.constant(automaton.log_probs), tf.constant(automaton.next_states), automaton.start)


def ids_of(row):
    return [int(character) for character in row if character >= 0]


def score_texts(log_probs, blank):
    """The log probability of every text, over all paths."""
    totals = {}
    for path in itertools.product(range(blank + 1), repeat=len(log_probs)):
        text = tuple(key for key, _ in itertools.groupby(path) if key != blank)
        score = sum(log_probs[time, key] for time, key in enumerate(path))
        totals[text] = np.logaddexp(totals.get(text, -np.inf), score)
    return totals


def score_language(automaton, text):
    state, total = automaton.start, 0.0
    for character in text:
        total += automaton.log_probs[state, character]
        state = automaton.next_states[state, character]
    return total + automaton.log_probs[state, -1]


@pytest.fixture(scope="module")
def search():
    """The search in a graph, of a beam that holds every text of five frames."""
    automaton = learn_automaton(TEXTS, CHARACTERS, order=3)
    wide = tf.function(lambda log_probs: search_texts(log_probs, in_graph(automaton), 400, 0.7, 0.5), autograph=False)
    return automaton, wide


def test_the_search_finds_the_best_of_all_texts(search):
    automaton, wide = search
    log_probs = random_log_probs(12, 5, 4)
    texts, scores = wide(log_probs)
    for row in range(12):
        totals = score_texts(log_probs[row].numpy().astype(float), blank=3)
        best = max(totals, key=lambda text: totals[text] + 0.7 * score_language(automaton, text) + 0.5 * len(text))
        assert ids_of(texts[row].numpy()) == [*best]
        assert float(scores[row]) == pytest.approx(totals[best], abs=1e-4)


def test_without_a_language_model_it_is_the_decoder_of_tensorflow():
    log_probs = random_log_probs(8, 40, 4, scale=3.0)
    texts, scores = search_texts(log_probs, in_graph(no_language_model(3)), 64, 0.0, 0.0)
    (decoded,), expected = tf.nn.ctc_beam_search_decoder(tf.transpose(log_probs, [1, 0, 2]), [40] * 8, 64, 1)
    decoded = tf.sparse.to_dense(decoded, -1).numpy()
    for row in range(8):
        assert ids_of(texts[row].numpy()) == ids_of(decoded[row])
    np.testing.assert_allclose(scores, expected[:, 0], atol=0.1)  # each sums the paths that its beam has seen


def test_greedy_takes_the_best_character_of_each_frame():
    frames = [0, 0, 3, 0, 1, 1, 3, 3, 2]  # a a _ a b b _ _ c
    log_probs = tf.nn.log_softmax(9.0 * tf.one_hot([frames], 4))
    texts, score = search_greedily(log_probs)
    assert ids_of(texts[0].numpy()) == [0, 0, 1, 2]
    assert float(score[0]) == pytest.approx(9 * float(log_probs[0, 0, 0]), rel=1e-3)


def test_padding_and_other_rows_change_no_text():
    automaton = in_graph(learn_automaton(TEXTS, CHARACTERS, order=3))
    log_probs = random_log_probs(6, 30, 4)
    padding = tf.where(tf.range(4) == 3, 0.0, IMPOSSIBLE) + tf.zeros([6, 17, 1])
    together, scores = search_texts(tf.concat([log_probs, padding], 1), automaton, 8, 0.5, 0.5)
    for row in range(6):
        alone, score = search_texts(log_probs[row : row + 1], automaton, 8, 0.5, 0.5)
        assert ids_of(alone[0].numpy()) == ids_of(together[row].numpy())
        assert float(score[0]) == pytest.approx(float(scores[row]), abs=1e-4)


def test_runs_of_certain_blanks_count_as_one():
    character = [0.0, IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE]
    blank = [IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE, 0.0]
    log_probs = tf.constant([[character, blank, blank, blank, character], [blank, blank, blank, character, character]])
    merged = merge_blanks(log_probs).numpy()
    assert merged.tolist() == [[character, blank, character], [blank, character, character]]
    texts, _ = search_texts(log_probs, in_graph(no_language_model(3)), 4, 0.0, 0.0)
    assert [ids_of(row) for row in texts.numpy()] == [[0, 0], [0]]


def test_large_alphabets_are_searched_by_their_best_characters():
    log_probs = random_log_probs(2, 12, 201, scale=4.0)
    texts, _ = search_texts(log_probs, in_graph(no_language_model(200)), 16, 0.0, 0.0)
    (decoded,), _ = tf.nn.ctc_beam_search_decoder(tf.transpose(log_probs, [1, 0, 2]), [12] * 2, 16, 1)
    decoded = tf.sparse.to_dense(decoded, -1).numpy()
    assert [ids_of(row) for row in texts.numpy()] == [ids_of(row) for row in decoded]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_automaton_is_the_kneser_ney_model(order):
    generator = np.random.default_rng(order)
    texts = ["".join(generator.choice([*"aab c"], generator.integers(1, 12))) for _ in range(60)]
    characters = sorted({*"".join(texts)})
    documents = [[*map(characters.index, text), len(characters)] for text in texts]
    model = KneserNey(np.concatenate(documents), len(characters) + 1, order, end_id=len(characters))
    automaton = make_automaton(model)
    asked = [[*map(characters.index, text), len(characters)] for text in ("abca", "cc  b", "", "aaaaaab")]
    found = [score_language(automaton, text[:-1]) for text in asked]
    bits = np.split(model.bits(np.concatenate(asked)), np.cumsum([len(text) for text in asked])[:-1])
    np.testing.assert_allclose(found, [-np.log(2) * each.sum() for each in bits], rtol=1e-5)
    np.testing.assert_allclose(np.exp(automaton.log_probs).sum(1), 1, rtol=1e-5)


def test_the_alignment_is_the_best_path_of_the_text():
    log_probs = random_log_probs(5, 6, 4)
    closed = tf.concat([log_probs, tf.where(tf.range(4) == 3, 0.0, IMPOSSIBLE) + tf.zeros([5, 1, 1])], 1)
    texts = [[0, 1], [1, 1], [2], [], [0, 1, 0]]
    padded = tf.constant([[*text, *[-1] * (3 - len(text))] for text in texts])
    first, stop = (each.numpy() for each in align(closed, padded))
    for row, text in enumerate(texts):
        paths = [
            path for path in itertools.product(range(4), repeat=6)
            if [key for key, _ in itertools.groupby(path) if key != 3] == text
        ]  # fmt: skip
        best = max(paths, key=lambda path: sum(log_probs[row, time, key] for time, key in enumerate(path)))
        runs = [(key, [*times]) for key, times in itertools.groupby(range(6), key=lambda time: best[time]) if key != 3]
        assert [*zip(first[row], stop[row], strict=True)][: len(text)] == [
            (times[0], times[-1] + 1) for _, times in runs
        ]
        assert not first[row, len(text) :].any() and not stop[row, len(text) :].any()


def test_words_have_the_times_of_their_characters():
    layer = Transcribe(["a", "b", " "], frame_seconds=0.02, beam_width=1)
    blank = 3
    frames = [[blank, 0, 0, 1, blank, 2, blank, blank, 1, 1], [blank] * 10]
    answer = {name: value.numpy() for name, value in layer(20.0 * tf.one_hot(frames, 4)).items()}
    assert answer["text"].tolist() == [b"ab b", b""]
    assert answer["words"].tolist() == [b"0.02\t0.08\tab\n0.16\t0.20\tb", b""]
    np.testing.assert_allclose(answer["score"], [1, 1], atol=1e-6)


def test_no_frames_are_an_empty_text():
    layer = Transcribe(["a"], frame_seconds=0.02, beam_width=4)
    answer = layer(tf.zeros([1, 0, 2]))
    assert answer["text"].numpy().tolist() == [b""] and answer["words"].numpy().tolist() == [b""]
