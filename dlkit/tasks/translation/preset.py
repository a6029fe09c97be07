"""KerasHub's pretrained sequence-to-sequence models, Bart and T5, with their vocabularies in core operations."""

from __future__ import annotations

from typing import Any

from dlkit.errors import DlkitError
from dlkit.generation.preset_ids import PresetIds
from dlkit.lazy import keras, layers, ops
from dlkit.options import option
from dlkit.text.preset import fetch_preset
from dlkit.text.subword_preset import convert_vocabulary
from dlkit.text.subword_tokenizer import SubwordDetokenizer, SubwordTokenizer


def translation_preset(name_or_folder: str, max_tokens: int) -> tuple[keras.Model, layers.Layer, layers.Layer]:
    """Load a pretrained network to fine-tune, with its tokenizer and detokenizer.

    Words are split into the longest subwords of the preset's vocabulary, not by its merges or probabilities, which a
    standard server has no operations for: most words are one subword either way. A T5 loses characters that are not in
    its vocabulary.

    Args:
        name_or_folder: name of a KerasHub preset ("bart_base_en", "t5_small_multi"), a handle ("hf://..."), or a
            folder written by `save_to_preset`.
        max_tokens: positive integer, maximum sequence length in tokens; at most the number of positions of the preset.

    Returns:
        Tuple of the network, with the inputs and outputs of `translation_transformer` and the KerasHub model as its
        layer `preset`; its `SubwordTokenizer`; and its `SubwordDetokenizer`.

    Raises:
        DlkitError: there is no such preset, it cannot be fetched, or it is neither a Bart nor a T5.

    Examples:
        >>> network, tokenizer, detokenizer = translation_preset("bart_base_en", 64)  # doctest: +SKIP
    """
    tokenizer, model = _load_model(name_or_folder)
    special_ids = _find_special_ids(tokenizer)
    subwords, preset_ids = convert_vocabulary(tokenizer, model.backbone.vocabulary_size, special_ids)
    max_length = getattr(model.backbone, "max_sequence_length", max_tokens)
    if max_tokens > max_length:
        raise DlkitError(
            f"{option('max_tokens')} must be at most {max_length}, the limit of this preset. Received: {max_tokens}."
        )
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    decoder_ids = keras.Input((None,), dtype="int32", name="decoder_ids")
    ids = PresetIds(preset_ids, name="ids")
    logits = model(
        {
            "encoder_token_ids": ids(token_ids),
            "encoder_padding_mask": padding_mask,
            "decoder_token_ids": ids(decoder_ids),
            "decoder_padding_mask": ops.ones_like(
                decoder_ids, dtype="bool"
            ),  # decoding is causal, and padding comes last
        }
    )
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask, "decoder_ids": decoder_ids}
    network = keras.Model(inputs, {"logits": ids(logits, reverse=True)}, name="translation_preset")
    tokenizer_layer = SubwordTokenizer(subwords, max_tokens, byte_ids=False, name="tokenizer")
    return network, tokenizer_layer, SubwordDetokenizer(subwords, byte_ids=False, name="detokenizer")


def _load_model(name_or_folder: str) -> tuple[Any, keras.Model]:
    import keras_hub

    model_classes = {
        keras_hub.models.BartBackbone: keras_hub.models.BartSeq2SeqLM,
        keras_hub.models.T5Backbone: keras_hub.models.T5Seq2SeqLM,
    }
    tokenizer, backbone = fetch_preset(name_or_folder)
    if type(backbone) not in model_classes:
        raise DlkitError(
            f"{option('network')}: the preset {name_or_folder!r} is a {type(backbone).__name__}. Expected a Bart "
            "or a T5."
        )
    return tokenizer, model_classes[type(backbone)](backbone, name="preset")


def _find_special_ids(tokenizer: Any) -> list[int]:
    """Return the preset's ids of padding, start and end token."""
    import keras_hub

    if isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer):
        return [tokenizer.pad_token_id, tokenizer.start_token_id, tokenizer.end_token_id]
    # The start token of T5 is its padding: its unknown token serves as padding, which is masked.
    return [tokenizer.token_to_id("<unk>"), tokenizer.pad_token_id, tokenizer.end_token_id]
