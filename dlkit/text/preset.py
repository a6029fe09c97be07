"""Pretrained BERT-like backbones of KerasHub, with their tokenizer in core operations."""

from __future__ import annotations

from typing import Any

from dlkit.errors import DlkitError
from dlkit.lazy import keras, ops
from dlkit.options import option
from dlkit.text.wordpiece import WordPiece
from dlkit.version import install_hint


def fetch_preset(name_or_folder: str) -> tuple[Any, keras.Model]:
    """KerasHub's tokenizer and backbone of a preset. Raises DlkitError where there is none that can be fetched."""
    import keras_hub

    try:
        tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(name_or_folder)
        return tokenizer, keras_hub.models.Backbone.from_preset(name_or_folder)
    except Exception as error:  # each hub has errors of its own, and so has each kind of broken folder
        if isinstance(error, ImportError) and "safetensors" in str(error):
            raise DlkitError(f"Hugging Face folders need safetensors: {install_hint('presets')}.") from error
        reason = str(error).strip().splitlines() or ["no message"]
        raise DlkitError(
            f"{option('network')}: the preset {name_or_folder!r} cannot be loaded: {type(error).__name__}: "
            f"{reason[0]} Give an available preset, or a folder with one."
        ) from error


def load_preset(name_or_folder: str, max_tokens: int, **options: Any) -> tuple[WordPiece, keras.Model]:
    """A backbone and its tokenizer.

    Args:
        name_or_folder: name of a KerasHub preset ("bert_small_en_uncased"), a handle ("hf://...", "kaggle://..."), a
            folder written by `save_to_preset`, or a Hugging Face folder of a BERT (config.json, model.safetensors,
            vocab.txt).
        max_tokens: width of the token ids, [CLS] and [SEP] included.
        options: of the tokenizer.

    Returns:
        The tokenizer, and the KerasHub backbone.

    Raises:
        DlkitError: there is no such preset, it cannot be fetched, or its tokenizer is not WordPiece.
    """
    import keras_hub

    tokenizer, backbone = fetch_preset(name_or_folder)
    if not isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        raise DlkitError(
            f"{option('network')}: the preset {name_or_folder!r} has a {type(tokenizer).__name__}, whose operations "
            "a standard server does not have. Expected a BERT-like preset with a WordPiece vocabulary."
        )
    # KerasHub keeps accents where BERT's own uncased models were trained without: theirs is the default here.
    made = WordPiece(tokenizer.get_vocabulary(), max_tokens, tokenizer.lowercase, **options, name="tokenizer")
    return made, backbone


def get_token_features(output: keras.KerasTensor | dict[str, keras.KerasTensor]) -> keras.KerasTensor:
    """The features of each token, among what a backbone gives: (batch, tokens, width)."""
    return output["sequence_output"] if isinstance(output, dict) else output


def get_blocks(backbone: keras.Model) -> tuple[keras.KerasTensor, list[keras.layers.Layer]]:
    """The transformer blocks of a BERT-like backbone, from below, and before them what the first one reads."""
    import keras_hub

    blocks = [layer for layer in backbone.layers if isinstance(layer, keras_hub.layers.TransformerEncoder)]
    below = blocks[0].input
    return below[0] if isinstance(below, list) else below, blocks


def make_backbone_inputs(backbone: keras.Model, inputs: dict[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """What a backbone takes, of `token_ids`, `padding_mask` and, where they differ from 0, `segment_ids`."""
    made = {"token_ids": inputs["token_ids"], "padding_mask": ops.cast(inputs["padding_mask"], "int32")}
    if "segment_ids" in backbone.input:
        made["segment_ids"] = inputs["segment_ids"] if "segment_ids" in inputs else ops.zeros_like(inputs["token_ids"])
    return made
