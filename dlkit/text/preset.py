"""Pretrained BERT-like backbones of KerasHub, with their tokenizer in core operations."""

from __future__ import annotations

from typing import Any

from dlkit.errors import DlkitError
from dlkit.lazy import keras
from dlkit.text.wordpiece import WordPiece


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

    try:
        tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(name_or_folder)
        backbone = keras_hub.models.Backbone.from_preset(name_or_folder)
    except Exception as error:  # each hub has errors of its own, and so has each kind of broken folder
        if "safetensors" in str(error):
            raise DlkitError('Hugging Face folders need safetensors: pip install "dlkit[presets]".') from error
        reason = str(error).strip().splitlines() or ["no message"]
        raise DlkitError(
            f"`network`: the preset {name_or_folder!r} cannot be loaded: {type(error).__name__}: {reason[0]} Give a "
            "preset that can be fetched, or a folder that holds one."
        ) from error
    if not isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        raise DlkitError(
            f"`network`: the preset {name_or_folder!r} has a {type(tokenizer).__name__}, whose operations a stock "
            "server lacks. Expected a BERT-like preset with a WordPiece vocabulary."
        )
    # KerasHub keeps accents where BERT's own uncased models were trained without: theirs is the default here.
    made = WordPiece(tokenizer.get_vocabulary(), max_tokens, tokenizer.lowercase, **options, name="tokenizer")
    return made, backbone
