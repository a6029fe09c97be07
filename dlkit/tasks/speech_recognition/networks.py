"""Networks from the features of clips to characters, or to one word.

All read `features`, (batch, frames, mels) float32, and `padding_mask`, (batch, frames) bool, true at the frames of a
clip, which are the first ones. Nothing that they compute for a clip depends on its padding or on other clips: only the
channels of a frame are normalized together."""

from __future__ import annotations

from dlkit.generation.token_embedding import TokenEmbedding
from dlkit.layers.transformer_stacks import TransformerDecoder
from dlkit.lazy import keras, layers
from dlkit.tasks.speech_recognition.conformer_block import ConformerBlock
from dlkit.tasks.speech_recognition.frame_gru import FrameGru
from dlkit.tasks.speech_recognition.frame_pooling import FramePooling, MaskFrames
from dlkit.tasks.speech_recognition.masked_conv import MaskedConv1D

KERNEL_SIZE = 5  # of the strided convolutions, in frames
FIRST_CHARACTER_ID = 3  # of what a decoder writes; before it, the ids of `subword_tokenizer`: padding, start and end
STRIDES = {1: (1, 1), 2: (2, 1), 4: (2, 2)}  # of the two convolutions, by their product


def conv_gru(
    mels: int,
    characters: int,
    *,
    width: int = 256,
    blocks: int = 3,
    stride: int = 4,
    dropout: float = 0.2,
    causal: bool = False,
) -> keras.Model:
    """Build a network of strided convolutions and recurrent layers, to be trained with CTC.

    Source: Amodei et al., 2016, arXiv:1512.02595, in a small size, with layer normalization in place of batch
    normalization, and residual connections around the recurrent layers.

    Args:
        mels: positive integer, number of mel bands of a frame.
        characters: positive integer, number of characters, without the blank.
        width: positive even integer, number of filters, and of recurrent units of both directions together.
        blocks: positive integer, number of recurrent layers.
        stride: 1, 2 or 4, frames per output.
        dropout: float in [0, 1), dropout rate after each layer.
        causal: whether an output sees no frames after its own, so that the network can read a stream; recurrent layers
            then have one direction of `width` units.

    Returns:
        keras.Model to `logits`: (batch, ceil(frames / stride), characters + 1) float32, the blank last, and
        `logits_mask`: (batch, ceil(frames / stride)) bool, true at outputs of the clip.

    Raises:
        ValueError: there is no such stride.

    Examples:
        >>> network = conv_gru(40, 28, width=16, blocks=1)
        >>> network.output["logits"].shape
        (None, None, 29)
    """
    inputs = make_inputs(mels)
    x, mask = subsample(**inputs, width=width, stride=stride, dropout=dropout, causal=causal)
    x = _recurrent_blocks(x, mask, width, blocks, dropout, causal)
    logits = layers.Dense(characters + 1, dtype="float32", name="logits")(x)
    return keras.Model(inputs, {"logits": logits, "logits_mask": mask}, name="conv_gru")


def conformer(
    mels: int,
    characters: int,
    *,
    width: int = 144,
    blocks: int = 4,
    heads: int = 4,
    kernel_size: int = 15,
    stride: int = 4,
    dropout: float = 0.1,
) -> keras.Model:
    """Build a Conformer, to be trained with CTC.

    Source: Gulati et al., 2020, arXiv:2005.08100, with the changes of `ConformerBlock`. The width is that of the small
    model of its table 1, which has 16 blocks and a kernel of 32 frames.

    Args:
        mels: positive integer, number of mel bands of a frame.
        characters: positive integer, number of characters, without the blank.
        width: positive integer, width of the blocks, an even multiple of `heads`.
        blocks: positive integer, number of blocks.
        heads: positive integer, number of attention heads.
        kernel_size: positive integer, of the convolutions of the blocks, in outputs.
        stride: 1, 2 or 4, frames per output.
        dropout: float in [0, 1), dropout rate.

    Returns:
        keras.Model with the outputs of `conv_gru`.

    Raises:
        ValueError: there is no such stride, or `heads` does not divide the width into even parts.

    Examples:
        >>> network = conformer(40, 28, width=16, blocks=1, heads=2)
        >>> network.output["logits"].shape
        (None, None, 29)
    """
    inputs = make_inputs(mels)
    x, mask = subsample(**inputs, width=width, stride=stride, dropout=dropout)
    for number in range(blocks):
        x = ConformerBlock(heads, 4 * width, kernel_size, dropout, name=f"block_{number}")(x, mask)
    logits = layers.Dense(characters + 1, dtype="float32", name="logits")(x)
    return keras.Model(inputs, {"logits": logits, "logits_mask": mask}, name="conformer")


