"""Recommendation: a user or a list of recent items in, the best items of all out; or the rating of one item."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from dlkit.columns import Flag, Id, Scores
from dlkit.data.memory import is_dataframe
from dlkit.data.read_options import ReadKeywords, ReadOptions
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.padding import Padding, trim
from dlkit.rows import LENGTH, ROW
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.recommendation.columns import Items, Rating, Ratings
from dlkit.tasks.recommendation.protocols import PairRows, UserRows

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.recommendation.catalogue import Catalogue

SESSION = ("sasrec", "gru4rec")  # read a history in its order, and answer what comes next
PAIRS = ("neumf", "dcn")  # look at each item beside the user: they train on samples


@dataclass(kw_only=True)
class Recommender(Task):
    """Recommends items to a user, given by an id, by recent items or by both; or predicts ratings.

    Example:
        >>> model = dlkit.Recommender(epochs=1)
        >>> history = model.fit(model.samples()["train"], verbose=0)
        >>> len(model.recommend(recent=["drama-01", "drama-17"], k=5)["items"])
        5
    """

    default_epochs = DefaultEpochs(60, fewest=400, most=20_000)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(64, "Batch size: number of users, or ratings, per training step.", minimum=1)
    learning_rate: float = hparam(3e-3, "Peak learning rate.", minimum=0)
    validation_split: float = hparam(
        0.0,
        "Fraction of the users held out for validation when no validation data is given; the model does not learn "
        "embeddings for them.",
        minimum=0,
        maximum=0.9,
    )
    objective: Literal["ranking", "ratings"] = hparam(
        "ranking", "Learning objective: top-N ranking of items, or prediction of explicit ratings."
    )
    network: Literal["two_tower", "mf", "sasrec", "gru4rec", "neumf", "dcn", "ease"] = hparam(
        "two_tower",
        "Network architecture; objective=ratings requires mf, two_tower, neumf or dcn.",
    )
    width: int = hparam(128, "Embedding dimension.", minimum=1)
    hidden: int = hparam(64, "Width of the hidden layer of two_tower's user tower.", minimum=1)
    blocks: int = hparam(2, "Number of layers of sasrec and gru4rec, or of cross layers of dcn.", minimum=1)
    heads: int = hparam(2, "Number of attention heads of sasrec; must divide width.", minimum=1)
    dropout: float = hparam(0.5, "Dropout rate.", minimum=0, maximum=0.95)
    hide: float = hparam(
        0.3,
        "Input mask rate: fraction of a user's items hidden during training, which the model learns to predict.",
        minimum=0,
        maximum=1,
    )
    negatives: int = hparam(
        0,
        "Number of sampled negative items, in addition to in-batch negatives; 0 computes the full softmax.",
        minimum=0,
    )
    members: int = hparam(
        1, "Ensemble size of session-based networks: number of networks whose scores are averaged.", minimum=1
    )
    known_users: bool = hparam(
        True, "Learns an embedding per user; otherwise users are represented by their items only."
    )
    max_items: int = hparam(
        0,
        "Maximum history length: number of most recent items used; 0 selects 100 for session-based networks, 50 for "
        "ratings, and otherwise the longest history, up to 1000.",
        minimum=0,
    )
    regularization: float = hparam(200.0, "L2 regularization of ease.", minimum=0)
    ease_hide: float = hparam(0.5, "Input mask rate that ease accounts for in closed form.", minimum=0, maximum=0.95)
    user_power: float = hparam(0.5, "Weight of a user in ease: n_items ** -user_power.", minimum=0)
    min_rating: float | None = hparam(
        None,
        "Minimum rating of a positive interaction; lower ratings count as seen only. By default the midpoint of the "
        "rating scale if most ratings reach it; otherwise all interactions are positive.",
    )
    rating_weights: bool = hparam(
        False, "Weights interactions by their ratings, in training and in the popularity baseline."
    )
    repeats: bool = hparam(False, "Allows recommending items that the user has already interacted with.")
    item_features: str = hparam(
        "", "Item features: a csv, tsv or parquet file with the column item_id and one column per feature.", file=True
    )
    user_features: str = hparam(
        "", "User features: a csv, tsv or parquet file with the column user_id and one column per feature.", file=True
    )
    new_items: bool = hparam(
        True, "Cold start: two_tower and mf also recommend items that have features but no interactions."
    )
    top_k: int = hparam(10, "Number of recommended items, which is also the cutoff of the ranking metrics.", minimum=1)
    protocol: Literal["", "leave_last_out", "random_75_25", "random_80_20", "by_time"] = hparam(
        "",
        "Train/test split used by recipes without test data; by default random_75_25, or random_80_20 for ratings.",
    )

    public_methods = (*Task.public_methods, "recommend", "recommend_all", "similar")
    inputs = {"user_id": Id(optional=True), "recent": Items(optional=True, default=())}
    target = {  # `score` asks what was popular, new and liked
        "next": Items(),
        "ratings": Ratings(optional=True, default=()),
        "user_id": Id(optional=True),
        "recent": Items(optional=True, default=()),
    }
    answer = {"items": Items(ranked_by="scores"), "scores": Scores(), "cold": Flag()}
    rows = UserRows
    primary_metric = "ndcg"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.length_ = 1  # of a history
        self.pieces_ = 1  # windows of the longest one
        self.whole_ids_ = False  # whether item ids were integers
        self.whole_users_ = False  # whether user ids were
        self.mean_rating_ = 0.0
        self.rating_range_ = [0.0, 0.0]
        self.least_rating_: float | None = None  # of what counts as liked; None for all
        self.usual_rating_: float | None = None  # which weighs 1; None where all weigh the same
        self.new_items_ = 0  # at the end of the catalogue, that nobody had yet
        self.padding = (Padding("history", ("history",), left=True, buckets=self.network in SESSION),)
        if self.network in PAIRS:
            self.max_inference_batch = 8  # each with all items
        if self.network in PAIRS and self.objective == "ranking" and not self.negatives:
            self.negatives = 200
        if self.objective == "ratings":
            if self.network in (*SESSION, "ease"):
                raise HparamError(
                    f"ratings need {option('network')} mf, two_tower, neumf or dcn. Received: {self.network!r}."
                )
            self.inputs = {"user_id": Id(), "item_id": Id(aliases=("movie_id",))}
            self.target = {"rating": Rating(aliases=("user_rating",))}
            self.answer = {"rating": Rating(), "cold": Flag()}
            self.primary_metric, self.rows = "r2", PairRows
            if self.min_rating is not None or self.rating_weights:
                raise HparamError(
                    f"{option('min_rating')} and {option('rating_weights')} are for "
                    f"{option('objective', 'ranking')}: rating models learn from all ratings."
                )
        if self.members > 1 and self.network not in SESSION:
            raise HparamError(
                f"{option('members')} applies only to sasrec and gru4rec. Received: {option('members', self.members)}."
            )
        if self.network == "sasrec" and self.width % self.heads:
            raise HparamError(
                f"{option('width')} must be a multiple of {option('heads')}, {self.heads}. Received: "
                f"{option('width', self.width)}."
            )

    def build(self, examples: Table) -> Stages:
        from dlkit.data.read_options import DEFAULT_OPTIONS
        from dlkit.tasks.recommendation.interactions import read_users
        from dlkit.tasks.recommendation.read_history import ReadHistory
        from dlkit.tasks.recommendation.stages import network_of, postprocess_of

        table = examples
        if self.objective == "ratings":
            ratings = examples.raw_column("rating", self.target["rating"])
            self.mean_rating_ = float(np.mean(ratings))
            self.rating_range_ = [float(min(ratings)), float(max(ratings))]
            pairs = {name: examples.columns[name] for name in ("user_id", "item_id")}
            table = read_users(pairs, Recommender.target, DEFAULT_OPTIONS)
        known = self._catalogue(table)
        users = [user for user in table.columns["user_id"] if Id().raw(user)] if "user_id" in table.columns else []
        self.whole_users_ = bool(users) and all(isinstance(user, (int, float, np.number)) for user in users)
        self.whole_ids_, self.new_items_ = known.whole, known.new
        longest = max(len(taken) for taken in (*known.taken, *known.nameless))
        usual = 100 if self.network in SESSION else 50 if self.objective == "ratings" else 1000
        self.length_ = min(self.max_items or usual, longest)
        self.pieces_ = -(-longest // self.length_)
        total = sum(map(len, known.taken))
        rated = self.objective == "ratings"
        passed = sum(map(len, known.passed))
        size = known.users, known.items, self.length_, total
        reader = ReadHistory(*size, takers=rated, passed=passed, candidates=True, name="reader")
        reader.build()
        reader.remember(map(len, known.taken), np.concatenate([*known.taken, np.zeros(0, np.int32)]))
        if passed:
            reader.remember_passed(known.passed)
        network, decode = network_of(self, known)
        inputs = {name: keras.Input((None,) * len(column.shape), dtype="string", name=name)
                  for name, column in self.inputs.items()}  # fmt: skip
        preprocess = keras.Model(inputs, reader(**inputs), name="preprocess")
        return Stages(preprocess, network, postprocess_of(self, known), decode)

    def _catalogue(self, table: Table) -> Catalogue:
        """What rows of users hold, by what their ratings count for."""
        from dlkit.tasks.recommendation.catalogue import catalogue_of, ids_with_features
        from dlkit.tasks.recommendation.liked import all_ratings, least_rating, mean_rating

        ratings = all_ratings(table.columns.get("ratings", ()))
        self.least_rating_ = least_rating(ratings, self.min_rating)
        self.usual_rating_ = mean_rating(ratings, self.least_rating_) if self.rating_weights else None
        further = ids_with_features(self.item_features, "item_id") if self.takes_new_items else ()
        return catalogue_of(table, self.least_rating_, self.usual_rating_, further)

    @property
    def takes_new_items(self) -> bool:
        """Whether items that nobody had yet are in the catalogue, by their features."""
        ranks = self.objective == "ranking" and self.network in ("two_tower", "mf")
        return bool(self.item_features) and self.new_items and ranks

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        from dlkit.tasks.recommendation.batches import first_of, liked_ones, weights_of, windows_of

        read, reader = self.stages_.preprocess(features), self.stages_.preprocess.get_layer("reader")
        if self.objective == "ratings":
            user, item = read["user"][:, tf.newaxis], read["item"][:, tf.newaxis]
            others = {"history": tf.where(read["history"] == item, 0, read["history"])}  # no rating tells of itself
            others["takers"] = tf.where(read["takers"] == user, 0, read["takers"])
            tensors = {"user": read["user"], "item": read["item"], **others}
            return tensors, {"excess": target["rating"][:, tf.newaxis] - self.mean_rating_}
        following, ratings = liked_ones(reader.numbers_of(target["next"]), target["ratings"], self.least_rating_)
        had = reader.had(features["user_id"], features["recent"])
        weights = None if self.usual_rating_ is None else weights_of(ratings, self.usual_rating_)
        windows, rows, *weighed = windows_of(reader, had, following, self.pieces_, weights)

        def aims_of(values: tf.Tensor | None) -> tf.Tensor:
            """The items to find, or what the values are there."""
            if self.network in SESSION:
                return first_of(reader, following, values)
            found = reader.newest(following, self.length_, values)
            return tf.reverse(found, [1]) if self.negatives else found

        aims = aims_of(None)
        tensors = {name: tf.gather(read[name], rows) for name in ("user", "history")}
        if self.negatives:
            tensors["positives"] = tf.gather(aims[:, : self.positives], rows)
            count = len(reader.items) - self.new_items_
            draws = np.random.RandomState(self.seed).randint(1, count + 1, self.negatives)
            tensors["negatives"] = tf.tile(tf.constant(draws, tf.int32)[tf.newaxis], [tf.size(rows), 1])
        network = {name: tensors[name] for name in self.stages_.network.input}
        told = {ROW: rows}
        if self.network in SESSION:
            told[LENGTH] = tf.reduce_sum(tf.cast(windows > 0, tf.int32), 1)
        planes = [tf.gather(aims, rows), windows]
        if weights is not None:
            planes += [tf.gather(aims_of(weights), rows), *weighed]
        return {**network, **told}, {"logits": tf.stack(planes, 1)}

    @property
    def positives(self) -> int:
        """How many items of a row are positive at a time, at most, where items are sampled."""
        return min(16, self.length_)

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.tasks.recommendation.batches import hidden_part, negatives_for, shifted, some_of

        if self.objective == "ratings":
            return tensors, target
        items = target["logits"][:, 1]  # all of each row: those so far, and those that followed
        weights = target["logits"][:, 3] if self.rating_weights else None
        if tensors["history"].shape[1] is None:  # shapes may vary
            items = trim({"history": items}, self.padding)["history"]
            weights = None if weights is None else weights[:, -tf.shape(items)[1] :]
        if self.network in SESSION:
            history, aims = shifted(items)
        elif self.network == "ease":
            history = aims = items  # no item speaks for itself
        else:
            history, aims = hidden_part(items, self.hide, self.seed, step)
        made = {**tensors, "history": history}
        if self.negatives:
            count = len(self.stages_.preprocess.get_layer("reader").items) - self.new_items_
            aims, weights = some_of(aims, weights, self.positives, self.seed, step)
            made["positives"] = aims
            made["negatives"] = negatives_for(aims, self.negatives, count, self.seed, step)
        return made, {"logits": aims[:, tf.newaxis] if weights is None else tf.stack([aims, aims, weights], 1)}

    def loss(self) -> Any:
        from dlkit.tasks.recommendation.networks import ItemCrossEntropy, NextItemCrossEntropy, SampledItemCrossEntropy

        if self.objective == "ratings":
            return {"excess": "mse"}
        if self.network in SESSION:
            usual = self.length_ * self.members
            return {"logits": NextItemCrossEntropy(self.members, self.rating_weights, typical_length=usual)}
        if self.negatives:
            return {"logits": SampledItemCrossEntropy(self.positives, self.rating_weights)}
        return {"logits": ItemCrossEntropy(self.rating_weights)}

    def metrics(self) -> Any:
        return None

    def signatures(self) -> list[Signature]:
        from dlkit.tasks.recommendation.similar_items import similar_signature
        from dlkit.tasks.recommendation.stages import recommend_signature

        return [recommend_signature(self), similar_signature(self)]

    def recommend(
        self,
        user_id: Any = "",
        recent: Iterable[Any] | None = None,
        *,
        k: int | None = None,
        exclude: Iterable[Any] | None = None,
        candidates: Iterable[Any] | None = None,
    ) -> dict[str, Any]:
        """The best items for one request, as the signature `recommend` gives them.

        Args:
            user_id: who asks; empty for nobody that is known.
            recent: ids of items that the user has had, the oldest first, beside those known from training.
            k: how many; None for `top_k`.
            exclude: ids of items that are not wanted, whether seen or not.
            candidates: ids of the items to choose from; without any, all.

        Returns:
            `items`, the best first, with `scores`; and `cold`, whether nothing was known and they are the popular ones.

        Raises:
            DataError: the request cannot be answered; says why.
        """
        from dlkit.tasks.recommendation.stages import recommend

        if is_dataframe(user_id) or not np.ndim(user_id) == 0:
            raise DataError("`recommend` takes one user. For a table or a list of users call `recommend_all(users)`.")
        lists = {"recent": recent, "exclude": exclude, "candidates": candidates}
        given = {name: value if value is None else list(value) for name, value in lists.items()}
        return recommend(self, k, {"user_id": user_id, **given})

    def recommend_all(
        self,
        users: Any = None,
        *,
        k: int | None = None,
        candidates: Iterable[Any] | None = None,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> Any:
        """The best items for all users, as a long table.

        Args:
            users: None for all users of the training data; or a list or Series of ids; a table of users, `user_id` or
                `recent` or both; or one of interactions, `user_id` and `item_id`, whose items come after those that are
                known from training: a DataFrame, a file, ..., as `fit` takes it.
            k: how many items a user gets; None for `top_k`.
            candidates: ids of the items to choose from; without any, all.
            columns: this task's column names to the table's own, where they differ.
            data_dir: where TensorFlow Datasets lie.
            **options: how the table is read, as in `fit`.

        Returns:
            A DataFrame with a row for each user and item, the best first: `user_id`, of the type that it has in the
            table, `item_id`, `score`, `rank` from 1, and `cold`, whether nothing is known of the user and the items are
            the popular ones. Users that cannot be answered, that get nothing and that are cold are counted on stderr.

        Raises:
            DataError: the table cannot be read, or no user can be answered; says why.

        Example:
            >>> model.recommend_all(k=5).to_parquet("recommendations.parquet")
        """
        self._check_fitted()
        from dlkit.tasks.recommendation.recommend_tables import recommendation_table

        if users is None:
            users = UserRows.stored(self)
        return recommendation_table(self, users, ReadOptions(columns or {}, data_dir, **options), k, candidates)

    def similar(self, item: Any, *, k: int | None = None) -> dict[str, Any]:
        """The items most like one, as the signature `similar` gives them.

        Args:
            item: its id.
            k: how many; None for `top_k`.

        Returns:
            `items`, the best first, with `scores`, cosines of what was learned of them, or the weights of `ease`; and
            `cold`, whether the item is not known and there are none.

        Raises:
            DataError: the request cannot be answered; says why.
        """
        from dlkit.tasks.recommendation.similar_items import similar

        return similar(self, item, k)

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        return self.listed(answer) if "items" in answer else answer

    def listed(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer without padding, with item ids as they were given in training."""
        items = [item for item in answer["items"] if item]
        kept = {name: value[: len(items)] if isinstance(value, list) else value for name, value in answer.items()}
        return {**kept, "items": self.as_given(items)}

    def as_given(self, items: list[str]) -> list[Any]:
        """Item ids as they were given in training: integers where they all were."""
        return [*map(_whole, items)] if self.whole_ids_ else items

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.recommendation.liked import liked
        from dlkit.tasks.recommendation.metrics import score_items, score_ratings

        if self.objective == "ratings":
            return score_ratings(targets["rating"], answers["rating"], self.mean_rating_)
        reader = self.stages_.preprocess.get_layer("reader")
        rated = (
            liked(np.asarray(ratings or [np.nan] * len(held)), self.least_rating_)
            for held, ratings in zip(targets["next"], targets["ratings"], strict=True)
        )
        wanted = [{*itertools.compress(held, keep)} - {b""} for held, keep in zip(targets["next"], rated, strict=True)]
        lists = {"": [[item for item in row if item] for row in answers["items"]]}
        had = reader.had_before(targets["user_id"], targets["recent"])
        lists["baseline_"] = reader.popular([set()] * len(had) if self.repeats else had, self.top_k)
        metrics = score_items(wanted, lists, self.top_k, len(reader.items))
        repeated = sum(len(held & before) for held, before in zip(wanted, had, strict=True))
        return {**metrics, "cold": int(sum(map(bool, answers["cold"]))), "repeated": repeated}

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.recommendation.sample import tastes

        return tastes()


def _whole(item: str) -> Any:
    """An id of digits as the integer that it is; of a file of features there may be others."""
    return int(item) if item.removeprefix("-").isdecimal() and str(int(item)) == item else item
