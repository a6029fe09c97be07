"""Lookup of the ids of a request: the items of a user, and the users of an item."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.text.vocabulary import lookup_table


@keras.saving.register_keras_serializable("dlkit")
class HistoryLookup(keras.layers.Layer):
    """The history of a user: the items known from training, followed by the items of the request.

    Users and items are numbered from 1 in the order of their ids; 0 is an unknown id or padding. An item that occurs
    several times counts at its last position. Unknown items are dropped.

    Call with `user_id`: (batch,) string, and optionally `history`: (batch, any) string, item ids, the oldest first,
    padded with "", and `item_id`: (batch,) string, the item whose rating is predicted. Returns

    - `user`: (batch,) int32;
    - `history`: (batch, history_length) int32, the newest items, the newest last, padded with 0 on the left;
    - `seen_items`: (batch, any) int32, all items of the user, including disliked ones, with 0 in between;
    - `cold_start`: (batch,) bool, whether neither the user nor any item is known; with `item_id`, whether the user or
      the item is unknown; with disliked items, whether there is no known item in `history`;
    - with `item_id` also `item`: (batch,) int32, and `item_users`: (batch, history_length) int32, users of the item,
      padded with 0 on the right.

    Args:
        user_ids: list of str, ids of the known users.
        item_ids: list of str, ids of the items.
        history_length: positive int, length of `history`.
        num_interactions: int, number of interactions that `set_interactions` will assign.
        with_item_users: bool, whether the layer is called with `item_id`.
        num_disliked: int, number of disliked items, over all users, that `set_disliked` will assign.

    Examples:
        >>> lookup = HistoryLookup(["ann"], ["a", "b", "c"], history_length=3, num_interactions=1)
        >>> lookup.build()
        >>> lookup.set_interactions([1], [2])
        >>> lookup(tf.constant(["ann"]), tf.constant([["c"]]))["history"].numpy()
        array([[0, 2, 3]], dtype=int32)
    """

    def __init__(
        self,
        user_ids: Sequence[str],
        item_ids: Sequence[str],
        history_length: int,
        num_interactions: int = 0,
        with_item_users: bool = False,
        num_disliked: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.user_ids, self.item_ids = list(user_ids), list(item_ids)
        self.history_length, self.num_interactions = history_length, num_interactions
        self.with_item_users, self.num_disliked = with_item_users, num_disliked
        self._user_table = lookup_table(["", *self.user_ids], range(len(self.user_ids) + 1), missing=0)
        self._item_table = lookup_table(["", *self.item_ids], range(len(self.item_ids) + 1), missing=0)
        self._convert_input_args = False  # Keras has no string tensors

    def build(self, *_: Any) -> None:
        options = {"dtype": "int32", "initializer": "zeros", "trainable": False}
        num_users, num_items = len(self.user_ids), len(self.item_ids)
        self.user_items = self.add_weight(shape=(self.num_interactions + 1,), name="user_items", **options)
        self.user_starts = self.add_weight(shape=(num_users + 2,), name="user_starts", **options)
        if self.with_item_users:
            self.item_users = self.add_weight(shape=(self.num_interactions + 1,), name="item_users", **options)
            self.item_starts = self.add_weight(shape=(num_items + 2,), name="item_starts", **options)
        if self.num_disliked:
            self.disliked = self.add_weight(shape=(self.num_disliked + 1,), name="disliked", **options)
            self.disliked_starts = self.add_weight(shape=(num_users + 2,), name="disliked_starts", **options)
        self.built = True

    def set_interactions(self, counts: Iterable[int], items: Sequence[int] | np.ndarray) -> None:
        """Set the items of the known users.

        Args:
            counts: (users,) int, number of items of each user.
            items: (num_interactions,) int32, the items of all users, one user after another, each oldest first.
        """
        counts, items = np.fromiter(counts, np.int64), np.asarray(items, np.int32)
        self.user_starts.assign(np.pad(np.cumsum(counts), (2, 0)).astype(np.int32))  # user 0 has no items
        self.user_items.assign(np.pad(items, (0, 1)))
        if not self.with_item_users:
            return
        random = np.random.RandomState(0)  # the users of an item are in random order, since only the first ones count
        order = np.lexsort((random.permutation(len(items)), items))
        users = np.repeat(np.arange(1, len(counts) + 1, dtype=np.int32), counts)
        self.item_users.assign(np.pad(users[order], (0, 1)))
        self.item_starts.assign(np.searchsorted(items[order], np.arange(len(self.item_ids) + 2)))

    def set_disliked(self, disliked: Sequence[np.ndarray]) -> None:
        """Set the disliked items of each user: seen, but not part of the history."""
        self.disliked_starts.assign(np.pad(np.cumsum([len(items) for items in disliked]), (2, 0)).astype(np.int32))
        self.disliked.assign(np.pad(np.concatenate(disliked), (0, 1)))

    def lookup_items(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the numbers of items, 0 for unknown ids: a string tensor to int32 of the same shape."""
        return self._item_table.lookup(ids)

    @property
    def limits(self) -> dict[str, Limits]:
        """Valid values of the output tensors, for requests that contain them."""
        users, items = Limits(0, len(self.user_ids)), Limits(0, len(self.item_ids))
        return {"user": users, "item_users": users, **dict.fromkeys(("history", "seen_items", "item"), items)}

    def call(
        self, user_id: tf.Tensor, history: tf.Tensor | None = None, item_id: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        user, items = self._user_table.lookup(user_id), self.lookup_history(user_id, history)
        empty, seen_items = tf.reduce_all(items == 0, 1), items
        if self.num_disliked:
            seen_items = tf.concat([items, self._gather_rows(user, self.disliked, self.disliked_starts)], 1)
        outputs = {"user": user, "history": self.take_newest(items, self.history_length), "seen_items": seen_items}
        if item_id is None:
            return {**outputs, "cold_start": empty if self.num_disliked else tf.logical_and(user == 0, empty)}
        item = self.lookup_items(item_id)
        outputs |= {"item": item, "item_users": self.lookup_item_users(item)}
        return {**outputs, "cold_start": tf.logical_or(user == 0, item == 0)}

    def lookup_history(self, user_id: tf.Tensor, history: tf.Tensor | None = None) -> tf.Tensor:
        """Return the items known from training followed by those of the request, without disliked ones.

        Args:
            user_id: (batch,) string.
            history: (batch, any) string, item ids; None for none.

        Returns:
            (batch, any) int32, with 0 in between.
        """
        items = self._gather_rows(self._user_table.lookup(user_id), self.user_items, self.user_starts)
        if history is None:
            return items
        return self.keep_last_occurrences(tf.concat([items, self.lookup_items(history)], 1))

    @staticmethod
    def _gather_rows(row: tf.Tensor, values: tf.Variable, starts: tf.Variable) -> tf.Tensor:
        """Gather rows of a ragged array, padded with 0 on the right: (batch,) int32 to (batch, longest)."""
        start, stop = tf.gather(starts, row), tf.gather(starts, row + 1)
        positions = start[:, tf.newaxis] + tf.range(tf.reduce_max(tf.concat([stop - start, [0]], 0)))
        last = values.shape[0] - 1
        return tf.where(positions < stop[:, tf.newaxis], tf.gather(values, tf.minimum(positions, last)), 0)

    def lookup_item_users(self, items: tf.Tensor) -> tf.Tensor:
        """Return users of each item, padded with 0 on the right: (any,) int32 to (any, history_length) int32."""
        start, stop = tf.gather(self.item_starts, items), tf.gather(self.item_starts, items + 1)
        positions = start[:, tf.newaxis] + tf.range(self.history_length)
        users = tf.gather(self.item_users, tf.minimum(positions, self.num_interactions))
        return tf.where(positions < stop[:, tf.newaxis], users, 0)

    def keep_last_occurrences(self, items: tf.Tensor) -> tf.Tensor:
        """Replace items that occur again later in their row with 0: (batch, any) int32."""
        shape = tf.shape(items)
        rows = tf.broadcast_to(tf.range(shape[0])[:, tf.newaxis], shape)
        positions = tf.broadcast_to(tf.range(1, shape[1] + 1), shape)
        indices = tf.stack([rows, items], 2)
        last = tf.tensor_scatter_nd_max(tf.zeros([shape[0], len(self.item_ids) + 1], tf.int32), indices, positions)
        return tf.where(tf.gather(last, items, batch_dims=1) == positions, items, 0)

    def collect_seen_items(self, user_ids: Sequence[bytes], histories: Sequence[Sequence[bytes]]) -> list[set[bytes]]:
        """Return the ids of all items that the user of each row has interacted with, disliked or not.

        Args:
            user_ids: list of bytes.
            histories: list of lists of bytes, the item ids of each request.
        """
        user_numbers = {user.encode(): number for number, user in enumerate(self.user_ids, start=1)}
        item_ids = [item.encode() for item in self.item_ids]
        arrays = [(self.user_starts.numpy(), self.user_items.numpy())]
        if self.num_disliked:
            arrays.append((self.disliked_starts.numpy(), self.disliked.numpy()))
        seen = []
        for user, history in zip(user_ids, histories, strict=True):
            row = user_numbers.get(user, 0)
            numbers = itertools.chain(*(values[starts[row] : starts[row + 1]] for starts, values in arrays))
            seen.append({item_ids[number - 1] for number in numbers}.union(history))
        return seen

    def list_popular(self, seen: Sequence[set[bytes]], k: int) -> list[list[bytes]]:
        """Return the k most popular items of each row that are not in its set of seen items, as lists of ids."""
        item_ids = [item.encode() for item in self.item_ids]
        return [list(itertools.islice((item for item in item_ids if item not in items), k)) for items in seen]

    @staticmethod
    def take_newest(items: tf.Tensor, length: int, values: tf.Tensor | None = None) -> tf.Tensor:
        """Return the last `length` nonzero items of each row, padded with 0 on the left.

        Args:
            items: (batch, any) int32.
            length: number of items to keep.
            values: (batch, any) int32, to return at the positions of these items instead of the items.

        Returns:
            (batch, length) int32.
        """
        nonzero = items > 0
        positions = length - tf.cumsum(tf.cast(nonzero, tf.int32), axis=1, reverse=True)
        indices = tf.where(tf.logical_and(nonzero, positions >= 0))
        values = tf.gather_nd(items if values is None else values, indices)
        indices = tf.stack([tf.cast(indices[:, 0], tf.int32), tf.gather_nd(positions, indices)], 1)
        return tf.ensure_shape(tf.scatter_nd(indices, values, [tf.shape(items)[0], length]), [None, length])

    def compute_output_spec(
        self,
        user_id: keras.KerasTensor,
        history: keras.KerasTensor | None = None,
        item_id: keras.KerasTensor | None = None,
    ) -> dict[str, keras.KerasTensor]:
        rows = user_id.shape[0]
        spec = {
            "user": keras.KerasTensor((rows,), "int32"),
            "history": keras.KerasTensor((rows, self.history_length), "int32"),
            "seen_items": keras.KerasTensor((rows, None), "int32"),
            "cold_start": keras.KerasTensor((rows,), "bool"),
        }
        if item_id is not None:
            spec["item"] = keras.KerasTensor((rows,), "int32")
            spec["item_users"] = keras.KerasTensor((rows, self.history_length), "int32")
        return spec

    def get_config(self) -> dict[str, Any]:
        own = {"user_ids": self.user_ids, "item_ids": self.item_ids, "history_length": self.history_length}
        own |= {"num_interactions": self.num_interactions, "with_item_users": self.with_item_users}
        return {**super().get_config(), **own, "num_disliked": self.num_disliked}
