"""Recommendation: from a user, a history of items or both to the best items; or from a user and an item to a rating."""

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
from dlkit.hparams import hparam, take_defaults
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.padding import Padding, trim
from dlkit.rows import LENGTH, ROW
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.recommendation.columns import Items, Rating, Ratings
from dlkit.tasks.recommendation.rows import RatingRows, UserRows

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.recommendation.encoded_interactions import EncodedInteractions

SEQUENTIAL = ("sasrec", "gru4rec")  # networks that predict the next item of an ordered history
# Options of ratings that are not those of rankings: a few passes, and a strong decay of the embeddings. They were
# chosen on held-out ratings, where those of rankings were less accurate than biases of users and items.
RATING_DEFAULTS = {"batch_size": 256, "learning_rate": 4e-3, "weight_decay": 3.0, "width": 64, "dropout": 0.0}
RATING_EPOCHS = DefaultEpochs(10, fewest=400, most=20_000)
PAIR_SCORING = ("neumf", "dcn")  # networks that score each pair of user and item, and train on sampled items


@dataclass(kw_only=True)
class Recommender(Task):
    """Recommends items to a user, identified by an ID, a history of items, or both; or predicts ratings.

    Examples:
        >>> model = dlkit.Recommender(epochs=1)
        >>> losses = model.fit(model.samples()["train"], verbose=0)
        >>> len(model.recommend(history=["drama-01", "drama-17"], k=5)["items"])
        5
    """

    default_epochs = DefaultEpochs(60, fewest=400, most=20_000)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(
        64,
        "Number of users (or ratings) per step. It is the total over all devices. Default for ratings: "
        f"`{RATING_DEFAULTS['batch_size']}`.",
        minimum=1,
    )
    learning_rate: float = hparam(
        3e-3, f"Peak learning rate. Default for ratings: `{RATING_DEFAULTS['learning_rate']}`.", minimum=0
    )
    weight_decay: float = hparam(
        0.0,
        "Decoupled weight decay, applied to kernels and embedding matrices only. Default for ratings: "
        f"`{RATING_DEFAULTS['weight_decay']}`.",
        minimum=0,
    )
    validation_split: float = hparam(
        0.0,
        "Fraction of the users held out for validation if no validation data is given. The model has no "
        "embeddings for these users. With the default of 0, no users are held out, and the weights of the last "
        "epoch are kept.",
        minimum=0,
        maximum=0.9,
    )
    objective: Literal["ranking", "ratings"] = hparam(
        "ranking", "Learning objective. The model ranks items, or predicts explicit ratings."
    )
    network: Literal["two_tower", "svdpp", "sasrec", "gru4rec", "neumf", "dcn", "ease"] = hparam(
        "two_tower",
        'Network architecture. With `objective="ratings"`, it must be `svdpp`, `two_tower`, `neumf` or `dcn`.',
    )
    width: int = hparam(128, f"Embedding width. Default for ratings: `{RATING_DEFAULTS['width']}`.", minimum=1)
    hidden_width: int = hparam(64, "Hidden width of the user tower of `two_tower`.", minimum=1)
    blocks: int = hparam(
        2, "Number of layers of `sasrec`, `gru4rec` or `dcn`. Those of `dcn` are cross layers.", minimum=1
    )
    heads: int = hparam(2, "Number of attention heads of `sasrec`. It must divide `width`.", minimum=1)
    dropout: float = hparam(
        0.5, f"Dropout rate. Default for ratings: `{RATING_DEFAULTS['dropout']}`.", minimum=0, maximum=0.95
    )
    input_mask_rate: float = hparam(
        0.3,
        "Fraction of a user's items that are masked. In training, the model learns to predict the masked items.",
        minimum=0,
        maximum=1,
    )
    negatives: int = hparam(
        0,
        "Number of negatives; 0 uses the full softmax. They are sampled uniformly, in addition to in-batch "
        "negatives. For rankings with `neumf` and `dcn`, 0 selects 200 negatives.",
        minimum=0,
    )
    ensemble_size: int = hparam(
        1,
        "Number of `sasrec` or `gru4rec` networks. They are trained together, and their scores are averaged.",
        minimum=1,
    )
    user_embeddings: bool = hparam(
        True, "Whether to learn an embedding per user. Otherwise, users are represented only by their items."
    )
    max_history: int = hparam(
        0,
        "Maximum length of a history; 0 infers it. The most recent items are used. 0 selects 100 "
        'for `sasrec` and `gru4rec`, 50 with `objective="ratings"`, and otherwise the length of the longest '
        "history, up to 1,000.",
        minimum=0,
    )
    ease_l2: float = hparam(200.0, "L2 regularization of `ease`.", minimum=0)
    ease_mask_rate: float = hparam(
        0.5,
        "Input mask rate of `ease`. The closed-form solution minimizes the expected loss if this fraction of the "
        "input items is masked.",
        minimum=0,
        maximum=0.95,
    )
    ease_user_power: float = hparam(
        0.5,
        "Exponent of the user weights of `ease`. A user with n items has a weight proportional to n to the power "
        "of minus this value.",
        minimum=0,
    )
    min_rating: float | None = hparam(
        None,
        "Minimum rating that counts as positive. Items with lower ratings only count as seen. By default, it "
        "is the midpoint of the rating scale if at least half of the ratings reach it, and 1 if the only ratings "
        "are -1, 0 and 1. Otherwise, all interactions are positive. (default: automatic)",
    )
    rating_weights: bool = hparam(
        False, "Whether to weight interactions by ratings. This applies to training and to the popularity baseline."
    )
    allow_repeats: bool = hparam(
        False, "Whether seen items can be recommended. These are items that the user has already interacted with."
    )
    item_features: str = hparam(
        "",
        "File of item features. It is a csv, tsv or parquet file with the column `item_id` and one column per feature.",
        file=True,
    )
    user_features: str = hparam(
        "",
        "File of user features. It is a csv, tsv or parquet file with the column `user_id` and one column per feature.",
        file=True,
    )
    cold_start: bool = hparam(
        True,
        "Whether to recommend new items. These are items in `item_features` without interactions. It applies to "
        "`two_tower` and `svdpp`.",
    )
    top_k: int = hparam(10, "Number of recommended items. It is also the cutoff of the ranking metrics.", minimum=1)
    split: Literal["", "leave_last_out", "per_user_random_75_25", "random_80_20", "temporal_80_20"] = hparam(
        "",
        "Train/test split. It is used by `dlkit.split` and by apps/recommendation.py without test data, and not "
        "by `fit`. By default, it is per_user_random_75_25 for rankings and random_80_20 for ratings. (default: "
        "automatic)",
    )

    public_methods = (*Task.public_methods, "recommend", "recommend_all", "similar_items")
    inputs = {"user_id": Id(optional=True), "history": Items(optional=True, default=())}
    target = {  # `score` needs the inputs, too: seen and disliked items are not counted
        "target_items": Items(),
        "target_ratings": Ratings(optional=True, default=()),
        "user_id": Id(optional=True),
        "history": Items(optional=True, default=()),
    }
    answer = {"items": Items(ranked_by="scores"), "scores": Scores(), "cold_start": Flag()}
    rows = UserRows
    primary_metric = "ndcg"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective == "ratings":
            self.default_epochs = RATING_EPOCHS
            take_defaults(self, RATING_DEFAULTS, self._given_hparams)
        self.history_length_ = 1
        self.windows_per_row_ = 1  # number of windows of the longest history
        self.integer_item_ids_ = False  # whether the item ids of the training data are integers
        self.integer_user_ids_ = False  # whether its user ids are
        self.mean_rating_ = 0.0
        self.rating_range_ = [0.0, 0.0]
        self.min_positive_rating_: float | None = None  # None if all interactions are positive
        self.mean_positive_rating_: float | None = None  # whose weight is 1; None for equal weights
        self.num_cold_items_ = 0  # the last items of the vocabulary, without interactions
        self.padding = (Padding("history", ("history",), left=True, buckets=self.network in SEQUENTIAL),)
        if self.network in PAIR_SCORING:
            self.max_inference_batch = 8  # users, each with all items
        if self.network in PAIR_SCORING and self.objective == "ranking" and not self.negatives:
            self.negatives = 200
        if self.objective == "ratings":
            if self.network in (*SEQUENTIAL, "ease"):
                raise HparamError(
                    f"ratings need {option('network')} svdpp, two_tower, neumf or dcn. Received: {self.network!r}."
                )
            self.inputs = {"user_id": Id(), "item_id": Id(aliases=("movie_id",))}
            self.target = {"rating": Rating(aliases=("user_rating",))}
            self.answer = {"rating": Rating(), "cold_start": Flag()}
            self.primary_metric, self.rows = "r2", RatingRows
            if self.min_rating is not None or self.rating_weights:
                raise HparamError(
                    f"{option('min_rating')} and {option('rating_weights')} are for "
                    f"{option('objective', 'ranking')}: rating models learn from all ratings."
                )
        if self.ensemble_size > 1 and self.network not in SEQUENTIAL:
            raise HparamError(
                f"{option('ensemble_size')} applies only to sasrec and gru4rec. Received: "
                f"{option('ensemble_size', self.ensemble_size)}."
            )
        if self.network == "sasrec" and self.width % self.heads:
            raise HparamError(
                f"{option('width')} must be a multiple of {option('heads')}, {self.heads}. Received: "
                f"{option('width', self.width)}."
            )

    def build(self, examples: Table) -> Stages:
        from dlkit.data.read_options import DEFAULT_OPTIONS
        from dlkit.tasks.recommendation.history_lookup import HistoryLookup
        from dlkit.tasks.recommendation.interactions import read_users
        from dlkit.tasks.recommendation.stages import build_network, build_postprocess

        table = examples
        if self.objective == "ratings":
            ratings = examples.raw_column("rating", self.target["rating"])
            self.mean_rating_ = float(np.mean(ratings))
            self.rating_range_ = [float(min(ratings)), float(max(ratings))]
            pairs = {name: examples.columns[name] for name in ("user_id", "item_id")}
            table = read_users(pairs, Recommender.target, DEFAULT_OPTIONS)
        data = self._encode_interactions(table)
        users = [user for user in table.columns["user_id"] if Id().raw(user)] if "user_id" in table.columns else []
        self.integer_user_ids_ = bool(users) and all(isinstance(user, (int, float, np.number)) for user in users)
        self.integer_item_ids_, self.num_cold_items_ = data.integer_item_ids, data.num_cold_items
        longest = max(len(items) for items in (*data.histories, *data.anonymous_histories))
        default = 100 if self.network in SEQUENTIAL else 50 if self.objective == "ratings" else 1000
        self.history_length_ = min(self.max_history or default, longest)
        self.windows_per_row_ = -(-longest // self.history_length_)
        lookup = HistoryLookup(
            data.user_ids,
            data.item_ids,
            self.history_length_,
            num_interactions=sum(map(len, data.histories)),
            with_item_users=self.objective == "ratings",
            num_disliked=sum(map(len, data.disliked)),
            name="history_lookup",
        )
        lookup.build()
        all_items = np.concatenate([*data.histories, np.zeros(0, np.int32)])
        lookup.set_interactions(map(len, data.histories), all_items)
        if lookup.num_disliked:
            lookup.set_disliked(data.disliked)
        network, decode = build_network(self, data)
        inputs = {name: keras.Input((None,) * len(column.shape), dtype="string", name=name)
                  for name, column in self.inputs.items()}  # fmt: skip
        preprocess = keras.Model(inputs, lookup(**inputs), name="preprocess")
        return Stages(preprocess, network, build_postprocess(self, data), decode)

    def _encode_interactions(self, table: Table) -> EncodedInteractions:
        """Encode rows of users, with the meaning of their ratings."""
        from dlkit.tasks.recommendation.encoded_interactions import encode_interactions
        from dlkit.tasks.recommendation.implicit_feedback import compute_mean_rating, find_min_rating, flatten_ratings
        from dlkit.tasks.recommendation.side_features import read_ids

        ratings = flatten_ratings(table.columns.get("target_ratings", ()))
        self.min_positive_rating_ = find_min_rating(ratings, self.min_rating)
        if self.rating_weights:
            self.mean_positive_rating_ = compute_mean_rating(ratings, self.min_positive_rating_)
        else:
            self.mean_positive_rating_ = None
        ids_with_features = read_ids(self.item_features, "item_id") if self.includes_cold_items else ()
        return encode_interactions(table, self.min_positive_rating_, self.mean_positive_rating_, ids_with_features)

    @property
    def includes_cold_items(self) -> bool:
        """Whether items without interactions are recommended, based on their features."""
        supported = self.objective == "ranking" and self.network in ("two_tower", "svdpp")
        return bool(self.item_features) and self.cold_start and supported

    @property
    def layer_names(self) -> list[str]:
        """The names of the layers of the network that score items; more than one for an ensemble."""
        return [self.network, *(f"{self.network}_{number}" for number in range(1, self.ensemble_size))]

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        from dlkit.tasks.recommendation.training_batches import (
            mask_disliked,
            quantize_weights,
            split_into_windows,
            take_first_target,
        )

        preprocessed = self.stages_.preprocess(features)
        lookup = self.stages_.preprocess.get_layer("history_lookup")
        if self.objective == "ratings":
            user, item = preprocessed["user"][:, tf.newaxis], preprocessed["item"][:, tf.newaxis]
            # The interaction whose rating is predicted is not part of the input.
            history = tf.where(preprocessed["history"] == item, 0, preprocessed["history"])
            item_users = tf.where(preprocessed["item_users"] == user, 0, preprocessed["item_users"])
            tensors = {"user": preprocessed["user"], "item": preprocessed["item"]}
            tensors |= {"history": history, "item_users": item_users}
            return tensors, {"rating_residual": target["rating"][:, tf.newaxis] - self.mean_rating_}
        target_items, ratings = mask_disliked(
            lookup.lookup_items(target["target_items"]), target["target_ratings"], self.min_positive_rating_
        )
        history = lookup.lookup_history(features["user_id"], features["history"])
        mean_rating = self.mean_positive_rating_
        weights = None if mean_rating is None else quantize_weights(ratings, mean_rating)
        windows, rows, *window_weights = split_into_windows(
            lookup, history, target_items, self.windows_per_row_, weights
        )

        def select_targets(values: tf.Tensor | None) -> tf.Tensor:
            """Return the items to predict, or their values, of each row."""
            if self.network in SEQUENTIAL:
                return take_first_target(lookup, target_items, values)
            targets = lookup.take_newest(target_items, self.history_length_, values)
            return tf.reverse(targets, [1]) if self.negatives else targets

        targets = select_targets(None)
        tensors = {name: tf.gather(preprocessed[name], rows) for name in ("user", "history")}
        if self.negatives:
            tensors["positives"] = tf.gather(targets[:, : self.num_positives], rows)
            num_warm_items = len(lookup.item_ids) - self.num_cold_items_
            draws = np.random.RandomState(self.seed).randint(1, num_warm_items + 1, self.negatives)
            tensors["negatives"] = tf.tile(tf.constant(draws, tf.int32)[tf.newaxis], [tf.size(rows), 1])
        network_inputs = {name: tensors[name] for name in self.stages_.network.input}
        row_facts = {ROW: rows}
        if self.network in SEQUENTIAL:
            row_facts[LENGTH] = tf.reduce_sum(tf.cast(windows > 0, tf.int32), 1)
        channels = [tf.gather(targets, rows), windows]
        if weights is not None:
            channels += [tf.gather(select_targets(weights), rows), *window_weights]
        return {**network_inputs, **row_facts}, {"logits": tf.stack(channels, 1)}

    @property
    def num_positives(self) -> int:
        """The number of positive items per row and step with sampled negatives."""
        return min(16, self.history_length_)

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.tasks.recommendation.training_batches import (
            mask_items,
            sample_negatives,
            sample_positives,
            shift_by_one,
        )

        if self.objective == "ratings":
            return tensors, target
        items = target["logits"][:, 1]  # all items of each row: the history and the target items
        weights = target["logits"][:, 3] if self.rating_weights else None
        if tensors["history"].shape[1] is None:  # batches are trimmed
            items = trim({"history": items}, self.padding)["history"]
            weights = None if weights is None else weights[:, -tf.shape(items)[1] :]
        if self.network in SEQUENTIAL:
            history, targets = shift_by_one(items)
        elif self.network == "ease":
            history = targets = items  # the weight from an item to itself is 0
        else:
            history, targets = mask_items(items, self.input_mask_rate, self.seed, step)
        inputs = {**tensors, "history": history}
        if self.negatives:
            num_items = len(self.stages_.preprocess.get_layer("history_lookup").item_ids) - self.num_cold_items_
            targets, weights = sample_positives(targets, weights, self.num_positives, self.seed, step)
            inputs["positives"] = targets
            inputs["negatives"] = sample_negatives(targets, self.negatives, num_items, self.seed, step)
        channels = targets[:, tf.newaxis] if weights is None else tf.stack([targets, targets, weights], 1)
        return inputs, {"logits": channels}

    def loss(self) -> Any:
        from dlkit.tasks.recommendation.losses import ItemCrossEntropy, NextItemCrossEntropy, SampledItemCrossEntropy

        if self.objective == "ratings":
            return {"rating_residual": "mse"}
        if self.network in SEQUENTIAL:
            typical_length = self.history_length_ * self.ensemble_size
            loss = NextItemCrossEntropy(self.ensemble_size, self.rating_weights, typical_length=typical_length)
            return {"logits": loss}
        if self.negatives:
            return {"logits": SampledItemCrossEntropy(self.num_positives, self.rating_weights)}
        return {"logits": ItemCrossEntropy(self.rating_weights)}

    def metrics(self) -> Any:
        return None

    def signatures(self) -> list[Signature]:
        from dlkit.tasks.recommendation.similar_items import build_similar_items_signature
        from dlkit.tasks.recommendation.stages import build_recommend_signature

        return [build_recommend_signature(self), build_similar_items_signature(self)]

    def recommend(
        self,
        user_id: Any = "",
        history: Iterable[Any] | None = None,
        *,
        k: int | None = None,
        exclude: Iterable[Any] | None = None,
        candidates: Iterable[Any] | None = None,
    ) -> dict[str, Any]:
        """Recommend items to one user, as the signature `recommend` does.

        Args:
            user_id: id of the user; empty for an anonymous session.
            history: ids of items that the user has interacted with, the oldest first, in addition to those known from
                training.
            k: number of items; None for `top_k`.
            exclude: ids of items that must not be recommended.
            candidates: ids of the items to rank; None for all items.

        Returns:
            A dict with `items`, a list of item ids, the best first; `scores`, a list of float; and `cold_start`, True
            if neither the user nor any item of the history is known, so that the items are the most popular ones.

        Raises:
            DataError: the request is not valid.

        Examples:
            >>> model = dlkit.Recommender(network="ease", epochs=1)
            >>> losses = model.fit(model.samples()["train"], verbose=0)
            >>> answer = model.recommend("u000", k=3, exclude=["western-08"])
            >>> len(answer["items"]), answer["cold_start"]
            (3, False)
        """
        from dlkit.tasks.recommendation.stages import recommend

        if is_dataframe(user_id) or not np.ndim(user_id) == 0:
            raise DataError("`recommend` takes one user. For a table or a list of users call `recommend_all(users)`.")
        values = {"history": history, "exclude": exclude, "candidates": candidates}
        lists = {name: value if value is None else list(value) for name, value in values.items()}
        return recommend(self, k, {"user_id": user_id, **lists})

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
        """Recommend items to many users, as a long table.

        Users that are skipped, that are unknown or that get no items are counted and named in a warning.

        Args:
            users: None for all users of the training data; a list or Series of user ids; a table of users with
                `user_id`, `history` or both; or a table of interactions, `user_id` and `item_id`, which are appended to
                the histories known from training. A table is a DataFrame, a file, ..., as in `fit`.
            k: number of items per user; None for `top_k`.
            candidates: ids of the items to rank; None for all items.
            columns: dict from this task's column names to those of the table, where they differ.
            data_dir: folder of TensorFlow Datasets.
            **options: how the table is read, as in `fit`.

        Returns:
            A pandas.DataFrame with a row for each user and item, the best item first: `user_id` and `item_id` in their
            original types, `score`, `rank` from 1, and `cold_start`, True if neither the user nor any item of the
            history is known, so that the items are the most popular ones.

        Raises:
            DataError: the table cannot be read, or all users are skipped.

        Examples:
            >>> model = dlkit.Recommender(network="ease", epochs=1)
            >>> losses = model.fit(model.samples()["train"], verbose=0)
            >>> model.recommend_all(["u000", "u001"], k=5).shape
            (10, 5)
        """
        self._check_fitted()
        from dlkit.tasks.recommendation.recommendation_table import build_recommendation_table

        if users is None:
            users = UserRows.stored(self)
        return build_recommendation_table(self, users, ReadOptions(columns or {}, data_dir, **options), k, candidates)

    def similar_items(self, item_id: Any, *, k: int | None = None) -> dict[str, Any]:
        """Find the items most similar to an item, as the signature `similar_items` does.

        Args:
            item_id: id of the item.
            k: number of items; None for `top_k`.

        Returns:
            A dict with `items`, a list of item ids, the most similar first; `scores`, a list of float, the cosine
            similarities of the item vectors, or the weights of `ease`; and `cold_start`, True if the item is unknown,
            so that there are no items.

        Raises:
            DataError: the request is not valid.

        Examples:
            >>> model = dlkit.Recommender(network="ease", epochs=1)
            >>> losses = model.fit(model.samples()["train"], verbose=0)
            >>> len(model.similar_items("drama-01", k=4)["items"])
            4
        """
        from dlkit.tasks.recommendation.similar_items import find_similar_items

        return find_similar_items(self, item_id, k)

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        return self.remove_padding(answer) if "items" in answer else answer

    def remove_padding(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Remove the padding of an answer and convert its item ids to their original type."""
        items = [item for item in answer["items"] if item]
        trimmed = {name: value[: len(items)] if isinstance(value, list) else value for name, value in answer.items()}
        return {**trimmed, "items": self.to_original_ids(items)}

    def to_original_ids(self, items: list[str]) -> list[Any]:
        """Convert item ids to their type in the training data: integers if all were integers."""
        return [*map(_to_integer_id, items)] if self.integer_item_ids_ else items

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.recommendation.implicit_feedback import is_positive
        from dlkit.tasks.recommendation.metrics import compute_ranking_metrics, compute_rating_metrics

        if self.objective == "ratings":
            return compute_rating_metrics(targets["rating"], answers["rating"], self.mean_rating_)
        lookup = self.stages_.preprocess.get_layer("history_lookup")
        relevant = []
        for items, ratings in zip(targets["target_items"], targets["target_ratings"], strict=True):
            positive = is_positive(np.asarray(ratings or [np.nan] * len(items)), self.min_positive_rating_)
            relevant.append({*itertools.compress(items, positive)} - {b""})
        recommended = {"": [[item for item in row if item] for row in answers["items"]]}
        seen = lookup.collect_seen_items(targets["user_id"], targets["history"])
        excluded = [set[bytes]()] * len(seen) if self.allow_repeats else seen
        recommended["baseline_"] = lookup.list_popular(excluded, self.top_k)
        metrics = compute_ranking_metrics(relevant, recommended, self.top_k, len(lookup.item_ids))
        repeated = sum(len(items & earlier) for items, earlier in zip(relevant, seen, strict=True))
        num_cold_starts = int(sum(map(bool, answers["cold_start"])))
        return {**metrics, "cold_starts": num_cold_starts, "repeated_items": repeated}

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.recommendation.sample import load_sample

        return load_sample()


def _to_integer_id(item: str) -> Any:
    """Convert an id of digits to an integer; ids of a feature file may have another form."""
    return int(item) if item.removeprefix("-").isdecimal() and str(int(item)) == item else item
