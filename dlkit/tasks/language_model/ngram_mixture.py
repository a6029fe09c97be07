"""A mixture of a network, n-grams of the training text and repetitions in the window, with a learned gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.layers.token_loss import TokenCrossEntropy
from dlkit.lazy import keras, layers, tf
from dlkit.tasks.language_model.ngram_experts import (
    CACHES,
    Experts,
    NgramTable,
    make_tables,
    mix_all,
    num_experts,
    num_features,
    num_orders,
    score_all,
    score_next,
)
from dlkit.text.kneser_ney import KneserNey, Level

HIDDEN = 32  # units of the gate that see the features of the experts only
NO_WEIGHT = -1e9  # the logit of an expert that knows nothing
MIXED_COLUMNS = 2  # beside the logits: the logarithms of the network's weight, and of the experts' weighted probability
LOWEST_LOG_PROBABILITY = -60.0  # stored for a probability of 0


@keras.saving.register_keras_serializable("dlkit")
class NgramMixture(layers.Layer):
    """Mixes the probabilities that a network gives to the next token with those of experts that are not trained.

    The experts are interpolated n-gram models of each order (Chen and Goodman, 1998) and caches: the recent tokens
    (Kuhn and De Mori, 1990), and the tokens that followed the same one, two or three tokens earlier in the window
    (as in pointer networks, Merity et al., 2017, arXiv:1609.07843). The gate is a softmax over the network and the
    experts, from the network's features and from how often the experts have seen their contexts.

    In training, the experts must not know the text that they are asked about: their probabilities are inputs, which
    `cross_fit` computes with models of the other documents. The call returns what `MixtureCrossEntropy` needs; `score`
    and `mix` are for predictions.

    Call with `features`: (batch, tokens, width), of the network; `logits`: (batch, tokens, vocabulary_size);
    `expert_log_probs`: (batch, tokens, experts) and `expert_features`: (batch, tokens, features), as of `Experts`.
    Returns (batch, tokens, vocabulary_size + 2) float32: the logits, the logarithm of the weight of the network, and
    that of the weighted sum of the experts' probabilities.

    Args:
        vocabulary_size: positive integer, number of ids.
        grams: number of n-grams of each order.
        contexts: number of contexts of each order.

    Examples:
        >>> model = KneserNey(np.array([3, 4, 3, 4, 2]), 6, order=2, end_id=2)
        >>> mixture = NgramMixture.of(model)
        >>> mixture(tf.zeros([1, 3, 8]), tf.zeros([1, 3, 6]), tf.zeros([1, 3, 5]), tf.zeros([1, 3, 12])).shape
        TensorShape([1, 3, 8])
    """

    def __init__(self, vocabulary_size: int, grams: Sequence[int], contexts: Sequence[int], **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.vocabulary_size, self.grams, self.contexts = vocabulary_size, list(grams), list(contexts)
        self._tables = [self._add_table(*sizes) for sizes in enumerate(zip(self.grams, self.contexts, strict=True), 1)]

    @classmethod
    def of(cls, model: KneserNey, **kwargs: Any) -> NgramMixture:
        """Return a layer with the n-grams of a model, and a gate that is not trained yet."""
        tables = make_tables(model)
        sizes = [len(table.keys) for table in tables], [len(table.backoff) for table in tables]
        layer = cls(model.vocabulary_size, *sizes, **kwargs)
        for own, table in zip(layer._tables, tables, strict=True):
            for weight, values in zip(own, table, strict=True):
                weight.assign(values)
        return layer

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.grams)

    def build(self, features_shape: Any, *_: Any) -> None:
        width, experts = features_shape[-1], num_experts(self.order)
        policy = self.dtype_policy
        zeros = "zeros"  # at first, all weights follow from the biases
        self.gate = layers.Dense(
            experts + 1, kernel_initializer=zeros, bias_initializer=_initial_bias(self.order), dtype=policy, name="gate"
        )
        self.gate.build((None, width + num_features(self.order)))
        self.hidden = layers.Dense(HIDDEN, activation="gelu", dtype=policy, name="hidden")
        self.hidden.build((None, num_features(self.order)))
        self.hidden_gate = layers.Dense(
            experts + 1, use_bias=False, kernel_initializer=zeros, dtype=policy, name="hidden_gate"
        )
        self.hidden_gate.build((None, HIDDEN))

    def call(
        self, features: tf.Tensor, logits: tf.Tensor, expert_log_probs: tf.Tensor, expert_features: tf.Tensor
    ) -> tf.Tensor:
        weights = self._log_weights(features, tf.cast(expert_features, tf.float32))
        mixed = tf.reduce_logsumexp(weights[..., 1:] + tf.cast(expert_log_probs, tf.float32), -1, keepdims=True)
        return tf.concat([tf.cast(logits, tf.float32), weights[..., :1], mixed], -1)

    def score(self, token_ids: tf.Tensor, segment_ids: tf.Tensor, next_ids: tf.Tensor) -> Experts:
        """Compute what the experts say of the token after each token of windows; see `score_next`."""
        return score_next(self.tables, self.vocabulary_size, token_ids, segment_ids, next_ids)

    def log_probs_of(self, features: tf.Tensor, network_log_probs: tf.Tensor, experts: Experts) -> tf.Tensor:
        """Mix the log-probabilities of single tokens.

        Args:
            features: (..., width), of the network.
            network_log_probs: (...) float32, those that the network gives to the next token.
            experts: what `score` computes of it.

        Returns:
            (...) float32.
        """
        weights = self._log_weights(features, experts.features)
        experts_log_probs = tf.maximum(tf.math.log(experts.probabilities), LOWEST_LOG_PROBABILITY)
        every = tf.concat([network_log_probs[..., tf.newaxis], experts_log_probs], -1)
        return tf.reduce_logsumexp(weights + every, -1)

    def mix(self, features: tf.Tensor, logits: tf.Tensor, token_ids: tf.Tensor, segment_ids: tf.Tensor) -> tf.Tensor:
        """Compute the log-probabilities of all tokens after the last one of each row.

        Args:
            features: (rows, width), of the network, for the last tokens.
            logits: (rows, vocabulary_size), of the network.
            token_ids, segment_ids: (rows, tokens) int32, the tokens so far, padded on the left with tokens of segment
                0.

        Returns:
            (rows, vocabulary_size) float32.
        """
        tables = self.tables
        known, orders, caches = score_all(tables, self.vocabulary_size, token_ids, segment_ids)
        weights = tf.exp(self._log_weights(features, known))
        experts = mix_all(tables, self.vocabulary_size, token_ids, weights[:, 1:], orders, caches)
        return tf.math.log(weights[:, :1] * tf.nn.softmax(tf.cast(logits, tf.float32)) + experts)

    @property
    def tables(self) -> list[NgramTable]:
        """The n-grams of each order."""
        return [NgramTable(*map(tf.convert_to_tensor, table)) for table in self._tables]

    def to_model(self, end_id: int) -> KneserNey:
        """Return the n-gram model alone."""
        levels = [Level(*(weight.numpy() for weight in table[:4])) for table in self._tables]
        return KneserNey.of_levels(levels, self.vocabulary_size, end_id)

    def _log_weights(self, features: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """Compute the logarithms of the weights of the network and the experts, (..., experts + 1)."""
        features = tf.cast(features, tf.float32)
        logits = self.gate(tf.concat([features, known], -1)) + self.hidden_gate(self.hidden(known))
        has_any = known[..., -CACHES:] > 0
        caches = tf.where(has_any, logits[..., -CACHES:], NO_WEIGHT)
        return tf.nn.log_softmax(tf.concat([logits[..., :-CACHES], caches], -1))

    def _add_table(self, order: int, sizes: tuple[int, int]) -> NgramTable:
        grams, contexts = sizes
        shapes = {"keys": grams, "probabilities": grams, "backoff": contexts, "log_totals": contexts}
        kinds = {"keys": "int64", "starts": "int32"}
        return NgramTable(*(
            self.add_weight(
                shape=(size,), dtype=kinds.get(name, "float32"), initializer="zeros", trainable=False,
                name=f"{name}_{order}", autocast=False,
            )
            for name, size in {**shapes, "starts": contexts + 1}.items()
        ))  # fmt: skip

    def compute_output_spec(self, features: keras.KerasTensor, logits: keras.KerasTensor, *_: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*logits.shape[:-1], self.vocabulary_size + MIXED_COLUMNS), "float32")

    def get_config(self) -> dict[str, Any]:
        own = {"vocabulary_size": self.vocabulary_size, "grams": self.grams, "contexts": self.contexts}
        return {**super().get_config(), **own}


def _initial_bias(order: int) -> Any:
    """Begin with the longest n-grams: a network that is not trained yet knows less than they do."""
    bias = [0.0, *[-1.0] * (num_orders(order) - 1), 1.0, -2.0, -3.0, -2.0, -1.0]
    return keras.initializers.Constant(np.array(bias, np.float32))


@keras.saving.register_keras_serializable("dlkit")
class MixtureCrossEntropy(TokenCrossEntropy):
    """`TokenCrossEntropy` of the outputs of an `NgramMixture`.

    The gradient of the network is that of the mixture plus that of the network alone: while the experts know more than
    the network, the mixture alone would give it a small weight, hence small gradients, and it would not learn.

    Examples:
        >>> outputs = tf.constant([[[0.0, 0.0, 0.0, 0.0, np.log(0.5), np.log(0.25)]]])
        >>> round(float(MixtureCrossEntropy()(tf.constant([[1]]), outputs)), 4)  # -log(0.5 / 4 + 0.25)
        0.9808
    """

    def token_losses(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        losses = super().token_losses(y_true, y_pred[..., :-MIXED_COLUMNS])
        weight, experts = y_pred[..., -2], y_pred[..., -1]
        is_token = y_true[:, : tf.shape(y_pred)[1]] > 0
        mixed = -tf.reduce_logsumexp(tf.stack([weight - losses, experts], -1), -1)
        alone = losses - tf.stop_gradient(losses)  # 0, with the gradient of the network alone
        return tf.where(is_token, mixed + alone, 0.0)
