"""Recognition of a recording while it is made, chunk by chunk: the signature `stream`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.audio.wav_file import SILENCE_PEAK
from dlkit.columns import EncodedFile, Flag, describe_value, tensor_specs
from dlkit.errors import DataError, DlkitError
from dlkit.layers.blank_invalid_rows import BlankInvalidRows
from dlkit.lazy import tf
from dlkit.options import option
from dlkit.rows import ERROR
from dlkit.serving.signature import Signature
from dlkit.tasks.speech_recognition.columns import Numbers
from dlkit.tasks.speech_recognition.ctc_loss import close_padded_frames
from dlkit.tasks.speech_recognition.stream_state import StateLayout, StreamState, append, cut
from dlkit.tasks.speech_recognition.streaming_network import StreamingNetwork

if TYPE_CHECKING:
    from dlkit.tasks.speech_recognition.task import SpeechRecognizer


class Chunk(EncodedFile):
    """Samples of one channel at the rate of the model: 16-bit integers, little-endian, without a header.

    Accepts bytes, or an array of int16, or of floats in [-1, 1].
    """

    kind = "chunk"

    def raw(self, value: Any) -> bytes:
        if isinstance(value, (bytes, bytearray)):
            return bytes(value)
        samples = np.asarray(value) if hasattr(value, "__array__") else np.empty((0, 0))
        if samples.ndim == 1 and samples.dtype == np.int16:
            return samples.astype("<i2").tobytes()
        if samples.ndim == 1 and samples.dtype.kind == "f":
            return np.clip((np.nan_to_num(samples) * 32768).round(), -32768, 32767).astype("<i2").tobytes()
        raise DataError(
            "expected a chunk: bytes of 16-bit samples, or an array of one dimension of int16 or floats. Received: "
            f"{describe_value(value)}."
        )


class Streamer:
    """Reads chunks of recordings with the models of a fitted task; all that it knows of a recording is its state.

    Args:
        task: fitted, with a causal network and features with a fixed mean and deviation.
    """

    def __init__(self, task: SpeechRecognizer):
        preprocess, network, self._postprocess = task.stages_.serving_models()
        self._mels = preprocess.get_layer("log_mels")
        self._network = StreamingNetwork(network)
        self._transcribe = self._postprocess.get_layer("transcribe")
        self._rate, self._max_seconds = task.rate_, task.max_seconds
        most_rest = self._mels.window + self._network.stride * self._mels.step
        facts = repr((task.characters_, self._rate, self._mels.get_config(), self._network.stride))
        model = zlib.crc32(facts.encode()) % (2**24 - 1) + 1
        self._layout = StateLayout(model, self._network.numbers, self._network.classes, most_rest)

    def advance(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Read the next chunk of each row.

        Args:
            tensors: `chunk`: (rows,) string, as of `Chunk`; `state`: (rows, any) float32, that of the last answer,
                zeros or nothing before the first chunk; `is_last`: (rows,) bool, whether the recording ends with it.

        Returns:
            Dict of the outputs of the default signature and `state`. Before the last chunk, `text` is that of the most
            probable character of each frame, and there are no `words`; with the last one, the answer is that for the
            whole recording, and `state` is zero.
        """
        state, error, samples, counts = self._read(tensors["state"], tensors["chunk"])
        is_valid, is_last = error == "", tensors["is_last"]
        peak = tf.maximum(state.peak, tf.reduce_max(tf.pad(tf.abs(samples), [[0, 0], [0, 1]]), 1))
        total = state.samples + counts
        waiting, waiting_count = append(state.rest, state.rest_count, samples, counts)
        features, mask = self._make_features(waiting, waiting_count, is_last, state.logits_count)
        frames = tf.reduce_sum(tf.cast(mask, tf.int32), 1)
        logits, network = self._network.step(features, mask, state.network)
        outputs = -(-frames // self._network.stride)
        logits, outputs = append(state.logits, state.logits_count, logits, outputs)
        used = tf.minimum(frames * self._mels.step, waiting_count)
        rest_count = waiting_count - used
        packed = self._layout.pack(
            StreamState(peak, total, network, cut(waiting, used, rest_count), rest_count, logits, outputs)
        )
        heard = tf.sequence_mask(tf.where(peak > SILENCE_PEAK, outputs, 0), tf.shape(logits)[1])
        answers = self._answer(close_padded_frames(logits, heard), error, is_last)
        seconds = tf.where(is_valid, tf.cast(total, tf.float32) / self._rate, 0.0)
        packed = tf.where((is_valid & ~is_last)[:, tf.newaxis], packed, 0.0)
        return {**answers, "seconds": seconds, ERROR: error, "state": packed}

    def _read(self, packed: tf.Tensor, chunks: tf.Tensor) -> tuple[StreamState, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Read states and chunks: the states, errors (rows,) string, samples (rows, any) and their counts."""
        state, is_state = self._layout.unpack(packed)
        sizes = tf.strings.length(chunks)
        seconds = (state.samples + sizes // 2) / self._rate
        error = tf.where(
            seconds > self._max_seconds + 0.5 / self._rate, f"longer than {self._max_seconds:g} seconds", ""
        )
        error = tf.where(sizes % 2 == 0, error, "a chunk must hold whole samples of 16 bits, an even number of bytes")
        error = tf.where(is_state, error, "`state` is no state of the signature `stream` of this model")
        chunks = tf.where(error == "", chunks, "")
        sizes = tf.strings.length(chunks)
        longest = tf.reduce_max(tf.concat([sizes, [2]], 0))
        samples = tf.io.decode_raw(chunks, tf.int16, fixed_length=longest)
        return state, error, tf.cast(samples, tf.float32) / 32768, sizes // 2

    def _make_features(
        self, samples: tf.Tensor, counts: tf.Tensor, is_last: tf.Tensor, outputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute the features of frames that are complete, in whole strides before the last chunk, and their mask."""
        stride, window, step = self._network.stride, self._mels.window, self._mels.step
        complete = tf.where(counts >= window, 1 + (counts - window) // step, 0)
        at_end = tf.where(outputs == 0, tf.maximum(complete, 1), complete)  # of a short clip one frame is padded
        frames = tf.where(is_last, at_end, complete // stride * stride)
        features, _ = self._mels(samples, counts)
        missing = -tf.shape(features)[1] % stride
        features = tf.pad(features, [[0, 0], [0, missing], [0, 0]])
        return features, tf.sequence_mask(frames, tf.shape(features)[1])

    def _answer(self, logits: tf.Tensor, error: tf.Tensor, is_last: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(logits)[0]
        so_far = self._transcribe.read_greedily(logits)
        names = sorted(self._postprocess.output)

        def search() -> list[tf.Tensor]:
            found = self._postprocess({"logits": logits, ERROR: error}, training=False)
            return [found[name] for name in names]

        def wait() -> list[tf.Tensor]:
            return [
                so_far[name] if name in so_far else tf.zeros([rows], self._postprocess.output[name].dtype)
                for name in names
            ]

        found = dict(zip(names, tf.cond(tf.reduce_any(is_last), search, wait), strict=True))
        for name, values in found.items():  # a row's answer is its own, whatever the others wait for
            before = so_far.get(name, tf.zeros([], values.dtype))
            found[name] = tf.where(is_last, values, before)
        return BlankInvalidRows()(error, found)


def make_signature(task: SpeechRecognizer) -> Signature:
    """Make the signature `stream` of a fitted task; see `Streamer.advance`."""
    columns = {
        "chunk": Chunk(),
        "state": Numbers(optional=True, default=()),
        "is_last": Flag(optional=True, default=False),
    }

    def make_example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        (audio,) = raw.values()
        even = tf.maximum(tf.strings.length(audio) - 44, 0) // 2 * 2  # what follows a plain header
        sound = tf.strings.substr(
            audio, tf.minimum(44, tf.strings.length(audio)), tf.minimum(even, task.rate_ // 2 * 2)
        )
        rows = tf.shape(audio)[0]
        return {"chunk": sound, "state": tf.zeros([rows, 1]), "is_last": tf.range(rows) % 2 == 1}

    return Signature("stream", Streamer(task).advance, tensor_specs(columns), example=make_example, columns=columns)


def stream(task: SpeechRecognizer, chunks: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield the answer after each chunk of a recording; see `SpeechRecognizer.stream`."""
    if not task.streaming:
        raise DlkitError(f"this model reads whole recordings. Train one with {option('streaming', True)}.")
    state, before = np.zeros(0, np.float32), None
    for chunk in chunks:
        if before is not None:
            answer, state = _call(task, before, state, is_last=False)
            yield answer
        before = chunk
    yield _call(task, b"" if before is None else before, state, is_last=True)[0]


def _call(task: SpeechRecognizer, chunk: Any, state: np.ndarray, is_last: bool) -> tuple[dict[str, Any], np.ndarray]:
    (outputs,) = task.call_signature("stream", [{"chunk": chunk, "state": state, "is_last": is_last}])
    (answer,) = task.present_rows({name: [outputs[name]] for name in task.answer})
    return answer, outputs["state"]
