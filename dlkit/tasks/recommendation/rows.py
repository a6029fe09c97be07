"""Rows of a recommender: users with their items, or ratings."""

from __future__ import annotations

import collections
import itertools
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from dlkit.columns import Id
from dlkit.data.read_options import ReadKeywords
from dlkit.errors import DataError, DlkitError
from dlkit.options import option
from dlkit.report import Report
from dlkit.rows import Rows
from dlkit.tasks.recommendation.implicit_feedback import (
    compute_mean_rating,
    describe_ratings,
    find_min_rating,
    flatten_ratings,
    is_positive,
)
from dlkit.tasks.recommendation.side_features import inspect_features
from dlkit.tasks.recommendation.splits import split_interactions

if TYPE_CHECKING:
    from dlkit.tasks.recommendation.task import Recommender


class UserRows(Rows):
    """Rows of users, each with a history and target items."""

    task: Recommender
    by_record = False  # a table of interactions has several records for each user

    @classmethod
    def stored(cls, task: Recommender) -> dict[str, list[Any]]:
        """Return the ids of all users of the training data, in their original type."""
        users = task.stages_.preprocess.get_layer("history_lookup").user_ids
        if not users:
            raise DataError("this recommender was trained without user ids: give the history of each user.")
        return {"user_id": [*map(int, users)] if task.integer_user_ids_ else list(users)}

    def answer_rows(self, row: int, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a row for each recommended item, the best first."""
        user = self.table.columns["user_id"][row] if "user_id" in self.table.columns else ""
        ranked = enumerate(zip(answer["items"], answer["scores"], strict=True), start=1)
        return [
            {"user_id": user, "item_id": item, "score": score, "rank": rank, "cold_start": answer["cold_start"]}
            for rank, (item, score) in ranked
        ]

    @property
    def windows_per_row(self) -> int:
        """The number of windows of the longest history."""
        return self.task.windows_per_row_ if self.task.objective == "ranking" else 1

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        users = {Id().raw(user).decode() for user in self.table.columns.get("user_id", [])}
        if self.task.objective == "ranking":
            item_counts = collections.Counter(item for row in self.table.columns["target_items"] for item in row)
            user_counts = [len(row) for row in self.table.columns["target_items"]]
            self._inspect_ratings(report)
        else:
            item_counts = collections.Counter(self.table.columns["item_id"])
            user_counts = list(collections.Counter(self.table.columns["user_id"]).values())
            ratings = np.array([float(value) for value in self.table.columns["rating"]])
            report.statistics["ratings"] = f"{ratings.min():g} to {ratings.max():g}, {ratings.mean():.3g} on average"
            if ratings.min() == ratings.max():
                report.add_warning(
                    "all ratings are equal", cure="There is nothing to predict: set objective to ranking."
                )
        report.statistics["users"], report.statistics["items"] = len(user_counts), len(item_counts)
        report.statistics["interactions"] = sum(user_counts)
        single = sum(count == 1 for count in user_counts)
        if single > len(user_counts) / 2:
            report.add_warning(
                f"{single} of {len(user_counts)} users have only one item", cure="Their preferences are barely known."
            )
        rare = sum(count == 1 for count in item_counts.values())
        if rare > len(item_counts) / 2:
            report.add_warning(
                f"{rare} of {len(item_counts)} items have only one user", cure="They are rarely recommended."
            )
        self._inspect_features(report, "users", self.task.user_features, users)
        items = {Id().raw(item).decode() for item in item_counts}
        self._inspect_features(report, "items", self.task.item_features, items)

    def _inspect_features(self, report: Report, kind: str, source: str, ids: set[str]) -> None:
        """Add to the report how many users or items have a row in a feature file."""
        if not source:
            return
        ids_with_features, remarks = inspect_features(source, f"{kind[:-1]}_id")
        matching, report.remarks = len(ids & ids_with_features), [*report.remarks, *remarks]
        report.statistics[f"{kind} with features"] = f"{matching} of {len(ids)}"
        cure = "Use the same id format in both: 12, not 12.0 or 012."
        if not matching:
            report.add_error(f"none of {len(ids)} {kind} has a row in {source}: 0 % match", cure=cure)
        elif matching < len(ids) / 2:
            report.add_warning(f"{len(ids) - matching} of {len(ids)} {kind} have no row in {source}", cure=cure)
        if kind == "items" and ids_with_features - ids:
            how = "recommended based on their features" if self.task.includes_cold_items else "not recommended"
            report.statistics["items without interactions"] = f"{len(ids_with_features - ids)}, {how}"

    def continued_from(self, model: Recommender) -> dict[str, Any]:
        raise DlkitError(
            "a recommender cannot be initialized from a model, because its users, items and interactions are part "
            f"of the network. Train again on all interactions, without {option('init_from')}."
        )

    def _inspect_ratings(self, report: Report) -> None:
        """Add to the report how ratings are used."""
        ratings = flatten_ratings(self.table.columns.get("target_ratings", ()))
        if not np.isfinite(ratings).any():
            if self.task.min_rating is not None or self.task.rating_weights:
                report.add_error(
                    f"there are no ratings for {option('min_rating')} and {option('rating_weights')}",
                    cure="Remove both.",
                )
            return
        try:
            min_rating = find_min_rating(ratings, self.task.min_rating)
            if self.task.rating_weights:
                compute_mean_rating(ratings, min_rating)
        except DataError as error:
            report.add_error(str(error).rstrip("."))
            return
        report.remarks.append(describe_ratings(ratings, min_rating, weighted=self.task.rating_weights))

    def evaluation_warnings(self) -> list[str]:
        if self.task.objective == "ratings" or self.task.allow_repeats:
            return []
        raw = {name: self.table.raw_column(name, column) for name, column in self.task.target.items()}
        lookup = self.task.stages_.preprocess.get_layer("history_lookup")
        seen = lookup.collect_seen_items(raw["user_id"], raw["history"])
        repeated = sum(len({*items} & earlier) for items, earlier in zip(raw["target_items"], seen, strict=True))
        if not repeated:
            return []
        return [
            f"{repeated} of {sum(map(len, raw['target_items']))} held-out items were already seen by their users and "
            f"are never recommended: they count as misses. Train with {option('allow_repeats', True)} to allow "
            "repeated recommendations."
        ]

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add the rank of each held-out item among the recommendations, from 1, or null; for a rating its absolute
        error."""
        if self.task.objective == "ratings":
            evaluated = super().with_errors(row, target, answer)[0]
            return [{**evaluated, "absolute_error": abs(evaluated["rating"] - evaluated["true_rating"])}]
        ratings = np.asarray(target["target_ratings"] or [np.nan] * len(target["target_items"]))
        positive = itertools.compress(target["target_items"], is_positive(ratings, self.task.min_positive_rating_))
        relevant = self.task.remove_padding({"items": [item.decode() for item in positive]})["items"]
        ranks = {item: rank for rank, item in enumerate(answer["items"], start=1)}
        return [{"true_items": relevant, **answer, "ranks": [ranks.get(item) for item in relevant]}]

    @classmethod
    def split(
        cls,
        task: Recommender,
        data: Any,
        *,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> tuple[dict[str, list], dict[str, list]]:
        """Split interactions by the option `split` of the task."""
        default = "random_80_20" if task.objective == "ratings" else "per_user_random_75_25"
        return split_interactions(
            data,
            task.split or default,
            seed=task.seed,
            columns=columns,
            data_dir=data_dir,
            allow_repeats=task.allow_repeats,
            require_ratings=task.objective == "ratings",
            **options,
        )


class RatingRows(UserRows):
    """Rows of ratings, each of one user and one item."""

    by_record = True
    answer_rows = Rows.answer_rows

    @classmethod
    def stored(cls, task: Recommender) -> dict[str, list[Any]]:
        raise DataError(
            "a rating model predicts for pairs: give a table of user_id and item_id. In Python, `recommend_all()` "
            "ranks all items of each user by predicted rating."
        )
