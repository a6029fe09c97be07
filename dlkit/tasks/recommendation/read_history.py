"""From the ids of a request to the items that a user has had, and to the users that have had an item."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.text.vocabulary import lookup_table


@keras.saving.register_keras_serializable("dlkit")
class ReadHistory(keras.layers.Layer):
    """Who asks and what the user has had: what is known of the user, and then the request's own recent items.

    Users and items are numbered from 1 in the order of their ids; 0 is nobody and nothing. An item that comes twice
    stands where it came last. Ids that are not known are left out.

    Call with `user_id`: (batch,) string, and, if there are, `recent`: (batch, any) string, the oldest first, padded by
    "", and `item_id`: (batch,) string, an item that is asked about. Returns

    - `user`: (batch,) int32;
    - `history`: (batch, length) int32, the last items, the newest in the last place, 0 before them;
    - `seen`: (batch, any) int32, all of them, 0 in between, and those that were passed;
    - `cold`: (batch,) bool, whether nothing at all is known; with `item_id`, whether the user or that item is not; with
      `passed`, whether no item of `history` is;
    - `item`: (batch,) int32, and `takers`: (batch, length) int32, users that have had it, 0 after them: with `item_id`.

    Args:
        users: list of str, the ids of known users.
        items: list of str, the ids of items.
        length: positive integer, width of `history`.
        known: integer, how many interactions of the users will be assigned by `remember`.
        takers: bool, whether items will be asked about.
        passed: integer, how many further items, had and not liked, will be assigned by `remember`.
        candidates: bool, whether requests may name the items to choose from.
    """

    def __init__(
        self,
        users: Sequence[str],
        items: Sequence[str],
        length: int,
        known: int = 0,
        takers: bool = False,
        passed: int = 0,
        candidates: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.passed_count, self.candidates = passed, candidates
        self.users, self.items = list(users), list(items)
        self.length, self.known, self.has_takers = length, known, takers
        self._users = lookup_table(["", *self.users], range(len(self.users) + 1), missing=0)
        self._items = lookup_table(["", *self.items], range(len(self.items) + 1), missing=0)
        self._convert_input_args = False  # Keras knows no string tensors

    def build(self, *_: Any) -> None:
        options = {"dtype": "int32", "initializer": "zeros", "trainable": False}
        self.taken = self.add_weight(shape=(self.known + 1,), name="taken", **options)
        self.starts = self.add_weight(shape=(len(self.users) + 2,), name="starts", **options)
        if self.has_takers:
            self.takers = self.add_weight(shape=(self.known + 1,), name="takers", **options)
            self.taker_starts = self.add_weight(shape=(len(self.items) + 2,), name="taker_starts", **options)
        if self.passed_count:
            self.passed = self.add_weight(shape=(self.passed_count + 1,), name="passed", **options)
            self.passed_starts = self.add_weight(shape=(len(self.users) + 2,), name="passed_starts", **options)
        self.built = True

    def remember(self, counts: Iterable[int], taken: Sequence[int] | np.ndarray) -> None:
        """Takes what is known: (users,) how many items each has had, and (known,) int32, all of them one by one."""
        counts, taken = np.fromiter(counts, np.int64), np.asarray(taken, np.int32)
        self.starts.assign(np.pad(np.cumsum(counts), (2, 0)).astype(np.int32))  # nobody has had nothing
        self.taken.assign(np.pad(taken, (0, 1)))
        if not self.has_takers:
            return
        random = np.random.RandomState(0)  # where an item has more users than count, the first ones are any
        order = np.lexsort((random.permutation(len(taken)), taken))
        users = np.repeat(np.arange(1, len(counts) + 1, dtype=np.int32), counts)
        self.takers.assign(np.pad(users[order], (0, 1)))
        self.taker_starts.assign(np.searchsorted(taken[order], np.arange(len(self.items) + 2)))

    def remember_passed(self, passed: Sequence[np.ndarray]) -> None:
        """Takes what is known beside: for each user, numbers of items that were had and not liked."""
        self.passed_starts.assign(np.pad(np.cumsum([len(items) for items in passed]), (2, 0)).astype(np.int32))
        self.passed.assign(np.pad(np.concatenate(passed), (0, 1)))

    def numbers_of(self, ids: tf.Tensor) -> tf.Tensor:
        """The numbers of items, 0 for those that are not known: a string tensor to int32."""
        return self._items.lookup(ids)

    @property
    def limits(self) -> dict[str, Limits]:
        """What its tensors can be, where a request brings them."""
        users, items = Limits(0, len(self.users)), Limits(0, len(self.items))
        return {"user": users, "takers": users, **dict.fromkeys(("history", "seen", "item"), items)}

    def call(
        self, user_id: tf.Tensor, recent: tf.Tensor | None = None, item_id: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        user, had = self._users.lookup(user_id), self.had(user_id, recent)
        none, seen = tf.reduce_all(had == 0, 1), had
        if self.passed_count:
            seen = tf.concat([had, self._of(user, self.passed, self.passed_starts)], 1)
        made = {"user": user, "history": self.newest(had, self.length), "seen": seen}
        if item_id is None:
            return {**made, "cold": none if self.passed_count else tf.logical_and(user == 0, none)}
        item = self.numbers_of(item_id)
        return {**made, "item": item, "takers": self.takers_of(item), "cold": tf.logical_or(user == 0, item == 0)}

    def had(self, user_id: tf.Tensor, recent: tf.Tensor | None = None) -> tf.Tensor:
        """(batch, any) int32, what is known of the users and then the request's own, without what was not liked."""
        had = self._of(self._users.lookup(user_id), self.taken, self.starts)
        return had if recent is None else self.last_of(tf.concat([had, self.numbers_of(recent)], 1))

    @staticmethod
    def _of(user: tf.Tensor, values: tf.Variable, starts: tf.Variable) -> tf.Tensor:
        """(batch, any), of each user's values those that lie between its start and the next one's, 0 after them."""
        start, stop = tf.gather(starts, user), tf.gather(starts, user + 1)
        places = start[:, tf.newaxis] + tf.range(tf.reduce_max(tf.concat([stop - start, [0]], 0)))
        last = values.shape[0] - 1
        return tf.where(places < stop[:, tf.newaxis], tf.gather(values, tf.minimum(places, last)), 0)

    def takers_of(self, items: tf.Tensor) -> tf.Tensor:
        """(any,) numbers of items to (any, length) int32, users that have had each; 0 after them."""
        start, stop = tf.gather(self.taker_starts, items), tf.gather(self.taker_starts, items + 1)
        places = start[:, tf.newaxis] + tf.range(self.length)
        return tf.where(places < stop[:, tf.newaxis], tf.gather(self.takers, tf.minimum(places, self.known)), 0)

    def last_of(self, numbers: tf.Tensor) -> tf.Tensor:
        """(batch, any) int32 with 0 wherever the same item comes again."""
        shape = tf.shape(numbers)
        rows = tf.broadcast_to(tf.range(shape[0])[:, tf.newaxis], shape)
        places = tf.broadcast_to(tf.range(1, shape[1] + 1), shape)
        cells = tf.stack([rows, numbers], 2)
        last = tf.tensor_scatter_nd_max(tf.zeros([shape[0], len(self.items) + 1], tf.int32), cells, places)
        return tf.where(tf.gather(last, numbers, batch_dims=1) == places, numbers, 0)

    def had_before(self, users: Sequence[bytes], recent: Sequence[Sequence[bytes]]) -> list[set[bytes]]:
        """Of each row, the ids of all items that its user is known to have had, liked or not.

        Args:
            users: list of bytes, ids.
            recent: list of lists of bytes, ids of items.
        """
        rows = {user.encode(): number for number, user in enumerate(self.users, start=1)}
        ids = [item.encode() for item in self.items]
        known = [(self.starts.numpy(), self.taken.numpy())]
        if self.passed_count:
            known.append((self.passed_starts.numpy(), self.passed.numpy()))
        made = []
        for user, items in zip(users, recent, strict=True):
            row = rows.get(user, 0)
            numbers = itertools.chain(*(values[starts[row] : starts[row + 1]] for starts, values in known))
            made.append({ids[number - 1] for number in numbers}.union(items))
        return made

    def popular(self, had: Sequence[set[bytes]], k: int) -> list[list[bytes]]:
        """Of each row, the k items with the lowest numbers, less those that were had: lists of bytes."""
        ids = [item.encode() for item in self.items]
        return [list(itertools.islice((item for item in ids if item not in items), k)) for items in had]

    @staticmethod
    def newest(numbers: tf.Tensor, length: int, values: tf.Tensor | None = None) -> tf.Tensor:
        """The last `length` of (batch, any) int32 that are not 0, the newest in the last place, 0 before them.

        With `values`, as many int32, what these are at the same places.
        """
        real = numbers > 0
        places = length - tf.cumsum(tf.cast(real, tf.int32), axis=1, reverse=True)
        cells = tf.where(tf.logical_and(real, places >= 0))
        values = tf.gather_nd(numbers if values is None else values, cells)
        cells = tf.stack([tf.cast(cells[:, 0], tf.int32), tf.gather_nd(places, cells)], 1)
        return tf.ensure_shape(tf.scatter_nd(cells, values, [tf.shape(numbers)[0], length]), [None, length])

    def compute_output_spec(
        self,
        user_id: keras.KerasTensor,
        recent: keras.KerasTensor | None = None,
        item_id: keras.KerasTensor | None = None,
    ) -> dict[str, keras.KerasTensor]:
        rows = user_id.shape[0]
        spec = {
            "user": keras.KerasTensor((rows,), "int32"),
            "history": keras.KerasTensor((rows, self.length), "int32"),
            "seen": keras.KerasTensor((rows, None), "int32"),
            "cold": keras.KerasTensor((rows,), "bool"),
        }
        if item_id is not None:
            spec["item"] = keras.KerasTensor((rows,), "int32")
            spec["takers"] = keras.KerasTensor((rows, self.length), "int32")
        return spec

    def get_config(self) -> dict[str, Any]:
        own = {"users": self.users, "items": self.items, "length": self.length, "known": self.known}
        own |= {"passed": self.passed_count, "candidates": self.candidates}
        return {**super().get_config(), **own, "takers": self.has_takers}
