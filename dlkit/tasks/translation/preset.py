"""KerasHub's pretrained sequence-to-sequence models, Bart and T5, with their vocabularies in core operations."""

from __future__ import annotations

from typing import Any

from dlkit.errors import DlkitError
from dlkit.lazy import keras, layers, ops
from dlkit.options import option
from dlkit.tasks.translation.preset_decoder import PresetIds
from dlkit.text.preset import fetch_preset
from dlkit.text.subword_tokenizer import FIRST_BYTE_ID, SubwordDetokenizer, SubwordTokenizer


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
    subwords, preset_ids = _convert_vocabulary(tokenizer, model.backbone.vocabulary_size)
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


def _convert_vocabulary(tokenizer: Any, size: int) -> tuple[list[str], list[int]]:
    """Return the subwords of dlkit's ids from 3 on, their bytes as Latin-1; and the preset's id for each of dlkit's."""
    import keras_hub

    tokens = list(tokenizer.get_vocabulary())
    by_id = {tokenizer.token_to_id(token): token for token in tokens}
    is_bart = isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer)
    if is_bart:
        special = [tokenizer.pad_token_id, tokenizer.start_token_id, tokenizer.end_token_id]
    else:  # the start token of T5 is its padding: its unknown token serves as padding, which is masked
        special = [tokens.index("<unk>"), tokenizer.pad_token_id, tokenizer.end_token_id]
    preset_ids = special + [number for number in range(size) if number not in special]
    decode = _decode_bart if is_bart else _decode_t5
    return [decode(by_id.get(number, "")).decode("latin-1") for number in preset_ids[FIRST_BYTE_ID:]], preset_ids


def _decode_bart(token: str) -> bytes:
    if token.startswith("<") and token.endswith(">") and len(token) > 2:
        return b""
    byte_of = _make_byte_decoder()
    return bytes(byte_of[letter] for letter in token) if all(letter in byte_of for letter in token) else b""


def _decode_t5(token: str) -> bytes:
    special = token.startswith(("<", "▁<extra_id")) and token.endswith(">") and len(token) > 2
    return b"" if special else token.replace("▁", " ").encode()


def _make_byte_decoder() -> dict[str, int]:
    """Make the inverse of GPT-2's mapping of bytes to letters, which byte-level vocabularies use."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}
