"""Encoders of KerasHub's pretrained recognizers, Whisper and Moonshine, to fine-tune with CTC."""

from __future__ import annotations

from typing import Any, NamedTuple

from dlkit.errors import DlkitError
from dlkit.lazy import keras, layers
from dlkit.options import option
from dlkit.tasks.speech_recognition.networks import make_inputs
from dlkit.tasks.speech_recognition.preset_features import (
    MOONSHINE_STEP,
    WHISPER_STEP,
    SampleFrames,
    WhisperMels,
)
from dlkit.tasks.speech_recognition.preset_layers import (
    JoinFrames,
    MaskedGroupNormalization,
    PadWhisperFeatures,
    TrimOutputs,
)

PRESET_RATE = 16_000  # Hz, of the recordings that they were trained with


class PresetEncoder(NamedTuple):
    """A pretrained encoder, and how it is called.

    Attributes:
        backbone: the KerasHub backbone, whose decoder is not used.
        features: the layer from samples to features.
        frame_seconds: duration of a frame of the features.
        stride: frames per output.
    """

    backbone: keras.Model
    features: layers.Layer
    frame_seconds: float
    stride: int


def load_encoder(name_or_folder: str, max_seconds: float) -> PresetEncoder:
    """Load the backbone of a preset.

    Args:
        name_or_folder: name of a KerasHub preset ("whisper_tiny_en", "moonshine_tiny_en"), a handle ("hf://..."), or a
            folder written by `save_to_preset`.
        max_seconds: of the longest clip.

    Raises:
        DlkitError: there is no such preset, it is neither a Whisper nor a Moonshine, or clips may be longer than it
            can read.
    """
    import keras_hub

    try:
        backbone = keras_hub.models.Backbone.from_preset(name_or_folder)
    except Exception as error:  # each hub and each kind of broken folder raises its own errors
        reason = str(error).strip().splitlines() or ["no message"]
        raise DlkitError(
            f"{option('network')}: the preset {name_or_folder!r} cannot be loaded: {type(error).__name__}: "
            f"{reason[0]} Give an available preset, or a folder with one."
        ) from error
    if isinstance(backbone, keras_hub.models.WhisperBackbone):
        longest = backbone.max_encoder_sequence_length * WHISPER_STEP / PRESET_RATE
        if max_seconds > longest:
            raise DlkitError(
                f"{option('max_seconds')} must be at most {longest:g}, the limit of this preset. Received: "
                f"{max_seconds:g}."
            )
        frames = -(-int(max_seconds * PRESET_RATE) // (2 * WHISPER_STEP)) * 2
        features = WhisperMels(backbone.num_mels, frames, name="log_mels")
        return PresetEncoder(backbone, features, WHISPER_STEP / PRESET_RATE, 2)
    if isinstance(backbone, keras_hub.models.MoonshineBackbone):
        return PresetEncoder(backbone, SampleFrames(name="log_mels"), MOONSHINE_STEP / PRESET_RATE, 1)
    raise DlkitError(
        f"{option('network')}: the preset {name_or_folder!r} is a {type(backbone).__name__}. Expected a Whisper or a "
        "Moonshine."
    )


def preset_network(encoder: PresetEncoder, characters: int, *, dropout: float = 0.1) -> keras.Model:
    """Build a network of a pretrained encoder and a new layer to the logits of characters, to be trained with CTC.

    Whisper knows no padding: it reads clips of one length, the longest that is allowed, with silence behind shorter
    ones. Moonshine reads clips of any length; its normalization over a clip is restricted to the frames of the clip.

    Args:
        encoder: of `load_encoder`.
        characters: positive integer, number of characters, without the blank.
        dropout: float in [0, 1), dropout rate before the logits.

    Returns:
        keras.Model with the inputs and outputs of `networks.conv_gru`; frames and stride are those of the encoder,
        which is the nested model `backbone`.

    Examples:
        >>> network = preset_network(load_encoder("whisper_tiny_en", 30.0), 28)  # doctest: +SKIP
    """
    if isinstance(encoder.features, WhisperMels):
        inputs = make_inputs(encoder.features.mels)
        x, mask = _read_as_whisper(encoder, **inputs)
    else:
        inputs = make_inputs(MOONSHINE_STEP)
        x, mask = _build_moonshine(encoder.backbone)(inputs), inputs["padding_mask"]
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(characters + 1, dtype="float32", name="logits")(x)
    return keras.Model(inputs, {"logits": logits, "logits_mask": mask}, name="preset")


def _read_as_whisper(
    encoder: PresetEncoder, features: keras.KerasTensor, padding_mask: keras.KerasTensor
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    backbone: Any = encoder.backbone
    read = keras.Model(backbone.input["encoder_features"], backbone.output["encoder_sequence_output"], name="backbone")
    x = read(PadWhisperFeatures(encoder.features.max_frames, name="pad")(features, padding_mask))
    mask = padding_mask[:, :: encoder.stride]
    return TrimOutputs(name="trim")(x, mask), mask


def _build_moonshine(backbone: Any) -> keras.Model:
    """Call the layers of a backbone as it does itself, with the normalization restricted to the clip."""
    inputs = make_inputs(MOONSHINE_STEP)
    features, padding_mask = inputs.values()
    x = backbone.tanh_after_conv1(backbone.conv1(JoinFrames(name="join")(features, padding_mask)))
    norm = MaskedGroupNormalization(backbone.group_norm.epsilon, name="group_norm")
    x = norm(x, padding_mask)
    norm.set_weights(backbone.group_norm.get_weights())
    x = backbone.gelu_after_conv2(backbone.conv2(x))
    x = backbone.gelu_after_conv3(backbone.conv3(x))
    rotation = backbone.encoder_rotary_embedding(backbone.get_layer("encoder_positions")(x))
    x = backbone.encoder_dropout(x)
    for block in backbone.encoder_blocks:
        x = block(x, rotation, attention_mask=padding_mask)
    return keras.Model(inputs, backbone.encoder_final_layer_norm(x), name="backbone")
