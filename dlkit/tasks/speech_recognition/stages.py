"""The stages of a recognizer, and what they learn from the training rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dlkit.audio.log_mels import LogMels
from dlkit.audio.read_audio import ReadAudio
from dlkit.classification import labels
from dlkit.data.bytes import decode_utf8
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.layers.blank_invalid_rows import blank_invalid_rows
from dlkit.lazy import keras
from dlkit.options import option
from dlkit.reading_errors import as_data_error
from dlkit.stages import Stages
from dlkit.tasks.speech_recognition.build_network import build_decode, build_network, load_preset
from dlkit.tasks.speech_recognition.clip_frames import FrameMask, measure_clips, read_clips
from dlkit.tasks.speech_recognition.networks import word_cnn, word_tdnn
from dlkit.tasks.speech_recognition.ngram_automaton import NgramAutomaton, learn_automaton, no_language_model
from dlkit.tasks.speech_recognition.transcribe import Transcribe
from dlkit.tasks.speech_recognition.transcripts import learn_characters, normalize

if TYPE_CHECKING:
    from dlkit.tasks.speech_recognition.preset import PresetEncoder
    from dlkit.tasks.speech_recognition.task import SpeechRecognizer

MAX_RATE = 16_000  # Hz: speech has little above half of it
WORD_RANGE_DB = 40.0  # of the features of words: what is further below the loudest sound tells recordings, not words


def build_stages(task: SpeechRecognizer, examples: Table) -> Stages:
    """Learn rate, length, characters or words, and the language model from training rows, and build the models."""
    facts = measure_clips(examples, task.max_seconds)
    rates, counts = np.unique(facts.rates, return_counts=True)
    task.rate_ = task.rate or min(int(rates[counts.argmax()]), MAX_RATE)
    encoder = load_preset(task)
    preprocess = _build_preprocess(task, examples, encoder)
    mels = preprocess.get_layer("log_mels")
    # One sample more for clips whose resampled length is rounded up.
    task.frames_ = mels.frames_of(math.ceil(float(facts.seconds.max()) * task.rate_) + 1)
    if task.objective == "words":
        return _with_labels(task, examples, preprocess)
    texts = [text.decode() for text in examples.raw_column("text", task.target["text"])]
    task.characters_ = learn_characters(texts)
    task.mean_length_ = float(np.mean([len(text) for text in texts]))
    network = build_network(task, encoder)
    decode = build_decode(task, network)
    return Stages(preprocess, network, _build_transcription(task, texts, (decode or network).output), decode)


def _build_preprocess(task: SpeechRecognizer, examples: Table, encoder: PresetEncoder | None) -> keras.Model:
    """Build the model from bytes to features."""
    audio = keras.Input((), dtype="string", name="audio")
    read_audio = ReadAudio(task.rate_, task.max_seconds, name="read_audio")
    log_mels = encoder.features if encoder else _make_features(task)
    if task.streaming:  # mean and deviation of a clip are not known before its end
        log_mels.adapt(read_clips(examples, read_audio))
    clip = read_audio(audio)
    features, frames = log_mels(clip["samples"], clip["lengths"])
    mask = FrameMask(name="frame_mask")(clip["samples"], features, frames)
    made = {"features": features, "padding_mask": mask, "seconds": clip["seconds"], "error": clip["error"]}
    return keras.Model({"audio": audio}, made, name="preprocess")


def _make_features(task: SpeechRecognizer) -> LogMels:
    if task.objective == "words":
        return LogMels(task.rate_, task.mels, one_deviation=True, range_db=WORD_RANGE_DB, name="log_mels")
    return LogMels(task.rate_, task.mels, name="log_mels")


def _with_labels(task: SpeechRecognizer, examples: Table, preprocess: keras.Model) -> Stages:
    """Learn the words and build the stages of their classifier."""
    task.labels_ = labels.learn_labels(examples, task.target["label"])
    task.class_weights_ = labels.compute_label_weights(task.class_weights, task.labels_, examples, task.target["label"])
    sizes = task.mels, len(task.labels_)
    if task.chosen_network == "cnn":
        network = word_cnn(*sizes, dropout=task.dropout, **task.size)
    else:
        network = word_tdnn(*sizes, stride=task.stride, dropout=task.dropout, **task.size)
    return Stages(preprocess, network, build_ranking(task))


def build_ranking(task: SpeechRecognizer) -> keras.Model:
    """Build the model from the logits of words to the answer."""
    return blank_invalid_rows(labels.rank_labels(task.labels_, multi_label=False, top_k=task.top_k, score_threshold=0))


def learn_language(task: SpeechRecognizer, texts: list[str]) -> NgramAutomaton:
    """Learn the n-gram model from the training texts, or those of the file of `lm_texts`."""
    if not task.lm_order or task.beam_width == 1:
        return no_language_model(len(task.characters_))
    if task.lm_texts:
        with as_data_error(task.lm_texts):
            lines = decode_utf8(Path(task.lm_texts).read_bytes(), task.lm_texts).splitlines()
        texts = [text for line in lines if (text := normalize(line, task.lowercase, task.punctuation))]
        if not texts:
            raise DataError(f"{option('lm_texts')}: {task.lm_texts!r} has no text with letters or digits.")
    automaton = learn_automaton(texts, task.characters_, task.lm_order)
    task.language_model_ = {"order": automaton.order, "states": len(automaton.log_probs), "texts": len(texts)}
    return automaton


def _build_transcription(task: SpeechRecognizer, texts: list[str], found: dict[str, keras.KerasTensor]) -> keras.Model:
    """Build the model from what the network found, the logits of characters or a text too, to the answer."""
    names = ("logits", "generated_ids", "score")
    inputs = {
        name: keras.Input(found[name].shape[1:], dtype=found[name].dtype, name=name) for name in names if name in found
    }
    automaton = no_language_model(len(task.characters_)) if "generated_ids" in found else learn_language(task, texts)
    transcribe = Transcribe.with_automaton(
        task.characters_,
        automaton,
        frame_seconds=task.output_seconds_,
        beam_width=task.beam_width,
        language_weight=task.lm_weight,
        character_bonus=task.character_bonus if automaton.order else 0.0,
        name="transcribe",
    )
    return blank_invalid_rows(keras.Model(inputs, transcribe(**inputs), name="postprocess"))
