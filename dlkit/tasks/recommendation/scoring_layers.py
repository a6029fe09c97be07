"""Scoring layers of recommenders: how well items match a user.

Call a layer with

- `user`: (batch,) int32, user numbers from 1, 0 for an unknown user;
- `history`: (batch, any) int32, item numbers from 1, 0 for padding;
- `items`: optional, (batch, any) int32, the items to score; without it, all items are scored;
- `item_users`: users of the scored items, for layers with `item_users=True`: (batch, any) int32, of the one item of
  each row, or (1 + num_items, any), of all items.

It returns float32 logits: (batch, any) for `items`, or (batch, 1 + num_items) for all items, padding first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, keras_rs, layers, ops, tf

MASKED = -1e9  # logit of a masked item, whose probability is then exactly 0


class _ScoringLayer(keras.layers.Layer):
    """Base of the scoring layers: embeddings of users, of items and of the items of a history, and item biases.

    Args:
        num_users: number of users, without unknown ones.
        num_items: number of items, without padding.
        width: embedding width.
        dropout: dropout rate of the user vector, in [0, 1); the user embedding is also dropped as a whole.
        num_user_features: number of features per user.
        num_item_features: number of features per item.
        user_embeddings: whether users have embeddings; otherwise users are represented by their history only.
        item_users: whether an item is also represented by its users, as a user is by items.
        num_cold_items: number of items, the last ones, without interactions: they are represented by their features and
            by the mean of the other items' embeddings and biases, and are masked in training.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        width: int,
        dropout: float = 0.0,
        num_user_features: int = 0,
        num_item_features: int = 0,
        user_embeddings: bool = True,
        item_users: bool = False,
        num_cold_items: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.sizes: dict[str, Any] = {"num_users": num_users, "num_items": num_items, "width": width}
        self.sizes |= {"dropout": dropout, "num_user_features": num_user_features}
        self.sizes |= {"num_item_features": num_item_features}
        self.sizes |= {"user_embeddings": user_embeddings, "item_users": item_users, "num_cold_items": num_cold_items}

    def build(self, *_: Any) -> None:
        sizes, policy = self.sizes, self.dtype_policy
        width, rows = sizes["width"], sizes["num_items"] + 1
        items = {"num_features": sizes["num_item_features"], "num_cold": sizes["num_cold_items"], "dtype": policy}
        self.item_embedding = FeatureEmbedding(rows, width, **items, name="item_embedding")
        self.history_embedding = FeatureEmbedding(rows, width, **items, name="history_embedding")
        users = (sizes["num_users"] + 1, width, sizes["num_user_features"])
        if sizes["user_embeddings"]:
            self.user_embedding = FeatureEmbedding(*users, dtype=policy, name="user_embedding")
        if sizes["item_users"]:
            self.item_users_embedding = FeatureEmbedding(*users, dtype=policy, name="item_users_embedding")
        self.dropout = layers.Dropout(sizes["dropout"], dtype=policy)
        self.user_dropout = layers.Dropout(sizes["dropout"], noise_shape=(None, 1), dtype=policy)
        self.bias = self.add_weight(shape=(rows,), initializer="zeros", name="bias")
        self.build_layers()
        self.built = True

    def build_layers(self) -> None:
        """Create and build the layers of a subclass."""

    def call(
        self,
        user: tf.Tensor,
        history: tf.Tensor,
        items: tf.Tensor | None = None,
        item_users: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        logits = self.score(self.compute_user_vectors(user, history, training), user, items, item_users, training)
        if not self.sizes["num_cold_items"] or items is not None or not training:
            return logits
        num_warm_items = self.sizes["num_items"] - self.sizes["num_cold_items"]
        return ops.where(ops.arange(logits.shape[1]) > num_warm_items, MASKED, logits)

    def score(
        self,
        user_vectors: tf.Tensor,
        user: tf.Tensor,
        items: tf.Tensor | None,
        item_users: tf.Tensor | None,
        training: bool,
    ) -> tf.Tensor:
        """Compute the logits from user vectors, (batch, width), and the other arguments of `call`."""
        raise NotImplementedError

    def compute_user_vectors(self, user: tf.Tensor, history: tf.Tensor, training: bool) -> tf.Tensor:
        """Compute the sum of the pooled history and the user embedding: (batch, width)."""
        vectors = self.history_embedding.pool(history)
        if self.sizes["user_embeddings"]:
            vectors += self.user_dropout(self.user_embedding(user), training=training)
        return self.dropout(vectors, training=training)

    def compute_item_vectors(self, items: tf.Tensor | None, item_users: tf.Tensor | None) -> tf.Tensor:
        """Compute item vectors: (batch, any, width) for `items`, or (1 + num_items, width) for all items."""
        if items is None:
            vectors = self.item_embedding()
            return vectors if item_users is None else vectors + self.item_users_embedding.pool_all(item_users)
        vectors = self.item_embedding(items)
        return vectors if item_users is None else vectors + self.item_users_embedding.pool(item_users)[:, None, :]

    def compute_item_biases(self) -> tf.Tensor:
        """Return the biases of all items, (1 + num_items,); those of cold items are the mean of the others."""
        return _with_means(ops.convert_to_tensor(self.bias)[:, None], self.sizes["num_cold_items"])[:, 0]

    def compute_dot_products(
        self, user_vectors: tf.Tensor, items: tf.Tensor | None, item_users: tf.Tensor | None
    ) -> tf.Tensor:
        """Compute dot products of user and item vectors plus item biases, float32 of the shape that `call` returns."""
        bias, vectors = ops.cast(self.compute_item_biases(), "float32"), self.compute_item_vectors(items, item_users)
        if items is None:
            return ops.cast(ops.matmul(user_vectors, ops.transpose(vectors)), "float32") + bias
        products = ops.einsum("bd,bid->bi", user_vectors, vectors)
        return ops.cast(products, "float32") + ops.take(bias, items, axis=0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.sizes}


@keras.saving.register_keras_serializable("dlkit")
class SVDpp(_ScoringLayer):
    """SVD++: the dot product of a user vector, embedding plus pooled history, with an item vector, plus biases.

    Reference: Koren, 2008, doi:10.1145/1401890.1401944, equation 15; without user embeddings it is NSVD. With
    `item_users` an item vector also pools its users, as in Rendle et al., 2019, arXiv:1905.01395 ("flipped").

    See `_ScoringLayer` for the arguments.

    Examples:
        >>> import numpy as np
        >>> layer = SVDpp(num_users=3, num_items=6, width=4)
        >>> layer(np.array([1, 0]), np.array([[0, 1, 2], [0, 0, 5]])).shape
        TensorShape([2, 7])
    """

    def build_layers(self) -> None:
        shape = (self.sizes["num_users"] + 1,)
        self.user_bias = self.add_weight(shape=shape, initializer="zeros", name="user_bias")

    def score(
        self,
        user_vectors: tf.Tensor,
        user: tf.Tensor,
        items: tf.Tensor | None,
        item_users: tf.Tensor | None,
        training: bool,
    ) -> tf.Tensor:
        user_bias = ops.take(ops.cast(self.user_bias, "float32"), user, axis=0)
        return self.compute_dot_products(user_vectors, items, item_users) + user_bias[:, None]


@keras.saving.register_keras_serializable("dlkit")
class TwoTower(_ScoringLayer):
    """Two towers: dense layers with a residual connection over the user vector, and item embeddings with features.

    References: Covington et al., 2016, doi:10.1145/2959100.2959190; with the history alone it is the autoencoder of
    Liang et al., 2018, arXiv:1802.05814 (Mult-DAE), whose input is the pooled history.

    See `_ScoringLayer` for the other arguments.

    Args:
        hidden_width: width of the hidden layer of the user tower.

    Examples:
        >>> import numpy as np
        >>> layer = TwoTower(num_users=3, num_items=6, width=4, hidden_width=8)
        >>> layer(np.array([1]), np.array([[1, 2]]), items=np.array([[3, 4, 5]])).shape
        TensorShape([1, 3])
    """

    def __init__(self, *args: Any, hidden_width: int = 64, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sizes["hidden_width"] = hidden_width

    def build_layers(self) -> None:
        width, hidden_width, policy = self.sizes["width"], self.sizes["hidden_width"], self.dtype_policy
        self.hidden = layers.Dense(hidden_width, activation="tanh", dtype=policy, name="hidden")
        self.output_projection = layers.Dense(width, dtype=policy, name="output_projection")
        self.hidden.build((None, width))
        self.output_projection.build((None, hidden_width))

    def score(
        self,
        user_vectors: tf.Tensor,
        user: tf.Tensor,
        items: tf.Tensor | None,
        item_users: tf.Tensor | None,
        training: bool,
    ) -> tf.Tensor:
        tower = user_vectors + self.output_projection(self.hidden(user_vectors))
        return self.compute_dot_products(tower, items, item_users)


class _PairScoringLayer(_ScoringLayer):
    """Base of the layers that score each pair of a user vector and an item vector by a network."""

    def score(
        self,
        user_vectors: tf.Tensor,
        user: tf.Tensor,
        items: tf.Tensor | None,
        item_users: tf.Tensor | None,
        training: bool,
    ) -> tf.Tensor:
        item_vectors, bias = self.compute_item_vectors(items, item_users), ops.cast(self.bias, "float32")
        if items is None:
            item_vectors = ops.broadcast_to(item_vectors[None], (ops.shape(user)[0], *item_vectors.shape))
        else:
            bias = ops.take(bias, items, axis=0)
        user_vectors = ops.broadcast_to(user_vectors[:, None, :], ops.shape(item_vectors))
        return ops.cast(self.score_pairs(user_vectors, item_vectors, training)[..., 0], "float32") + bias

    def score_pairs(self, user_vectors: tf.Tensor, item_vectors: tf.Tensor, training: bool) -> tf.Tensor:
        """Score pairs of vectors, both (batch, items, width), to (batch, items, 1)."""
        raise NotImplementedError

    def build_dense_layers(self, widths: Sequence[int], input_width: int) -> list[keras.layers.Layer]:
        """Create and build a stack of dense layers with ReLU."""
        stack = []
        for number, width in enumerate(widths):
            layer = layers.Dense(width, activation="relu", dtype=self.dtype_policy, name=f"dense_{number}")
            layer.build((None, None, input_width))
            stack.append(layer)
            input_width = width
        return stack


@keras.saving.register_keras_serializable("dlkit")
class NeuMF(_PairScoringLayer):
    """Neural matrix factorization: an elementwise product of two vectors next to dense layers over both.

    Reference: He et al., 2017, arXiv:1708.05031, section 3.4. Here both parts share the embeddings, and the user vector
    includes the history.

    See `_ScoringLayer` for the arguments.

    Examples:
        >>> import numpy as np
        >>> layer = NeuMF(num_users=3, num_items=6, width=4)
        >>> layer(np.array([1]), np.array([[1, 2]])).shape
        TensorShape([1, 7])
    """

    def build_layers(self) -> None:
        width, policy = self.sizes["width"], self.dtype_policy
        self.dense_layers = self.build_dense_layers((2 * width, width), 2 * width)
        self.top = layers.Dense(1, use_bias=False, dtype=policy, name="top")
        self.top.build((None, None, 2 * width))

    def score_pairs(self, user_vectors: tf.Tensor, item_vectors: tf.Tensor, training: bool) -> tf.Tensor:
        x = ops.concatenate([user_vectors, item_vectors], axis=-1)
        for dense in self.dense_layers:
            x = dense(x)
        return self.top(ops.concatenate([user_vectors * item_vectors, self.dropout(x, training=training)], axis=-1))


@keras.saving.register_keras_serializable("dlkit")
class DCNv2(_PairScoringLayer):
    """Deep & Cross Network V2, stacked: cross layers over both vectors and their product, then dense layers.

    Reference: Wang et al., 2020, arXiv:2008.13535; the cross layers are those of KerasRS.

    See `_ScoringLayer` for the other arguments.

    Args:
        num_cross_layers: number of cross layers.

    Examples:
        >>> import numpy as np
        >>> layer = DCNv2(num_users=3, num_items=6, width=4, num_cross_layers=1)
        >>> layer(np.array([1]), np.array([[1, 2]])).shape
        TensorShape([1, 7])
    """

    def __init__(self, *args: Any, num_cross_layers: int = 2, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sizes["num_cross_layers"] = num_cross_layers

    def build_layers(self) -> None:
        input_width, policy = 3 * self.sizes["width"], self.dtype_policy
        names = [f"cross_{number}" for number in range(self.sizes["num_cross_layers"])]
        self.cross_layers = [keras_rs.layers.FeatureCross(dtype=policy, name=name) for name in names]
        for cross in self.cross_layers:
            cross.build((None, None, input_width))
            cross.dense.build((None, None, input_width))
        self.dense_layers = self.build_dense_layers((input_width, self.sizes["width"]), input_width)
        self.top = layers.Dense(1, use_bias=False, dtype=policy, name="top")
        self.top.build((None, None, self.sizes["width"]))

    def score_pairs(self, user_vectors: tf.Tensor, item_vectors: tf.Tensor, training: bool) -> tf.Tensor:
        x0 = x = ops.concatenate([user_vectors, item_vectors, user_vectors * item_vectors], axis=-1)
        for cross in self.cross_layers:
            x = cross(x0, x)
        for dense in self.dense_layers:
            x = dense(x)
        return self.top(self.dropout(x, training=training))


@keras.saving.register_keras_serializable("dlkit")
class FeatureEmbedding(keras.layers.Layer):
    """An embedding table, plus a linear projection of side features, if any.

    Number 0 is padding and maps to zeros. The features are not trained; assign `features`, (rows, num_features), after
    building.

    Call with int of any shape, which gets one more dimension, `width`, or without an argument for the whole table,
    (rows, width).

    Args:
        rows: positive int, number of rows, including padding.
        width: positive int, embedding width.
        num_features: int, number of features per row.
        stddev: positive float, standard deviation of the initial embeddings.
        num_cold: int, number of rows, the last ones, that have no embedding of their own but the mean of the others.

    Examples:
        >>> import numpy as np
        >>> layer = FeatureEmbedding(rows=4, width=2)
        >>> layer(np.array([[3, 0]])).shape
        TensorShape([1, 2, 2])
    """

    def __init__(
        self, rows: int, width: int, num_features: int = 0, stddev: float = 0.05, num_cold: int = 0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.rows, self.width, self.num_features, self.stddev = rows, width, num_features, stddev
        self.num_cold = num_cold
        self.build()

    def build(self, *_: Any) -> None:
        if self.built:
            return
        normal = keras.initializers.RandomNormal(stddev=self.stddev)
        self.embeddings = self.add_weight(shape=(self.rows, self.width), initializer=normal, name="embeddings")
        if self.num_features:
            shape = (self.rows, self.num_features)
            self.features = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="features")
            shape = (self.num_features, self.width)
            self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        self.built: bool = True

    def call(self, numbers: tf.Tensor | None = None) -> tf.Tensor:
        embeddings = _with_means(ops.convert_to_tensor(self.embeddings), self.num_cold)
        if numbers is None:
            if self.num_features:
                embeddings += ops.matmul(self.features, self.kernel)
            return embeddings * ops.cast(ops.arange(self.rows) > 0, embeddings.dtype)[:, None]
        vectors = ops.take(embeddings, numbers, axis=0)
        if self.num_features:
            vectors += ops.matmul(ops.take(self.features, numbers, axis=0), self.kernel)
        return vectors * ops.cast(numbers > 0, vectors.dtype)[..., None]

    def pool(self, numbers: tf.Tensor) -> tf.Tensor:
        """Compute the sum of the vectors of each row, divided by the square root of their number.

        Numbers, (batch, any) int, become (batch, width) float. Padding is not counted. This is the combiner "sqrtn" of
        `tf.nn.embedding_lookup_sparse`.
        """
        count = ops.sum(ops.cast(numbers > 0, self.compute_dtype), axis=1, keepdims=True)
        return ops.sum(self(numbers), axis=1) / ops.sqrt(ops.maximum(count, 1))

    def pool_all(self, numbers: tf.Tensor) -> tf.Tensor:
        """Compute the same as `pool` for very many rows, without a copy of each vector."""
        indices = tf.where(numbers > 0)
        sums = tf.sparse.segment_sqrt_n(
            self(),
            tf.cast(tf.gather_nd(numbers, indices), tf.int32),
            indices[:, 0],
            num_segments=tf.shape(numbers)[0],
        )
        return tf.ensure_shape(sums, [numbers.shape[0], self.width])

    def get_config(self) -> dict[str, Any]:
        own = {"rows": self.rows, "width": self.width, "num_features": self.num_features, "stddev": self.stddev}
        return {**super().get_config(), **own, "num_cold": self.num_cold}


def _with_means(table: tf.Tensor, num_cold: int) -> tf.Tensor:
    """Replace the last rows of a table, (rows, any), by the mean of the others, without the padding row."""
    if not num_cold:
        return table
    warm = table[: table.shape[0] - num_cold]
    mean = ops.mean(warm[1:], axis=0, keepdims=True)
    return ops.concatenate([warm, ops.broadcast_to(mean, (num_cold, table.shape[1]))], axis=0)
