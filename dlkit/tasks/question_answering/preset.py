"""A pretrained BERT-like backbone with span logits, complete or split above its frozen blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.errors import HparamError
from dlkit.lazy import keras, ops
from dlkit.options import option
from dlkit.tasks.question_answering.span_inputs import compute_span_logits, make_token_inputs
from dlkit.text.preset import get_blocks, get_token_features, load_preset, make_backbone_inputs

if TYPE_CHECKING:
    from dlkit.text.wordpiece import WordPiece

CACHE_DTYPE = "float16"  # of cached features: half the disk space


def load_backbone(name_or_folder: str, max_tokens: int, dropout: float) -> tuple[WordPiece, keras.Model]:
    """Load the tokenizer and the backbone of a preset, and set the dropout rate of the backbone.

    Args:
        name_or_folder: name, handle or folder of the preset; see `dlkit.text.preset.load_preset`.
        max_tokens: positive integer, maximum sequence length of the tokenizer, in tokens.
        dropout: float in [0, 1), dropout rate inside the backbone.

    Returns:
        Tuple of the tokenizer and the KerasHub backbone.

    Raises:
        DlkitError: there is no such preset, it cannot be fetched, or its tokenizer is not WordPiece.
    """
    tokenizer, loaded = load_preset(name_or_folder, max_tokens, nfc=True)
    config = loaded.get_config()
    if "dropout" not in config or config["dropout"] == dropout:
        return tokenizer, loaded
    backbone = type(loaded).from_config({**config, "dropout": dropout})
    backbone.set_weights(loaded.get_weights())
    return tokenizer, backbone


def preset_span_network(backbone: keras.Model) -> keras.Model:
    """Build a network to fine-tune: a backbone with two logits for each token.

    Source: Devlin et al., 2018, arXiv:1810.04805, section 4.2.

    Args:
        backbone: a BERT-like KerasHub backbone.

    Returns:
        keras.Model from `token_ids`, `segment_ids`: (windows, length) int32 and `padding_mask`: (windows, length) bool
        to `start_logits` and `end_logits`: (windows, length) float32. The backbone is the layer `backbone`.

    Examples:
        >>> import keras_hub
        >>> backbone = keras_hub.models.BertBackbone(100, 1, 2, 8, 16, max_sequence_length=32)
        >>> sorted(preset_span_network(backbone).output)
        ['end_logits', 'start_logits']
    """
    inputs = make_token_inputs()
    tuned = keras.Model(backbone.input, get_token_features(backbone.output), name="backbone")
    x = tuned(make_backbone_inputs(backbone, inputs))
    return keras.Model(inputs, compute_span_logits(x, x, inputs["padding_mask"]), name="preset_span_network")


def split_preset(backbone: keras.Model, num_frozen: int) -> tuple[keras.Model, keras.Model]:
    """Split a backbone into a frozen encoder, of the embeddings and the first blocks, and the network above it.

    Args:
        backbone: a BERT-like KerasHub backbone.
        num_frozen: non-negative integer, number of frozen blocks.

    Returns:
        Tuple of two functional models: from the inputs of `preset_span_network` to `features`: (windows, length,
        width) float16; and from `features` and `padding_mask` to the logits.

    Raises:
        HparamError: the backbone has fewer blocks.

    Examples:
        >>> import keras_hub
        >>> backbone = keras_hub.models.BertBackbone(100, 2, 2, 8, 16, max_sequence_length=32)
        >>> encoder, network = split_preset(backbone, 1)
        >>> encoder.output["features"].shape
        (None, None, 8)
    """
    below, blocks = get_blocks(backbone)
    if num_frozen > len(blocks):
        raise HparamError(f"{option('freeze', num_frozen)}: the preset has {len(blocks)} blocks.")
    inputs = make_token_inputs()
    output = blocks[num_frozen - 1].output if num_frozen else below
    frozen = keras.Model(backbone.input, output, name="frozen")
    features = ops.cast(frozen(make_backbone_inputs(backbone, inputs)), CACHE_DTYPE)
    encoder = keras.Model(inputs, {"features": features}, name="frozen_encoder")

    cached = keras.Input((None, features.shape[-1]), dtype=CACHE_DTYPE, name="features")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    x = ops.cast(cached, keras.config.dtype_policy().compute_dtype)
    for block in blocks[num_frozen:]:
        x = block(x, padding_mask=ops.cast(padding_mask, "int32"))
    logits = compute_span_logits(x, x, padding_mask)
    return encoder, keras.Model({"features": cached, "padding_mask": padding_mask}, logits)
