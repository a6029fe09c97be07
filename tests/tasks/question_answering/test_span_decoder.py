"""The best spans of several windows against every span, tried one by one in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.question_answering.span_decoder import SpanDecoder
from dlkit.tasks.question_answering.window_packer import WindowPacker
from dlkit.text.words import Words

CONTEXTS = [
    " ".join(f"wört{number}" for number in range(40)),
    "Zoë’s  Café 🌊 opens",
    "",
    " ".join(f"x{number}," for number in range(15)),
]


def made(seed=0):
    words = Words.learn(CONTEXTS, 300, 64)
    windows = WindowPacker(words, 24, 5, 8)(
        tf.constant(["what is it", "who", "a b c d e f g", "which"]), tf.constant(CONTEXTS)
    )
    rng = np.random.default_rng(seed)
    shape = windows["token_starts"].shape
    logits = {name: tf.constant(rng.normal(size=shape) * 3, tf.float32) for name in ("start_logits", "end_logits")}
    return {**windows, **logits}


def every_span(tensors, row, max_answer_tokens):
    """(logit, start, end) of each span of a row, best first. Of two windows that hold it, the one that owns it."""
    spans = []
    for window in np.flatnonzero(tensors["row_ids"].numpy() == row):
        is_max_context, starts, ends = (
            tensors[name][window].numpy() for name in ("is_max_context", "token_starts", "token_ends")
        )
        for first in np.flatnonzero(is_max_context):
            for last in range(first, min(first + max_answer_tokens, len(ends))):
                if ends[last]:
                    logit = tensors["start_logits"][window, first] + tensors["end_logits"][window, last]
                    spans.append((float(logit), int(starts[first]), int(ends[last])))
    return sorted(spans, reverse=True)


@pytest.mark.parametrize("allow_no_answer", [False, True])
def test_the_best_of_all_windows_with_the_softmax_over_all(allow_no_answer):
    tensors = made()
    answers = SpanDecoder(3, 4, allow_no_answer, no_answer_threshold=0.3)(tensors)
    for row, context in enumerate(CONTEXTS):
        spans = every_span(tensors, row, 4)
        mine = tensors["row_ids"].numpy() == row
        none = (tensors["start_logits"].numpy()[mine, 0] + tensors["end_logits"].numpy()[mine, 0]).min()
        all_logits = np.array([span[0] for span in spans] + ([none] if allow_no_answer else []), np.float64)
        total = np.logaddexp.reduce(all_logits) if len(all_logits) else 0.0
        listed = [(context[start:end], start, end, np.exp(logit - total)) for logit, start, end in spans[:3]]
        listed += [("", -1, -1, 0.0)] * (3 - len(listed))
        for place, (text, start, end, score) in enumerate(listed):
            assert answers["texts"][row, place].numpy().decode() == text
            assert (answers["starts"][row, place], answers["ends"][row, place]) == (start, end)
            assert answers["scores"][row, place].numpy() == pytest.approx(score, abs=1e-5)
        no_answer = not spans or (allow_no_answer and np.exp(none - total) >= 0.3)
        expected = ("", -1, -1) if no_answer else listed[0][:3]
        assert (answers["text"][row].numpy().decode(), answers["start"][row], answers["end"][row]) == expected


def test_the_answer_may_lie_in_a_later_window():
    tensors = made()
    later = int(np.flatnonzero(tensors["row_ids"].numpy() == 0)[-1])
    place = int(np.flatnonzero(tensors["is_max_context"][later].numpy())[-1])
    peak = (
        tf.one_hot(later, len(tensors["row_ids"]))[:, None] * tf.one_hot(place, tensors["is_max_context"].shape[1]) * 99
    )
    tensors |= {name: tensors[name] + peak for name in ("start_logits", "end_logits")}
    assert SpanDecoder()(tensors)["text"][0] == "wört39"


def test_limit_and_threshold_of_each_row():
    tensors = made(seed=3)
    layer = SpanDecoder(2, 4, allow_no_answer=True)
    limit, always, never = tf.constant([1, 2, 1, 4]), tf.zeros([4]), tf.fill([4], 2.0)
    answers = layer(tensors, max_answer_tokens=limit, no_answer_threshold=never)
    for row in (0, 1, 3):
        _, start, end = every_span(tensors, row, int(limit[row]))[0]
        assert (answers["start"][row], answers["end"][row]) == (start, end)
    assert answers["text"][2] == ""
    assert layer(tensors, max_answer_tokens=limit, no_answer_threshold=always)["text"].numpy().tolist() == [b""] * 4


def test_a_row_alone_is_the_row_among_others():
    tensors = made()
    together = SpanDecoder(3, 4, True)(tensors)
    for row, context in enumerate(CONTEXTS):
        mine = tf.where(tensors["row_ids"] == row)[:, 0]
        of_windows = {name: values for name, values in tensors.items() if name not in ("context_text", "truncated")}
        alone = {name: tf.gather(values, mine) for name, values in of_windows.items()}
        alone |= {"row_ids": tf.zeros_like(alone["row_ids"]), "context_text": tf.constant([context])}
        for name, values in SpanDecoder(3, 4, True)(alone).items():
            if values.dtype == tf.float32:
                np.testing.assert_allclose(values[0], together[name][row], atol=1e-6)
            else:
                np.testing.assert_array_equal(values[0], together[name][row])
