"""How well items fit a user: the scoring parts of recommenders, one layer each.

Call each with `user`: (batch,) int32, 0 for one who is not known, `history`: (batch, any) int32, numbers of items, 0
for none, `items`: (batch, any) int32, or nothing for all items, and, where users who had them count, `takers`: (batch,
any) int32, those of the one item of each row, or (1 + items, any), those of all items. It returns (batch, the items)
float32 logits; of all items (batch, 1 + items), with that of nothing first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, keras_rs, layers, ops, tf


class _Scores(keras.layers.Layer):
    """What the scoring layers share: the sizes, and the embeddings of who asks and of what was had.

    Args:
        users, items: how many there are, without nobody and nothing.
        width: of the embeddings.
        dropout: float in [0, 1), of what is known of a user; the user's own embedding is dropped as a whole.
        user_features, item_features: how many features each has.
        known_users: whether users have embeddings; without, their history is all that counts.
        by_takers: whether an item is known by users who had it too, as a user is by items.
        new_items: how many of the items, at the end, nobody had yet: their features and what items have in common, the
            mean of the others' embeddings and biases, are all that is known of them. Training does not see them.
    """

    def __init__(
        self,
        users: int,
        items: int,
        width: int,
        dropout: float = 0.0,
        user_features: int = 0,
        item_features: int = 0,
        known_users: bool = True,
        by_takers: bool = False,
        new_items: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.sizes: dict[str, Any] = {"users": users, "items": items, "width": width, "dropout": dropout}
        self.sizes |= {"user_features": user_features, "item_features": item_features}
        self.sizes |= {"known_users": known_users, "by_takers": by_takers, "new_items": new_items}

    def build(self, *_: Any) -> None:
        sizes, policy = self.sizes, self.dtype_policy
        width, rows = sizes["width"], sizes["items"] + 1
        items = {"features": sizes["item_features"], "new": sizes["new_items"], "dtype": policy}
        self.items = FeaturedEmbedding(rows, width, **items, name="items")
        self.taken = FeaturedEmbedding(rows, width, **items, name="taken")
        users = (sizes["users"] + 1, width, sizes["user_features"])
        if sizes["known_users"]:
            self.users = FeaturedEmbedding(*users, dtype=policy, name="users")
        if sizes["by_takers"]:
            self.takers = FeaturedEmbedding(*users, dtype=policy, name="takers")
        self.drop = layers.Dropout(sizes["dropout"], dtype=policy)
        self.drop_user = layers.Dropout(sizes["dropout"], noise_shape=(None, 1), dtype=policy)
        self.bias = self.add_weight(shape=(rows,), initializer="zeros", name="bias")
        self.build_more()
        self.built = True

    def build_more(self) -> None:
        """Makes and builds what a kind has of its own."""

    def call(
        self,
        user: tf.Tensor,
        history: tf.Tensor,
        items: tf.Tensor | None = None,
        takers: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        logits = self.score(self.known_of(user, history, training), user, items, takers, training)
        if not self.sizes["new_items"] or items is not None or not training:
            return logits
        return ops.where(ops.arange(logits.shape[1]) > self.sizes["items"] - self.sizes["new_items"], NEVER, logits)

    def score(
        self, known: tf.Tensor, user: tf.Tensor, items: tf.Tensor | None, takers: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        """What `call` returns, of what is known of the users, (batch, width), and the rest of what it was given."""
        raise NotImplementedError

    def known_of(self, user: tf.Tensor, history: tf.Tensor, training: bool) -> tf.Tensor:
        """(batch, width): what is known of the users."""
        known = self.taken.bag(history)
        if self.sizes["known_users"]:
            known += self.drop_user(self.users(user), training=training)
        return self.drop(known, training=training)

    def vectors_of(self, items: tf.Tensor | None, takers: tf.Tensor | None) -> tf.Tensor:
        """What is known of the items: (batch, the items, width), of all (1 + items, width)."""
        if items is None:
            return self.items() if takers is None else self.items() + self.takers.bags(takers)
        found = self.items(items)
        return found if takers is None else found + self.takers.bag(takers)[:, None, :]

    def biases(self) -> tf.Tensor:
        """(1 + items,), of new ones the mean of the others."""
        return _with_means(ops.convert_to_tensor(self.bias)[:, None], self.sizes["new_items"])[:, 0]

    def dot(self, known: tf.Tensor, items: tf.Tensor | None, takers: tf.Tensor | None) -> tf.Tensor:
        """Products of (batch, width) with items, and their biases: (batch, the items) float32."""
        bias, vectors = ops.cast(self.biases(), "float32"), self.vectors_of(items, takers)
        if items is None:
            return ops.cast(ops.matmul(known, ops.transpose(vectors)), "float32") + bias
        products = ops.einsum("bd,bid->bi", known, vectors)
        return ops.cast(products, "float32") + ops.take(bias, items, axis=0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.sizes}


@keras.saving.register_keras_serializable("dlkit")
class MatrixFactors(_Scores):
    """Products of two vectors: a user's own and a bag of those of the history, with an item's; and biases.

    Source: SVD++ of Koren, 2008, doi:10.1145/1401890.1401944, equation 15; without vectors of users it is NSVD. With
    takers an item has a bag too, as in Rendle et al., 2019, arXiv:1905.01395 ("flipped").
    """

    def build_more(self) -> None:
        shape = (self.sizes["users"] + 1,)
        self.user_bias = self.add_weight(shape=shape, initializer="zeros", name="user_bias")

    def score(
        self, known: tf.Tensor, user: tf.Tensor, items: tf.Tensor | None, takers: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        user_bias = ops.take(ops.cast(self.user_bias, "float32"), user, axis=0)
        return self.dot(known, items, takers) + user_bias[:, None]


@keras.saving.register_keras_serializable("dlkit")
class TwoTowers(_Scores):
    """A tower of dense layers over what is known of a user, and embeddings of items with their features.

    Sources: Covington et al., 2016, doi:10.1145/2959100.2959190; with a history alone it is the autoencoder of Liang et
    al., 2018, arXiv:1802.05814 (Mult-DAE), whose input is the bag.

    Args:
        hidden: width of the hidden layer.
    """

    def __init__(self, *args: Any, hidden: int = 64, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sizes["hidden"] = hidden

    def build_more(self) -> None:
        width, hidden, policy = self.sizes["width"], self.sizes["hidden"], self.dtype_policy
        self.inner = layers.Dense(hidden, activation="tanh", dtype=policy, name="inner")
        self.outer = layers.Dense(width, dtype=policy, name="outer")
        self.inner.build((None, width))
        self.outer.build((None, hidden))

    def score(
        self, known: tf.Tensor, user: tf.Tensor, items: tf.Tensor | None, takers: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        return self.dot(known + self.outer(self.inner(known)), items, takers)


class _Pairs(_Scores):
    """Logits of pairs: every item beside what is known of the user."""

    def score(
        self, known: tf.Tensor, user: tf.Tensor, items: tf.Tensor | None, takers: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        found, bias = self.vectors_of(items, takers), ops.cast(self.bias, "float32")
        if items is None:
            found = ops.broadcast_to(found[None], (ops.shape(user)[0], *found.shape))
        else:
            bias = ops.take(bias, items, axis=0)
        known = ops.broadcast_to(known[:, None, :], ops.shape(found))
        return ops.cast(self.logits_of(known, found, training)[..., 0], "float32") + bias

    def logits_of(self, known: tf.Tensor, found: tf.Tensor, training: bool) -> tf.Tensor:
        """(batch, the items, 1) of users and items, both (batch, the items, width)."""
        raise NotImplementedError

    def stack(self, sizes: Sequence[int], inputs: int) -> list[keras.layers.Layer]:
        """Dense layers on top of each other."""
        made = []
        for number, size in enumerate(sizes):
            layer = layers.Dense(size, activation="relu", dtype=self.dtype_policy, name=f"dense_{number}")
            layer.build((None, None, inputs))
            made.append(layer)
            inputs = size
        return made


@keras.saving.register_keras_serializable("dlkit")
class NeuralFactors(_Pairs):
    """A product of two vectors by places, beside dense layers over both, and one layer on top.

    Source: NeuMF of He et al., 2017, arXiv:1708.05031, section 3.4; here both parts share the embeddings, and what
    is known of a user holds the history too.
    """

    def build_more(self) -> None:
        width, policy = self.sizes["width"], self.dtype_policy
        self.denses = self.stack((2 * width, width), 2 * width)
        self.top = layers.Dense(1, use_bias=False, dtype=policy, name="top")
        self.top.build((None, None, 2 * width))

    def logits_of(self, known: tf.Tensor, found: tf.Tensor, training: bool) -> tf.Tensor:
        x = ops.concatenate([known, found], axis=-1)
        for dense in self.denses:
            x = dense(x)
        return self.top(ops.concatenate([known * found, self.drop(x, training=training)], axis=-1))


@keras.saving.register_keras_serializable("dlkit")
class CrossedFeatures(_Pairs):
    """Crosses of all that is known of user and item, and dense layers on top.

    Source: DCN V2 of Wang et al., 2020, arXiv:2008.13535, the stacked form, with the crosses of KerasRS.

    Args:
        crosses: number of cross layers.
    """

    def __init__(self, *args: Any, crosses: int = 2, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sizes["crosses"] = crosses

    def build_more(self) -> None:
        inputs, policy = 3 * self.sizes["width"], self.dtype_policy
        names = [f"cross_{number}" for number in range(self.sizes["crosses"])]
        self.crosses = [keras_rs.layers.FeatureCross(dtype=policy, name=name) for name in names]
        for cross in self.crosses:
            cross.build((None, None, inputs))
            cross.dense.build((None, None, inputs))
        self.denses = self.stack((inputs, self.sizes["width"]), inputs)
        self.top = layers.Dense(1, use_bias=False, dtype=policy, name="top")
        self.top.build((None, None, self.sizes["width"]))

    def logits_of(self, known: tf.Tensor, found: tf.Tensor, training: bool) -> tf.Tensor:
        first = x = ops.concatenate([known, found, known * found], axis=-1)
        for cross in self.crosses:
            x = cross(first, x)
        for dense in self.denses:
            x = dense(x)
        return self.top(self.drop(x, training=training))


@keras.saving.register_keras_serializable("dlkit")
class FeaturedEmbedding(keras.layers.Layer):
    """An embedding for each number, and, where there are features, a linear map of them added to it.

    Number 0 is nothing and has zeros. The features are not trained; assign them after building: (rows, features).

    Call with int of any shape, or with nothing for all rows, (rows, width).

    Args:
        rows: positive integer, how many numbers there are, 0 included.
        width: positive integer.
        features: integer, how many features each row has.
        stddev: positive float, of the initial embeddings.
        new: integer, how many of the rows, at the end, have no embedding of their own, but the mean of the others.
    """

    def __init__(self, rows: int, width: int, features: int = 0, stddev: float = 0.05, new: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.rows, self.width, self.feature_count, self.stddev = rows, width, features, stddev
        self.new = new
        self.build()

    def build(self, *_: Any) -> None:
        if self.built:
            return
        normal = keras.initializers.RandomNormal(stddev=self.stddev)
        self.embeddings = self.add_weight(shape=(self.rows, self.width), initializer=normal, name="embeddings")
        if self.feature_count:
            shape = (self.rows, self.feature_count)
            self.features = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="features")
            shape = (self.feature_count, self.width)
            self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        self.built: bool = True

    def call(self, numbers: tf.Tensor | None = None) -> tf.Tensor:
        embeddings = _with_means(ops.convert_to_tensor(self.embeddings), self.new)
        if numbers is None:
            if self.feature_count:
                embeddings += ops.matmul(self.features, self.kernel)
            return embeddings * ops.cast(ops.arange(self.rows) > 0, embeddings.dtype)[:, None]
        found = ops.take(embeddings, numbers, axis=0)
        if self.feature_count:
            found += ops.matmul(ops.take(self.features, numbers, axis=0), self.kernel)
        return found * ops.cast(numbers > 0, found.dtype)[..., None]

    def bag(self, numbers: tf.Tensor) -> tf.Tensor:
        """The sum of the rows of (batch, any) numbers over the root of their count: (batch, width)."""
        count = ops.sum(ops.cast(numbers > 0, self.compute_dtype), axis=1, keepdims=True)
        return ops.sum(self(numbers), axis=1) / ops.sqrt(ops.maximum(count, 1))

    def bags(self, numbers: tf.Tensor) -> tf.Tensor:
        """What `bag` gives, of very many rows at a time: no vector is held twice."""
        cells = tf.where(numbers > 0)
        sums = tf.sparse.segment_sqrt_n(
            self(), tf.cast(tf.gather_nd(numbers, cells), tf.int32), cells[:, 0], num_segments=tf.shape(numbers)[0]
        )
        return tf.ensure_shape(sums, [numbers.shape[0], self.width])

    def get_config(self) -> dict[str, Any]:
        own = {"rows": self.rows, "width": self.width, "features": self.feature_count, "stddev": self.stddev}
        return {**super().get_config(), **own, "new": self.new}


NEVER = -1e9  # of an item that must not count: its share is exactly 0


def _with_means(table: tf.Tensor, new: int) -> tf.Tensor:
    """A table, (rows, any), whose last rows are the mean of all but them and the first."""
    if not new:
        return table
    known = table[: table.shape[0] - new]
    mean = ops.mean(known[1:], axis=0, keepdims=True)
    return ops.concatenate([known, ops.broadcast_to(mean, (new, table.shape[1]))], axis=0)
