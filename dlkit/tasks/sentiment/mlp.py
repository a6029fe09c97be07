"""A linear model over a bag of n-grams, with embeddings: fastText's, with weights of its n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlkit.lazy import keras, layers, ops, tf

if TYPE_CHECKING:
    import numpy as np


def text_mlp(
    max_tokens: int | None,
    vocabulary_size: int,
    outputs: int,
    *,
    embedding: int = 64,
    hidden: Sequence[int] = (),
    dropout: float = 0.3,
    token_dropout: float = 0.3,
    token_weights: np.ndarray | None = None,
) -> keras.Model:
    """Bag of tokens or n-grams: embeddings are added up, then dense layers.

    Source: Joulin et al., 2016, arXiv:1607.01759 (fastText), with ids weighted and left out at random. With
    `embedding=0` each id has a weight per output instead: logistic regression on the bag.

    Args:
        max_tokens: positive integer, the width of `token_ids`.
        vocabulary_size: positive integer, number of ids.
        outputs: positive integer, number of logits.
        embedding: width of the embeddings, or 0 for none.
        hidden: widths of the dense layers, none by default.
        dropout: float in [0, 1), on the bag and after each dense layer.
        token_dropout: float in [0, 1), the share of ids left out of each bag in training.
        token_weights: None for all equal, or (vocabulary_size,) float array, fixed weights such as
            `dlkit.tasks.sentiment.ngrams.inverse_document_frequency`.

    Returns:
        keras.Model from `token_ids`: (batch, max_tokens) int32 and `padding_mask`: (batch, max_tokens) bool, true at
        tokens, to `logits`: (batch, outputs) float32.
    """
    token_ids = keras.Input((max_tokens,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((max_tokens,), dtype="bool", name="padding_mask")
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    start = "uniform" if embedding else "zeros"
    width = embedding or outputs
    bag = WeightedBag(vocabulary_size, width, token_dropout, start, name="bag")
    x = bag(token_ids, padding_mask)
    if token_weights is not None:
        bag.token_weights.assign(token_weights)
    if not embedding:
        logits = layers.Activation("linear", dtype="float32", name="logits")(x)
        return keras.Model(inputs, {"logits": logits}, name="text_mlp")
    x = layers.Dropout(dropout)(x)
    for width in hidden:
        x = layers.Dropout(dropout)(layers.Dense(width, activation="relu")(x))
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model(inputs, {"logits": logits}, name="text_mlp")


@keras.saving.register_keras_serializable("dlkit")
class WeightedBag(keras.layers.Layer):
    """Adds up the embeddings of a bag of ids, each times the id's own weight, over the Euclidean norm of the weights.

    With inverse document frequencies as `token_weights` and an embedding of the classes' width this is logistic
    regression on normalized tf-idf. The weights are not trained; set them after building: `bag.token_weights.assign`.
    A bag of padding only gives zeros. Source: Joulin et al., 2016, arXiv:1607.01759, with weights and their norm in
    place of the plain mean.

    Call with `token_ids`: (batch, tokens) int; `padding_mask`: (batch, tokens) bool, true at tokens. Returns
    (batch, dimension) of the layer's compute dtype.

    Args:
        vocabulary_size: positive integer, number of ids.
        dimension: positive integer, the width of the embeddings.
        token_dropout: float in [0, 1), the share of ids left out of each bag in training.
        embeddings_initializer: a Keras initializer of the embeddings.
    """

    def __init__(
        self,
        vocabulary_size: int,
        dimension: int,
        token_dropout: float = 0.0,
        embeddings_initializer: str | dict[str, Any] | keras.initializers.Initializer = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= token_dropout < 1:
            raise ValueError(f"`token_dropout` must be in [0, 1). Received: token_dropout={token_dropout}.")
        self.vocabulary_size = vocabulary_size
        self.dimension = dimension
        self.token_dropout = token_dropout
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, self.dimension),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )
        self.token_weights = self.add_weight(
            shape=(self.vocabulary_size,),
            initializer="ones",
            trainable=False,
            dtype="float32",
            name="token_weights",
        )

    def call(self, token_ids: tf.Tensor, padding_mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        weights = ops.take(ops.cast(self.token_weights, "float32"), token_ids, 0)
        weights = ops.where(padding_mask, weights, 0.0)
        if training and self.token_dropout:
            kept = keras.random.uniform(ops.shape(weights), seed=self.seed_generator) >= self.token_dropout
            weights = ops.where(kept, weights, 0.0)
        weights /= ops.sqrt(ops.maximum(ops.sum(weights * weights, 1, keepdims=True), 1e-12))
        embedded = ops.take(self.embeddings, token_ids, 0)  # (batch, tokens, dimension)
        return ops.einsum("bt,btd->bd", ops.cast(weights, embedded.dtype), embedded)

    def compute_output_shape(self, token_ids_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (token_ids_shape[0], self.dimension)

    def get_config(self) -> dict[str, Any]:
        own = {
            "vocabulary_size": self.vocabulary_size,
            "dimension": self.dimension,
            "token_dropout": self.token_dropout,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
        return {**super().get_config(), **own}
