"""A bag of weighted n-gram embeddings with dense layers, as in fastText."""

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
    width: int = 64,
    hidden_widths: Sequence[int] = (),
    dropout: float = 0.3,
    token_dropout: float = 0.3,
    token_weights: np.ndarray | None = None,
) -> keras.Model:
    """Build a classifier of a bag of tokens or n-grams: a weighted sum of embeddings, then dense layers.

    Source: Joulin et al., 2016, arXiv:1607.01759 (fastText), with weighted ids and dropout of ids. With `width=0` each
    id has a weight for each output instead: logistic regression on the bag.

    Args:
        max_tokens: positive integer, maximum sequence length in tokens; None for any length.
        vocabulary_size: positive integer, number of ids.
        outputs: positive integer, number of logits.
        width: non-negative integer, width of the embeddings; 0 for none.
        hidden_widths: widths of the dense layers; none by default.
        dropout: float in [0, 1), dropout rate of the bag and after each dense layer.
        token_dropout: float in [0, 1), fraction of the ids dropped from each bag in training.
        token_weights: None for equal weights, or (vocabulary_size,) float array, fixed weights such as
            `dlkit.tasks.sentiment.term_weights.compute_term_weights`.

    Returns:
        keras.Model from `token_ids`: (batch, max_tokens) int32 and `padding_mask`: (batch, max_tokens) bool, true at
        tokens, to `logits`: (batch, outputs) float32.

    Examples:
        >>> network = text_mlp(16, 100, 2, width=8)
        >>> network.output["logits"].shape
        (None, 2)
    """
    token_ids = keras.Input((max_tokens,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((max_tokens,), dtype="bool", name="padding_mask")
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    initializer = "uniform" if width else "zeros"
    bag = WeightedEmbeddingBag(vocabulary_size, width or outputs, token_dropout, initializer, name="bag")
    x = bag(token_ids, padding_mask)
    if token_weights is not None:
        bag.token_weights.assign(token_weights)
    if not width:
        logits = layers.Activation("linear", dtype="float32", name="logits")(x)
        return keras.Model(inputs, {"logits": logits}, name="text_mlp")
    x = layers.Dropout(dropout)(x)
    for hidden_width in hidden_widths:
        x = layers.Dropout(dropout)(layers.Dense(hidden_width, activation="relu")(x))
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model(inputs, {"logits": logits}, name="text_mlp")


@keras.saving.register_keras_serializable("dlkit")
class WeightedEmbeddingBag(keras.layers.Layer):
    """Sums the embeddings of a bag of ids, each times the weight of its id over the Euclidean norm of the weights.

    With inverse document frequencies as `token_weights` and as many channels as classes this is logistic regression on
    normalized tf-idf. The weights are not trained; set them after building: `bag.token_weights.assign`. A bag of
    padding alone gives zeros. Source: Joulin et al., 2016, arXiv:1607.01759, with weights and their norm in place of
    the plain mean.

    Call with `token_ids`: (batch, tokens) int; `padding_mask`: (batch, tokens) bool, true at tokens. Returns
    (batch, width) of the layer's compute dtype.

    Args:
        vocabulary_size: positive integer, number of ids.
        width: positive integer, width of the embeddings.
        token_dropout: float in [0, 1), fraction of the ids dropped from each bag in training.
        embeddings_initializer: Keras initializer of the embeddings.

    Examples:
        >>> bag = WeightedEmbeddingBag(100, 8)
        >>> bag(tf.constant([[2, 3, 0]]), tf.constant([[True, True, False]])).shape
        TensorShape([1, 8])
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int,
        token_dropout: float = 0.0,
        embeddings_initializer: str | dict[str, Any] | keras.initializers.Initializer = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= token_dropout < 1:
            raise ValueError(f"`token_dropout` must be in [0, 1). Received: token_dropout={token_dropout}.")
        self.vocabulary_size = vocabulary_size
        self.width = width
        self.token_dropout = token_dropout
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, self.width),
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
            keep = keras.random.uniform(ops.shape(weights), seed=self.seed_generator) >= self.token_dropout
            weights = ops.where(keep, weights, 0.0)
        weights /= ops.sqrt(ops.maximum(ops.sum(weights * weights, 1, keepdims=True), 1e-12))
        embedded = ops.take(self.embeddings, token_ids, 0)  # (batch, tokens, width)
        return ops.einsum("bt,btd->bd", ops.cast(weights, embedded.dtype), embedded)

    def compute_output_shape(self, token_ids_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (token_ids_shape[0], self.width)

    def get_config(self) -> dict[str, Any]:
        own = {
            "vocabulary_size": self.vocabulary_size,
            "width": self.width,
            "token_dropout": self.token_dropout,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
        return {**super().get_config(), **own}
