"""Plain Keras networks on the clips of `speech.py`, trained for a given CPU time; run by `speech.py --peers`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dlkit.tasks.speech_recognition.metrics import score_transcripts
from dlkit.tasks.speech_recognition.transcripts import Transcript

Data = dict[str, list[Any]]
BATCH, MELS, BEAM = 16, 64, 64


def train_peer(part: str, train: Data, test: Data, minutes: float) -> None:
    """Train for this CPU time and print the metrics on the test part."""
    (train_mels, test_mels) = (np_pad([log_mels(clip) for clip in each["audio"]]) for each in (train, test))
    if part == "digits":
        classify(train_mels, train["label"], test_mels, test["label"], minutes)
    else:
        texts = [[Transcript().raw(text).decode() for text in each["text"]] for each in (train, test)]
        transcribe(train_mels, texts[0], test_mels, texts[1], minutes)


class Stop(keras.callbacks.Callback):
    """Ends training after an epoch in which the CPU time is over."""

    def __init__(self, minutes: float):
        super().__init__()
        self.end = time.process_time() + 60 * minutes

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = time.process_time() > self.end


def log_mels(clip: Any) -> np.ndarray:
    """Compute normalized log-mel features, (frames, MELS) float32."""
    if isinstance(clip, tuple):
        samples, rate = clip
    else:
        decoded, rate = tf.audio.decode_wav(Path(clip).read_bytes())
        samples, rate = decoded[:, 0], int(rate)
    window, step = rate // 40, rate // 100
    samples = tf.pad(samples, [[0, max(window - len(samples), 0)]])
    spectrum = tf.abs(tf.signal.stft(samples, window, step, 512))
    bands = tf.signal.linear_to_mel_weight_matrix(MELS, 257, rate, 20.0, 0.475 * rate)
    mels = tf.math.log(tf.square(spectrum) @ bands + 1e-6).numpy()
    return (mels - mels.mean(0)) / (mels.std(0) + 1e-3)


def np_pad(clips: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pad clips to one length: (clips, frames, MELS), and their lengths."""
    lengths = np.array([len(clip) for clip in clips])
    return np.stack([np.pad(clip, ((0, lengths.max() - len(clip)), (0, 0))) for clip in clips]), lengths


def classify(train: Any, train_labels: list[str], test: Any, test_labels: list[str], minutes: float) -> None:
    names = sorted({*train_labels})
    frames = train[0].shape[1]
    layers: list[Any] = [keras.Input((frames, MELS, 1))]
    for filters in (32, 64, 128):
        layers += [keras.layers.Conv2D(filters, 3, padding="same"), keras.layers.BatchNormalization()]
        layers += [keras.layers.ReLU(), keras.layers.MaxPooling2D(2)]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.3), keras.layers.Dense(len(names))]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=loss, metrics=["accuracy"], jit_compile=False)
    ids = [np.array([names.index(label) for label in each]) for each in (train_labels, test_labels)]
    held = np.zeros((len(test[0]), frames, MELS), np.float32)
    held[:, : test[0].shape[1]] = test[0][:, :frames]
    model.fit(train[0], ids[0], batch_size=32, epochs=1000, verbose=0, callbacks=[Stop(minutes)])
    accuracy = model.evaluate(held, ids[1], verbose=0)[1]
    print(f"plain Keras CNN, {model.count_params():,} parameters: accuracy {accuracy:.4f}", flush=True)


def transcribe(train: Any, train_texts: list[str], test: Any, test_texts: list[str], minutes: float) -> None:
    characters = sorted({*"".join(train_texts)})
    inputs = keras.Input((None, MELS))
    x = inputs
    for _ in range(2):
        x = keras.layers.ReLU()(keras.layers.Conv1D(128, 5, 2, padding="same")(x))
    for _ in range(3):
        x = keras.layers.Bidirectional(keras.layers.GRU(96, return_sequences=True))(x)
        x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(inputs, keras.layers.Dense(len(characters) + 1)(x))
    model.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0), loss=ctc_loss, jit_compile=False)
    ids = np.full((len(train_texts), max(map(len, train_texts)) + 1), -1)
    for row, text in enumerate(train_texts):
        ids[row, : len(text)] = [characters.index(character) for character in text]
    frames = -(-train[1] // 4)
    fits = [row for row, text in enumerate(train_texts) if len(text) < frames[row]]
    targets = np.concatenate([ids, frames[:, None]], 1)  # the loss needs the lengths
    order = sorted(fits, key=lambda row: train[1][row])  # clips of similar length share a batch
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    stop, epochs = time.process_time() + 60 * minutes, 0
    generator = np.random.default_rng(0)
    while time.process_time() < stop:
        for batch in generator.permutation(len(batches)):
            rows = batches[batch]
            model.train_on_batch(train[0][rows, : train[1][rows].max()], targets[rows])
        epochs += 1
    print(f"plain Keras convolutions and GRU, {model.count_params():,} parameters, {epochs} epochs", flush=True)
    for name, width in (("greedy", 0), (f"beam search of width {BEAM}", BEAM)):
        found = decode(model, test, characters, width)
        metrics = score_transcripts([text.encode() for text in test_texts], [text.encode() for text in found])
        print(f"plain Keras, {name}: WER {metrics['wer']:.4f}, CER {metrics['cer']:.4f}", flush=True)


def ctc_loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    ids, frames = tf.cast(targets[:, :-1], tf.int32), tf.cast(targets[:, -1], tf.int32)
    lengths = tf.reduce_sum(tf.cast(ids >= 0, tf.int32), 1)
    blank = logits.shape[-1] - 1
    return keras.ops.ctc_loss(tf.maximum(ids, 0), logits, lengths, frames, mask_index=blank)


def decode(model: keras.Model, test: Any, characters: list[str], width: int) -> list[str]:
    texts = []
    for row in range(len(test[0])):
        logits = tf.transpose(model(test[0][row : row + 1, : test[1][row]]), [1, 0, 2])
        lengths = [logits.shape[0]]
        if width:
            (found,), _ = tf.nn.ctc_beam_search_decoder(logits, lengths, width, 1)
        else:
            (found,), _ = tf.nn.ctc_greedy_decoder(logits, lengths)
        texts.append("".join(characters[index] for index in found.values.numpy()))
    return texts
