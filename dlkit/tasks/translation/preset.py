"""KerasHub's pretrained sequence-to-sequence backbones, Bart and T5, with their vocabularies in core operations."""

from __future__ import annotations

from typing import Any

from dlkit.errors import DlkitError
from dlkit.lazy import keras, layers, ops
from dlkit.options import option
from dlkit.tasks.translation.preset_stepper import PresetIds
from dlkit.tasks.translation.subwords import BYTE, JoinSubwords, Subwords
from dlkit.text.preset import fetch_preset


def translation_preset(name_or_folder: str, max_tokens: int) -> tuple[keras.Model, layers.Layer, layers.Layer]:
    """A pretrained network to be tuned, what makes its ids of texts, and texts of its ids.

    Words are cut into the longest pieces of the preset's vocabulary, not by its merges or probabilities, which a stock
    server has no operations for: most words are one piece either way. A T5 loses characters that it has no piece for.

    Args:
        name_or_folder: name of a KerasHub preset ("bart_base_en", "t5_small_multi"), a handle ("hf://..."), or a
            folder written by `save_to_preset`.
        max_tokens: width of the token ids; not more than the preset has positions.

    Returns:
        The network, in the form of `translation_transformer`, with the KerasHub model as its layer `preset`; its
        `Subwords`; its `JoinSubwords`.

    Raises:
        DlkitError: there is no such preset, it cannot be fetched, or it is of another kind.
    """
    tokenizer, model = _load(name_or_folder)
    pieces, order = _vocabulary(tokenizer, model.backbone.vocabulary_size)
    longest = getattr(model.backbone, "max_sequence_length", max_tokens)
    if max_tokens > longest:
        raise DlkitError(
            f"{option('max_tokens')} must be at most {longest}, the limit of this preset. Received: {max_tokens}."
        )
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    decoder_ids = keras.Input((None,), dtype="int32", name="decoder_ids")
    ids = PresetIds(order, name="ids")
    logits = model(
        {
            "encoder_token_ids": ids(token_ids),
            "encoder_padding_mask": padding_mask,
            "decoder_token_ids": ids(decoder_ids),
            "decoder_padding_mask": ops.ones_like(decoder_ids, dtype="bool"),  # padding comes last: none sees it
        }
    )
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask, "decoder_ids": decoder_ids}
    network = keras.Model(inputs, {"logits": ids(logits, reverse=True)}, name="translation_preset")
    split = Subwords(pieces, max_tokens, byte_ids=False, nfc=True, name="split")
    return network, split, JoinSubwords(pieces, byte_ids=False, name="join")


def _load(name_or_folder: str) -> tuple[Any, keras.Model]:
    import keras_hub

    kinds = {
        keras_hub.models.BartBackbone: keras_hub.models.BartSeq2SeqLM,
        keras_hub.models.T5Backbone: keras_hub.models.T5Seq2SeqLM,
    }
    tokenizer, backbone = fetch_preset(name_or_folder)
    if type(backbone) not in kinds:
        raise DlkitError(
            f"{option('network')}: the preset {name_or_folder!r} is a {type(backbone).__name__}. Expected a Bart "
            "or a T5."
        )
    return tokenizer, kinds[type(backbone)](backbone, name="preset")


def _vocabulary(tokenizer: Any, size: int) -> tuple[list[str], list[int]]:
    """What each of dlkit's ids from 3 on spells, its bytes as Latin-1; and the preset's id of each of dlkit's."""
    import keras_hub

    tokens = list(tokenizer.get_vocabulary())
    by_id = {tokenizer.token_to_id(token): token for token in tokens}
    is_bart = isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer)
    if is_bart:
        special = [tokenizer.pad_token_id, tokenizer.start_token_id, tokenizer.end_token_id]
    else:  # T5 starts with its padding: its unknown token serves as padding, which nothing sees
        special = [tokens.index("<unk>"), tokenizer.pad_token_id, tokenizer.end_token_id]
    order = special + [number for number in range(size) if number not in special]
    spell = _bart_bytes if is_bart else _t5_bytes
    return [spell(by_id.get(number, "")).decode("latin-1") for number in order[BYTE:]], order


def _bart_bytes(token: str) -> bytes:
    if token.startswith("<") and token.endswith(">") and len(token) > 2:
        return b""
    letters = _letters_of_bytes()
    return bytes(letters[letter] for letter in token) if all(letter in letters for letter in token) else b""


def _t5_bytes(token: str) -> bytes:
    special = token.startswith(("<", "▁<extra_id")) and token.endswith(">") and len(token) > 2
    return b"" if special else token.replace("▁", " ").encode()


def _letters_of_bytes() -> dict[str, int]:
    """GPT-2's letter for each byte, which byte-level vocabularies are written in."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}