def attention(
    mels: int,
    characters: int,
    *,
    width: int = 256,
    blocks: int = 3,
    decoder_blocks: int = 1,
    heads: int = 4,
    stride: int = 4,
    dropout: float = 0.2,
) -> keras.Model:
    """Build the encoder of `conv_gru` with a transformer decoder that writes the text character by character.

    The encoder is trained with CTC too, without which a decoder that may attend to any frame of a clip takes far more
    data to learn that both go from left to right.

    Source: Chan et al., 2016, arXiv:1508.01211, for encoder and decoder; Watanabe et al., 2017, "Hybrid CTC/Attention
    Architecture", for training with both.

    Args:
        mels: positive integer, number of mel bands of a frame.
        characters: positive integer, number of characters, without the blank.
        width: positive even integer, width of encoder and decoder, a multiple of `heads`.
        blocks: positive integer, number of recurrent layers of the encoder.
        decoder_blocks: positive integer, number of blocks of the decoder.
        heads: positive integer, number of attention heads of the decoder.
        stride: 1, 2 or 4, frames per output of the encoder.
        dropout: float in [0, 1), dropout rate.

    Returns:
        keras.Model with a further input `decoder_ids`: (batch, steps) int32, the text shifted right by one, where ids
        are 0 for padding, 1 for the start, 2 for the end, and 3 for the first character. Its outputs are
        `text_logits`: (batch, steps, characters + 3) float32, of the next ids, and those of `conv_gru`.

    Raises:
        ValueError: there is no such stride, or `heads` does not divide the width.

    Examples:
        >>> network = attention(40, 28, width=16, blocks=1, heads=2)
        >>> network.output["text_logits"].shape
        (None, None, 31)
    """
    inputs = make_inputs(mels)
    x, mask = subsample(**inputs, width=width, stride=stride, dropout=dropout)
    x = _recurrent_blocks(x, mask, width, blocks, dropout)
    encoder = keras.Model(inputs, {"memory": x, "logits_mask": mask}, name="encoder")
    inputs = {**make_inputs(mels), "decoder_ids": keras.Input((None,), dtype="int32", name="decoder_ids")}
    encoded = encoder({name: inputs[name] for name in encoder.input})
    embedding = TokenEmbedding(characters + FIRST_CHARACTER_ID, width, name="embedding")
    decoder = TransformerDecoder(decoder_blocks, heads, 4 * width, dropout, name="decoder")
    decoded = decoder(embedding(inputs["decoder_ids"]), encoded["memory"], encoded["logits_mask"])
    outputs = {
        "text_logits": embedding(decoded, reverse=True),
        "logits": layers.Dense(characters + 1, dtype="float32", name="logits")(encoded["memory"]),
        "logits_mask": encoded["logits_mask"],
    }
    return keras.Model(inputs, outputs, name="attention")


def word_cnn(mels: int, labels: int, *, width: int = 32, blocks: int = 4, dropout: float = 0.3) -> keras.Model:
    """Build a convolutional network that tells one word from others.

    Each block convolves over frames and mel bands and halves both; the mean and the maximum over the frames of the clip
    go into the logits.

    Args:
        mels: positive integer, number of mel bands of a frame.
        labels: positive integer, number of words.
        width: positive integer, number of filters of the first block; each following block has twice as many, up to
            four times.
        blocks: positive integer, number of blocks.
        dropout: float in [0, 1), dropout rate before the logits; that between the blocks is half of it.

    Returns:
        keras.Model to `logits`: (batch, labels) float32.

    Examples:
        >>> word_cnn(40, 10, width=4, blocks=2).output["logits"].shape
        (None, 10)
    """
    inputs = make_inputs(mels)
    mask = inputs["padding_mask"]
    x = layers.Reshape((-1, mels, 1))(inputs["features"])
    for number in range(blocks):
        filters = width * min(2**number, 4)
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv_{number}")(MaskFrames()(x, mask))
        x = layers.ReLU()(layers.LayerNormalization(epsilon=1e-3, name=f"conv_{number}_norm")(x))
        # Windows begin at the first frame whatever the length; padding is 0, never above the outputs of a ReLU.
        x = layers.MaxPooling2D(2, padding="same")(MaskFrames()(x, mask))
        x = layers.SpatialDropout2D(dropout / 2)(x)
        mask = mask[:, ::2]
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)
    x = layers.Dropout(dropout)(FramePooling(name="pooling")(x, mask))
    logits = layers.Dense(labels, dtype="float32", name="logits")(x)
    return keras.Model(inputs, {"logits": logits}, name="word_cnn")


