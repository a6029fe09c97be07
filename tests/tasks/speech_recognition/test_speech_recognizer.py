"""The task: what is learned from recordings with texts, what is left out, and what is answered."""

import numpy as np
import pytest

import dlkit
from dlkit.audio.columns import Audio
from dlkit.audio.wav_file import encode_wav
from dlkit.data.read import read
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.tasks.speech_recognition.rows import TranscriptRows
from dlkit.tasks.speech_recognition.sample import load_words
from dlkit.tasks.speech_recognition.stages import learn_language
from dlkit.tasks.speech_recognition.transcripts import Transcript

TINY = {"width": 8, "blocks": 1, "mels": 12, "stride": 4, "beam_width": 4, "lm_order": 3, "epochs": 1}


def tone(seconds, rate=8000, level=0.3):
    times = np.arange(int(seconds * rate)) / rate
    return encode_wav((level * np.sin(2 * np.pi * 440 * times)).astype(np.float32), rate)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A recognizer of six clips, four more of which are left out, with a language model of other texts."""
    clips = [tone(1 + number / 4) for number in range(6)]
    texts = ["One, two!", "two three", "ONE", "three: one", "two", "don’t"]
    rows = {
        "audio": [*clips, tone(1), tone(0.1), tone(1, level=1e-4), b"no sound"],
        "text": [*texts, " — ", "too long for its clip", "silent", "two"],
    }
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("One one one!\n\nTwo.\n")
    task = dlkit.SpeechRecognizer(**TINY, lm_texts=str(file))
    task.fit(rows, {"audio": [tone(1)] * 2, "text": ["zero", "one"]}, verbose=0)
    return task


def test_what_cannot_be_learned_is_left_out_and_named(task):
    remarks = "\n".join(task.report_["remarks"])
    assert "1 of 10 rows have no text (the first: the dict of columns, index 6): dropped" in remarks
    assert "3 of 9 rows skipped" in remarks
    for reason in ("index 7: too short for its text", "index 8: silent, but has a text", "index 9: not a WAV file"):
        assert reason in remarks
    assert task.fingerprint_["rows"] == 6
    assert (
        "1 of 2 texts contain characters that do not occur in the training texts ('z'): the loss leaves them out"
        in remarks
    )


def test_texts_are_learned_without_case_and_punctuation(task):
    assert "".join(task.characters_) == " 'cdefghilnoprstw"
    assert task.rate_ == 8000
    true = task.evaluate({"audio": [tone(1)], "text": ["ONE (two)"]})
    assert true["words"] == 2


def test_silence_gives_nothing(task):
    for samples in (np.zeros(16000, np.int16), np.full(16000, 5, np.int16), np.zeros(1, np.int16)):
        answer = task.predict((samples, 16000))
        assert answer["text"] == "" and answer["words"] == [] and answer["score"] == pytest.approx(1)
        assert answer["seconds"] == pytest.approx(len(samples) / 16000)


def test_a_clip_that_is_too_long_is_refused(task):
    with pytest.raises(DlkitError, match=r"input 1: 31.00 seconds, allowed: 30"):
        task.predict([tone(1), tone(31)])


def test_the_language_model_is_that_of_the_file(task, tmp_path):
    assert task.language_model_["texts"] == 2
    log_probs = task.stages_.postprocess.get_layer("transcribe").log_probs.numpy()
    one, two = (task.characters_.index(text[0]) for text in ("one", "two"))
    assert log_probs[0, one] > log_probs[0, two]  # three against one in the file, two against four in the rows
    file = tmp_path / "texts.txt"
    file.write_text("\n ... \n")
    with pytest.raises(DataError, match=r"lm_texts.*has no text with letters or digits"):
        learn_language(dlkit.SpeechRecognizer(lm_texts=str(file)), [])
    file.unlink()
    with pytest.raises(DlkitError, match=r"texts\.txt"):
        learn_language(dlkit.SpeechRecognizer(lm_texts=str(file)), [])


def test_rows_without_any_text_are_refused():
    table = read({"audio": [tone(1)] * 2, "text": ["...", ""]}, {"audio": Audio(), "text": Transcript()})
    with pytest.raises(DataError, match="none of the 2 rows has a text with letters or digits"):
        TranscriptRows(dlkit.SpeechRecognizer(), table).cleaned()


def test_an_objective_has_its_networks():
    with pytest.raises(HparamError, match=r'objective="words" has the networks tdnn and cnn.*network="conv_gru"'):
        dlkit.SpeechRecognizer(objective="words", network="conv_gru")
    with pytest.raises(HparamError, match=r'not for texts. Received: objective="text", network="cnn"'):
        dlkit.SpeechRecognizer(network="cnn")
    assert dlkit.SpeechRecognizer(objective="words", mels=40).hparams["mels"] == 40
    words = dlkit.SpeechRecognizer(objective="words")
    assert (words.default_epochs.usual, dlkit.SpeechRecognizer().default_epochs.usual) == (120, 60)
    assert words.mels == 24 and dlkit.SpeechRecognizer().mels == 64
    with pytest.raises(HparamError, match=r'needs a conv_gru or conformer that reads whole clips.*network="attention"'):
        dlkit.SpeechRecognizer(network="attention", window_seconds=20)


def test_words_are_told_apart():
    sample = load_words()
    # Without random changes, so that eight epochs are enough.
    plain = dict.fromkeys(("dropout", "speed", "vocal_tract", "level", "background", "noise"), 0.0)
    task = dlkit.SpeechRecognizer(
        objective="words", width=16, epochs=8, batch_size=16, ema=0.9, learning_rate=0.01, validation_split=0,
        time_masks=0, band_masks=0, **plain,
    )  # fmt: skip
    task.fit(sample["train"], verbose=0)
    metrics = task.evaluate(sample["test"])
    assert metrics["accuracy"] > metrics["baseline_accuracy"] + 0.3
    answer = task.predict(sample["test"]["audio"][0])
    assert [*answer] == ["label", "score", "labels", "scores", "seconds"]
    assert answer["label"] == answer["labels"][0] and len(answer["labels"]) == 12
