"""The network of a recognizer of texts, and what replaces it when it answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dlkit.audio.log_mels import STEP_SECONDS
from dlkit.errors import DlkitError
from dlkit.generation.token_loop import MAX_BEAM_WIDTH
from dlkit.lazy import keras
from dlkit.options import option
from dlkit.tasks.speech_recognition.ctc_loss import ClosePaddedFrames
from dlkit.tasks.speech_recognition.networks import attention, conformer, conv_gru, make_inputs
from dlkit.tasks.speech_recognition.read_in_windows import ReadInWindows
from dlkit.tasks.speech_recognition.write_text import TextWriter

if TYPE_CHECKING:
    from dlkit.tasks.speech_recognition.preset import PresetEncoder
    from dlkit.tasks.speech_recognition.task import SpeechRecognizer


def load_preset(task: SpeechRecognizer) -> PresetEncoder | None:
    """Load the pretrained encoder of a task, if it has one, and learn what frames and outputs the network has.

    Raises:
        DlkitError: it cannot be loaded, or does not suit the options.
    """
    task.stride_, task.output_seconds_, task.reads_samples_ = task.stride, STEP_SECONDS * task.stride, False
    if not task.network.startswith("preset:"):
        return None
    from dlkit.tasks.speech_recognition.preset import PRESET_RATE, load_encoder
    from dlkit.tasks.speech_recognition.preset_features import SampleFrames

    if task.rate not in (0, PRESET_RATE):
        raise DlkitError(f"{option('rate')} of a preset is {PRESET_RATE}. Received: {task.rate}.")
    encoder = load_encoder(task.network.removeprefix("preset:"), task.max_seconds)
    task.rate_, task.stride_ = PRESET_RATE, encoder.stride
    task.output_seconds_ = encoder.stride * encoder.frame_seconds
    task.reads_samples_ = isinstance(encoder.features, SampleFrames)
    return encoder


def build_network(task: SpeechRecognizer, encoder: PresetEncoder | None) -> keras.Model:
    """Build the network to the logits of characters; its padded frames are blanks."""
    if encoder:
        from dlkit.tasks.speech_recognition.preset import preset_network

        return _close(preset_network(encoder, len(task.characters_), dropout=task.dropout))
    options: dict[str, Any] = {"stride": task.stride, "dropout": task.dropout, **task.size}
    sizes = task.mels, len(task.characters_)
    if task.chosen_network == "conformer":
        network = conformer(*sizes, heads=task.heads, **options)
    elif task.chosen_network == "attention":
        network = attention(*sizes, heads=task.heads, **options)
    else:
        network = conv_gru(*sizes, causal=task.streaming, **options)
    return _close(network)


def _close(network: keras.Model) -> keras.Model:
    outputs = dict(network.output)
    close = ClosePaddedFrames(name="close_padded_frames", dtype="float32")
    outputs["logits"] = close(outputs["logits"], outputs.pop("logits_mask"))
    return keras.Model(network.input, outputs, name=network.name)


def build_decode(task: SpeechRecognizer, network: keras.Model) -> keras.Model | None:
    """Build the model that answers in the place of the network: one that writes texts, or reads long clips in windows.

    Returns:
        None if the network itself answers.
    """
    inputs = make_inputs(task.mels)
    if task.window_seconds:
        window, overlap = measure_windows(task.window_seconds, task.stride)
        read = ReadInWindows(network, task.stride, window, overlap, name="read_in_windows")
        return keras.Model(inputs, {"logits": read(inputs["features"], inputs["padding_mask"])}, name="decode")
    if task.chosen_network != "attention":
        return None
    longest = math.ceil(task.max_seconds / task.output_seconds_)  # a text has no more characters than outputs
    writer = TextWriter(network, longest, min(task.beam_width, MAX_BEAM_WIDTH), task.length_penalty, name="text_writer")
    return keras.Model(inputs, writer(inputs["features"], inputs["padding_mask"]), name="decode")


def measure_windows(seconds: float, stride: int) -> tuple[int, int]:
    """Return the frames of windows of about this duration and of their overlap, a quarter of it, for `ReadInWindows`.

    Examples:
        >>> measure_windows(20.0, 4)
        (2000, 496)
    """
    window = max(round(seconds / STEP_SECONDS) // stride, 4) * stride
    return window, max(window // (8 * stride), 1) * 2 * stride