def word_tdnn(
    mels: int, labels: int, *, width: int = 96, blocks: int = 2, stride: int = 4, dropout: float = 0.2
) -> keras.Model:
    """Build a time-delay neural network that tells one word from others.

    It convolves over frames alone, with all mel bands as channels: two strided convolutions, then residual ones; the
    mean and the maximum over the frames of the clip go into the logits.

    Source: Choi et al., 2019, arXiv:1904.03814, with wider layers, layer normalization in place of batch normalization,
    and the maximum in addition to the mean.

    Args:
        mels: positive integer, number of mel bands of a frame.
        labels: positive integer, number of words.
        width: positive integer, number of filters.
        blocks: positive integer, number of residual convolutions.
        stride: 1, 2 or 4, frames for each output of the strided convolutions.
        dropout: float in [0, 1), dropout rate.

    Returns:
        keras.Model to `logits`: (batch, labels) float32.

    Raises:
        ValueError: there is no such stride.

    Examples:
        >>> word_tdnn(24, 10, width=4).output["logits"].shape
        (None, 10)
    """
    inputs = make_inputs(mels)
    x, mask = subsample(**inputs, width=width, stride=stride, dropout=dropout)
    for number in range(blocks):
        residual = MaskedConv1D(width, 3, name=f"block_{number}")(x, mask)
        residual = layers.LayerNormalization(epsilon=1e-3, name=f"block_{number}_norm")(residual)
        x = layers.Add()([x, layers.Dropout(dropout)(layers.ReLU()(residual))])
    x = layers.Dropout(dropout)(FramePooling(name="pooling")(x, mask))
    logits = layers.Dense(labels, dtype="float32", name="logits")(x)
    return keras.Model(inputs, {"logits": logits}, name="word_tdnn")


def make_inputs(mels: int) -> dict[str, keras.KerasTensor]:
    """Make the inputs of a network, `features` and `padding_mask`."""
    return {
        "features": keras.Input((None, mels), name="features"),
        "padding_mask": keras.Input((None,), dtype="bool", name="padding_mask"),
    }


def subsample(
    features: keras.KerasTensor,
    padding_mask: keras.KerasTensor,
    *,
    width: int,
    stride: int,
    dropout: float,
    causal: bool = False,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Apply two convolutions that together have a stride.

    Args:
        features: (batch, frames, mels).
        padding_mask: (batch, frames) bool.
        width, stride, dropout, causal: as of `conv_gru`.

    Returns:
        Tuple of (batch, ceil(frames / stride), width) and its mask, (batch, ceil(frames / stride)) bool.

    Raises:
        ValueError: there is no such stride.
    """
    if stride not in STRIDES:
        raise ValueError(f"`stride` must be one of {', '.join(map(str, STRIDES))}. Received: stride={stride!r}.")
    x, mask = features, padding_mask
    for number, strides in enumerate(STRIDES[stride]):
        x = MaskedConv1D(width, KERNEL_SIZE, strides, causal=causal, name=f"conv_{number}")(x, mask)
        x = layers.LayerNormalization(epsilon=1e-3, name=f"conv_{number}_norm")(x)
        x = layers.Dropout(dropout)(layers.ReLU()(x))
        mask = mask[:, ::strides]
    return x, mask


def _recurrent_blocks(
    x: keras.KerasTensor, mask: keras.KerasTensor, width: int, blocks: int, dropout: float, causal: bool = False
) -> keras.KerasTensor:
    for number in range(blocks):
        units = width if causal else width // 2
        recurrent = FrameGru(units, bidirectional=not causal, name=f"gru_{number}")(x, mask)
        x = layers.LayerNormalization(epsilon=1e-6, name=f"gru_{number}_norm")(layers.Add()([x, recurrent]))
        x = layers.Dropout(dropout)(x)
    return x
