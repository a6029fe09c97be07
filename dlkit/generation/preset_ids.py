"""Ids of a preset, in the order of dlkit's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.text.subword_tokenizer import PADDING_ID, START_ID

IMPOSSIBLE = -1e9  # the logit of what is never generated


@keras.saving.register_keras_serializable("dlkit")
class PresetIds(keras.layers.Layer):
    """Converts dlkit's ids, of which 0 is padding, 1 the start and 2 the end token, to those of a preset.

    Call with ids, (...) int32, to get the preset's; or with `reverse=True` and the preset's logits, (..., vocabulary),
    to get logits in the order of dlkit's ids, float32.

    Args:
        preset_ids: list of int, the preset's id for each of dlkit's.
        masks_unused: whether padding and the start token, whose logits are those of other tokens, become impossible.

    Examples:
        >>> ids = PresetIds([3, 0, 2, 1])
        >>> ids(tf.constant([[1, 3]])).numpy().tolist()
        [[0, 1]]
    """

    def __init__(self, preset_ids: Sequence[int], masks_unused: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.preset_ids, self.masks_unused = list(preset_ids), masks_unused

    def call(self, inputs: tf.Tensor, reverse: bool = False) -> tf.Tensor:
        if reverse:
            logits = tf.gather(tf.cast(inputs, tf.float32), self.preset_ids, axis=-1)
            unused = tf.one_hot([PADDING_ID, START_ID], len(self.preset_ids), IMPOSSIBLE, 0.0)
            return logits + tf.reduce_sum(unused, 0) if self.masks_unused else logits
        return tf.gather(self.preset_ids, inputs)

    def compute_output_spec(self, inputs: keras.KerasTensor, reverse: bool = False) -> keras.KerasTensor:
        shape = (*inputs.shape[:-1], len(self.preset_ids)) if reverse else inputs.shape
        return keras.KerasTensor(shape, "float32" if reverse else "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preset_ids": self.preset_ids, "masks_unused": self.masks_unused}
