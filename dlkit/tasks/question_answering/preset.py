"""A pretrained BERT-like backbone that points at spans, whole or cut where it is frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.errors import HparamError
from dlkit.lazy import keras, ops
from dlkit.options import option
from dlkit.tasks.question_answering.span_inputs import span_logits, token_inputs
from dlkit.text.preset import get_blocks, get_token_features, load_preset, make_backbone_inputs

if TYPE_CHECKING:
    from dlkit.text.wordpiece import WordPiece

CACHE = "float16"  # of cached features: half the disk


def load_backbone(name_or_folder: str, max_tokens: int, dropout: float) -> tuple[WordPiece, keras.Model]:
    """The tokenizer and the backbone of a preset as `load_preset` gives them, with this dropout inside of it."""
    tokenizer, loaded = load_preset(name_or_folder, max_tokens, nfc=True)
    config = loaded.get_config()
    if "dropout" not in config or config["dropout"] == dropout:
        return tokenizer, loaded
    backbone = type(loaded).from_config({**config, "dropout": dropout})
    backbone.set_weights(loaded.get_weights())
    return tokenizer, backbone


def span_preset(backbone: keras.Model) -> keras.Model:
    """A backbone to be tuned, with two logits for each token.

    Source: Devlin et al., 2018, arXiv:1810.04805, section 4.2.

    Returns:
        A functional model from `token_ids`, `segment_ids`: (windows, length) int32 and `padding_mask`: (windows,
        length) bool to `start_logits` and `end_logits`: (windows, length) float32. The backbone is the layer
        `backbone`.
    """
    inputs = token_inputs()
    tuned = keras.Model(backbone.input, get_token_features(backbone.output), name="backbone")
    x = tuned(make_backbone_inputs(backbone, inputs))
    return keras.Model(inputs, span_logits(x, x, inputs["padding_mask"]), name="span_preset")


def cut_preset(backbone: keras.Model, frozen: int) -> tuple[keras.Model, keras.Model]:
    """The part of a backbone that stays fixed, embeddings and the first blocks, and the network on top of it.

    Args:
        frozen: how many blocks stay fixed.

    Returns:
        A functional model from what `span_preset` takes to `features`: (windows, length, width) float16; and one from
        `features` and `padding_mask` to the logits.

    Raises:
        HparamError: there are fewer blocks.
    """
    below, blocks = get_blocks(backbone)
    if frozen > len(blocks):
        raise HparamError(f"{option('freeze', frozen)}: the preset has {len(blocks)} blocks.")
    inputs = token_inputs()
    hidden = keras.Model(backbone.input, blocks[frozen - 1].output if frozen else below, name="frozen")
    features = ops.cast(hidden(make_backbone_inputs(backbone, inputs)), CACHE)
    lower = keras.Model(inputs, {"features": features}, name="lower")

    cached = keras.Input((None, features.shape[-1]), dtype=CACHE, name="features")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    x = ops.cast(cached, keras.config.dtype_policy().compute_dtype)
    for block in blocks[frozen:]:
        x = block(x, padding_mask=ops.cast(padding_mask, "int32"))
    upper = keras.Model({"features": cached, "padding_mask": padding_mask}, span_logits(x, x, padding_mask))
    return lower, upper
