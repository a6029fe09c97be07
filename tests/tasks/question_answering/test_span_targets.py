"""Where answers stand in windows of tokens, by the characters under them."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.question_answering.span_targets import make_span_targets
from dlkit.tasks.question_answering.window_packer import WindowPacker
from dlkit.text.words import Words

LONG = " ".join(f"w{number}" for number in range(60))


def make_targets(context, answers):
    words = Words.learn([LONG, "Zoë paid 40 €."], 300, 64)
    windows = WindowPacker(words, 24, 5, 8)(tf.constant(["what"]), tf.constant([context]))
    raw = tf.constant([[[text, str(start)] for text, start in answers]]) if answers else tf.zeros([1, 0, 2], tf.string)
    chosen, places = tf.function(make_span_targets)(windows, raw)
    return windows, chosen.numpy(), {name: value.numpy() for name, value in places.items()}


def text_at(context, windows, chosen, places, window=0, answer=0):
    first, last = places["start_logits"][window, answer], places["end_logits"][window, answer]
    return context[windows["token_starts"][chosen[window], first] : windows["token_ends"][chosen[window], last]]


@pytest.mark.parametrize("number", range(0, 60, 3))
def test_one_window_has_the_answer_and_its_neighbour_points_nowhere(number):
    answer = f"w{number} w{number + 1}" if number < 59 else "w59"
    windows, chosen, places = make_targets(LONG, [(answer, LONG.index(f"w{number}"))])
    assert len(chosen) == 2
    assert abs(chosen[0] - chosen[1]) == 1
    with_answer = int(np.argmax(places["start_logits"][:, 0]))
    assert text_at(LONG, windows, chosen, places, with_answer) == answer
    assert places["start_logits"][1 - with_answer].tolist() == [0, -1, -1, -1]
    assert places["end_logits"][1 - with_answer].tolist() == [0, -1, -1, -1]


def test_characters_and_several_answers():
    text = "Zoë paid 40 €."
    windows, chosen, places = make_targets(text, [("40 €", 9), ("40", 9), ("", -1), ("oë", 1), ("gone", -1)])
    assert chosen.tolist() == [0]
    assert [text_at(text, windows, chosen, places, 0, number) for number in (0, 1, 3)] == ["40 €", "40", "Zoë"]
    assert places["start_logits"][0, 2] == -1


def test_no_answer_is_the_opening_token_of_up_to_two_windows():
    assert make_targets("Zoë paid", [])[2]["start_logits"].tolist() == [[0, -1, -1, -1]]
    _, chosen, places = make_targets(LONG, [])
    assert chosen.tolist() == [0, 1]
    assert places["end_logits"].tolist() == [[0, -1, -1, -1]] * 2


@pytest.mark.parametrize("answers", [[("gone", -1)], [(LONG, 0)]])
def test_what_cannot_be_learned_is_refused(answers):
    with pytest.raises(tf.errors.InvalidArgumentError, match="none of the answers can be learned"):
        make_targets(LONG, answers)
