"""Pictures of recordings: words stand under the spectrogram where they were said, and can be read."""

import numpy as np

from dlkit.audio.wav_file import encode_wav
from dlkit.tasks.speech_recognition.plots import plot_clips

RATE = 8000


def tone(hz, seconds=1.0):
    return encode_wav(0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32), RATE)


def answer(*words, starts=(), ends=(), seconds=1.0):
    return {
        "text": " ".join(words), "score": 0.5, "seconds": seconds, "words": list(words), "starts": list(starts),
        "ends": list(ends),
    }  # fmt: skip


def test_words_stand_where_they_were_said():
    figure = plot_clips([tone(1000)], [answer("open", "door", starts=[0.1, 0.6], ends=[0.3, 0.9])], [], RATE, 30.0)
    (axes,) = figure.axes
    assert [(text.get_text(), text.get_position()[0]) for text in axes.texts] == [("open", 0.2), ("door", 0.75)]
    assert len({text.get_position()[1] for text in axes.texts}) == 1
    assert axes.get_title(loc="left") == "open door   (0.50)"


def test_words_that_would_touch_stand_in_two_lines():
    words = answer("extraordinary", "circumstances", starts=[0.1, 0.2], ends=[0.2, 0.3])
    (axes,) = plot_clips([tone(1000)], [words], [], RATE, 30.0).axes
    assert len({text.get_position()[1] for text in axes.texts}) == 2


def test_the_loudest_band_is_that_of_the_tone():
    (axes,) = plot_clips([tone(1000)], [answer()], [], RATE, 30.0).axes
    image = axes.images[0]
    band = int(image.get_array().mean(axis=1).argmax())
    ticks = dict(zip([label.get_text() for label in axes.get_yticklabels()], axes.get_yticks(), strict=True))
    assert abs(band + 0.5 - ticks["1000"]) < 1.5


def test_true_texts_are_told_where_they_differ():
    answers = [answer("one", starts=[0], ends=[1]), answer()]
    figure = plot_clips([tone(500), tone(500)], answers, ["one", "two"], RATE, 30.0)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["one   (0.50)", "(nothing)   (0.50)\ntrue: two"]


def test_single_words_are_titles():
    figure = plot_clips([tone(500, 0.01)], [{"label": "yes", "score": 0.9, "seconds": 0.01}], ["no"], RATE, 30.0)
    assert figure.axes[0].get_title(loc="left") == "yes   (0.90)\ntrue: no"
