"""KerasHub's pretrained causal backbones, with their vocabularies in core operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from dlkit.errors import DlkitError
from dlkit.generation.preset_ids import PresetIds
from dlkit.lazy import keras, layers, ops, tf
from dlkit.options import option
from dlkit.tasks.language_model.networks import make_window_inputs
from dlkit.text.preset import fetch_preset
from dlkit.text.subword_preset import convert_vocabulary
from dlkit.text.subword_tokenizer import END_ID, START_ID, SubwordTokenizer


def language_model_preset(
    name_or_folder: str, context_length: int, lora_rank: int = 0
) -> tuple[keras.Model, SubwordTokenizer]:
    """Load a pretrained network to fine-tune, with its tokenizer.

    Words are split into the longest subwords of the preset's vocabulary, not by its merges or probabilities, which a
    standard server has no operations for: most words are one subword either way. Windows hold one document each.

    Args:
        name_or_folder: name of a KerasHub preset ("gpt2_base_en", "gemma_2b_en"), a handle ("hf://..."), or a folder
            written by `save_to_preset`.
        context_length: positive integer, maximum number of tokens; at most the number of positions of the preset.
        lora_rank: rank of low-rank adaptation, for which all other weights stay as they are; 0 trains all weights.

    Returns:
        Tuple of the network, with the inputs and outputs of `dlkit.tasks.language_model.networks.gpt` and the
        KerasHub backbone as its nested model `backbone`; and its exact `SubwordTokenizer`.

    Raises:
        DlkitError: there is no such preset, it cannot be fetched, or it is no causal backbone.

    Examples:
        >>> network, tokenizer = language_model_preset("gpt2_base_en", 256)  # doctest: +SKIP
    """
    tokenizer, backbone = fetch_preset(name_or_folder)
    if find_causal_class(type(backbone)) is None:
        raise DlkitError(
            f"{option('network')}: the preset {name_or_folder!r} is a {type(backbone).__name__}. Expected a causal "
            "one, such as a GPT-2, Gemma, Llama or Qwen."
        )
    longest = getattr(backbone, "max_sequence_length", context_length)
    if context_length > longest:
        raise DlkitError(
            f"{option('context_length')} must be at most {longest}, the limit of this preset. Received: "
            f"{context_length}."
        )
    end = tokenizer.end_token_id
    start = getattr(tokenizer, "start_token_id", None)
    # Padding is masked: any token does, and that of id 0 is an ordinary one in some vocabularies.
    special_ids = [end, end if start is None else start, end]
    subwords, preset_ids = convert_vocabulary(tokenizer, backbone.vocabulary_size, special_ids)
    network = connect_preset(PresetBackbone(backbone, lora_rank), preset_ids)
    return network, SubwordTokenizer(subwords, context_length, byte_ids=False, exact=True, name="tokenizer")


def connect_preset(backbone: PresetBackbone, preset_ids: list[int]) -> keras.Model:
    """Build the network of a backbone; see `language_model_preset`."""
    inputs = make_window_inputs()
    ids = PresetIds(preset_ids, masks_unused=True, name="ids")
    begun = BeginWithStart(name="begin")(inputs["token_ids"], inputs["positions"])
    logits = backbone({"token_ids": ids(begun), "padding_mask": ops.cast(inputs["segment_ids"] > 0, "int32")})
    return keras.Model(inputs, {"logits": ids(logits, reverse=True)}, name="language_model_preset")


def find_causal_class(backbone_class: type) -> Any:
    """Return the causal language model of KerasHub with this class of backbone; None if there is none."""
    import keras_hub

    classes = [keras_hub.models.CausalLM]
    for each in classes:
        classes.extend(each.__subclasses__())
        if each.backbone_cls is backbone_class and hasattr(each, "call_with_cache"):
            return each
    return None


@keras.saving.register_keras_serializable("dlkit")
class BeginWithStart(layers.Layer):
    """Replaces the end token at position 0, which stands before every text, by the start token.

    Call with `token_ids` and `positions`, (...) int32 each.

    Examples:
        >>> BeginWithStart()(tf.constant([2, 7, 2]), tf.constant([0, 1, 2])).numpy().tolist()
        [1, 7, 2]
    """

    def call(self, token_ids: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        return tf.where((token_ids == END_ID) & (positions == 0), START_ID, token_ids)

    def compute_output_spec(self, token_ids: keras.KerasTensor, positions: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(token_ids.shape, "int32")


@keras.saving.register_keras_serializable("dlkit")
class PresetBackbone(keras.Model):
    """A backbone of KerasHub with logits, and with low-rank adaptation (LoRA) if it has a rank.

    Keras merges adapted weights when it saves them, and begins adaptation anew when it loads them. Here, both the
    weights and their adaptation are saved, so that a run can be resumed and a loaded model predicts exactly the same.

    Source: Hu et al., 2021, arXiv:2106.09685, by Keras, of the layers that KerasHub adapts by default.

    Args:
        backbone: a causal backbone.
        lora_rank: rank of the adaptation; 0 for none.
    """

    def __init__(self, backbone: keras.Model, lora_rank: int = 0, name: str = "backbone", **kwargs: Any):
        logits = backbone.token_embedding(backbone.output, reverse=True)
        super().__init__(backbone.input, logits, name=name, **kwargs)
        self.backbone, self.lora_rank = backbone, lora_rank
        if lora_rank:
            backbone.enable_lora(lora_rank)
            self.lora_state = LoraState(backbone)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "lora_rank": self.lora_rank,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        del custom_objects
        return cls(keras.saving.deserialize_keras_object(config.pop("backbone")), **config)


class LoraState(layers.Layer):
    """Saves and loads the weights of adapted layers as they are; it has none of its own.

    Args:
        backbone: whose layers are adapted.
    """

    def __init__(self, backbone: keras.Model, **kwargs: Any):
        super().__init__(**kwargs)
        self.built = True
        self._find = lambda: list(_adapted_weights(backbone))

    def save_own_variables(self, store: Any) -> None:
        for number, variable in enumerate(self._find()):
            store[str(number)] = variable

    def load_own_variables(self, store: Any) -> None:
        for number, variable in enumerate(self._find()):
            variable.assign(store[str(number)])


def _adapted_weights(backbone: keras.Model) -> Iterator[Any]:
    for layer in backbone._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            own = getattr(layer, "_kernel", None)
            yield own if own is not None else layer._embeddings
            kernels = (
                ("lora_kernel_a", "lora_kernel_b") if own is not None else ("lora_embeddings_a", "lora_embeddings_b")
            )
            yield from (getattr(layer, kernel) for kernel in kernels)
