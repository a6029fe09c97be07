"""The best spans of several windows against every span, tried one by one in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.question_answering.best_spans import BestSpans
from dlkit.tasks.question_answering.windows import Windows
from dlkit.text.words import Words

CONTEXTS = [
    " ".join(f"wört{number}" for number in range(40)),
    "Zoë’s  Café 🌊 opens",
    "",
    " ".join(f"x{number}," for number in range(15)),
]


def made(seed=0):
    words = Words.learn(CONTEXTS, 300, 64)
    windows = Windows(words, 24, 5, 8)(tf.constant(["what is it", "who", "a b c d e f g", ""]), tf.constant(CONTEXTS))
    rng = np.random.default_rng(seed)
    shape = windows["starts"].shape
    logits = {name: tf.constant(rng.normal(size=shape) * 3, tf.float32) for name in ("start_logits", "end_logits")}
    return {**windows, **logits}


def every_span(tensors, row, longest):
    """(logit, start, end) of each span of a row, best first. Of two windows that hold it, the one that owns it."""
    spans = []
    for window in np.flatnonzero(tensors["row"].numpy() == row):
        own, starts, ends = (tensors[name][window].numpy() for name in ("own", "starts", "ends"))
        for first in np.flatnonzero(own):
            for last in range(first, min(first + longest, len(ends))):
                if ends[last]:
                    logit = tensors["start_logits"][window, first] + tensors["end_logits"][window, last]
                    spans.append((float(logit), int(starts[first]), int(ends[last])))
    return sorted(spans, reverse=True)


@pytest.mark.parametrize("unanswerable", [False, True])
def test_the_best_of_all_windows_with_the_softmax_over_all(unanswerable):
    tensors = made()
    answers = BestSpans(3, 4, unanswerable, threshold=0.3)(tensors)
    for row, context in enumerate(CONTEXTS):
        spans = every_span(tensors, row, 4)
        mine = tensors["row"].numpy() == row
        none = (tensors["start_logits"].numpy()[mine, 0] + tensors["end_logits"].numpy()[mine, 0]).min()
        all_logits = np.array([span[0] for span in spans] + ([none] if unanswerable else []), np.float64)
        total = np.logaddexp.reduce(all_logits) if len(all_logits) else 0.0
        listed = [(context[start:end], start, end, np.exp(logit - total)) for logit, start, end in spans[:3]]
        listed += [("", -1, -1, 0.0)] * (3 - len(listed))
        for place, (text, start, end, score) in enumerate(listed):
            assert answers["texts"][row, place].numpy().decode() == text
            assert (answers["starts"][row, place], answers["ends"][row, place]) == (start, end)
            assert answers["scores"][row, place].numpy() == pytest.approx(score, abs=1e-5)
        no_answer = not spans or (unanswerable and np.exp(none - total) >= 0.3)
        expected = ("", -1, -1) if no_answer else listed[0][:3]
        assert (answers["text"][row].numpy().decode(), answers["start"][row], answers["end"][row]) == expected


def test_the_answer_may_lie_in_a_later_window():
    tensors = made()
    later = int(np.flatnonzero(tensors["row"].numpy() == 0)[-1])
    place = int(np.flatnonzero(tensors["own"][later].numpy())[-1])
    peak = tf.one_hot(later, len(tensors["row"]))[:, None] * tf.one_hot(place, tensors["own"].shape[1]) * 99
    tensors |= {name: tensors[name] + peak for name in ("start_logits", "end_logits")}
    assert BestSpans()(tensors)["text"][0] == "wört39"


def test_limit_and_threshold_of_each_row():
    tensors = made(seed=3)
    layer = BestSpans(2, 4, unanswerable=True)
    limit, always, never = tf.constant([1, 2, 1, 4]), tf.zeros([4]), tf.fill([4], 2.0)
    answers = layer(tensors, limit=limit, threshold=never)
    for row in (0, 1, 3):
        _, start, end = every_span(tensors, row, int(limit[row]))[0]
        assert (answers["start"][row], answers["end"][row]) == (start, end)
    assert answers["text"][2] == ""
    assert layer(tensors, limit=limit, threshold=always)["text"].numpy().tolist() == [b""] * 4


def test_a_row_alone_is_the_row_among_others():
    tensors = made()
    together = BestSpans(3, 4, True)(tensors)
    for row, context in enumerate(CONTEXTS):
        mine = tf.where(tensors["row"] == row)[:, 0]
        alone = {name: tf.gather(values, mine) for name, values in tensors.items() if name != "context_text"}
        alone |= {"row": tf.zeros_like(alone["row"]), "context_text": tf.constant([context])}
        for name, values in BestSpans(3, 4, True)(alone).items():
            if values.dtype == tf.float32:
                np.testing.assert_allclose(values[0], together[name][row], atol=1e-6)
            else:
                np.testing.assert_array_equal(values[0], together[name][row])
