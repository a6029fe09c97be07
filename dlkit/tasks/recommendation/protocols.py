"""Protocols: how interactions are parted into those to train on and those to measure on."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from dlkit.columns import Id
from dlkit.data.read_options import ReadKeywords, ReadOptions
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.hparams import nearest
from dlkit.options import option
from dlkit.report import Report
from dlkit.rows import Rows
from dlkit.tasks.recommendation.catalogue import inspect_features
from dlkit.tasks.recommendation.interactions import Interactions, read_interactions
from dlkit.tasks.recommendation.liked import all_ratings, how_ratings_count, least_rating, liked, mean_rating

if TYPE_CHECKING:
    from dlkit.tasks.recommendation.task import Recommender


def leave_last_out(interactions: Interactions, seed: int = 0) -> np.ndarray:
    """Tests on the last item of each user that has at least two; by stamp, without any by place in the source.

    Of several at one time a hash of user and item tells the last, whatever the order of the source.
    """
    del seed
    ends = interactions.starts()[1:]
    counts = np.diff(interactions.starts())
    test = np.zeros(len(interactions), bool)
    test[ends[counts > 1] - 1] = True
    return test


def random_75_25(interactions: Interactions, seed: int = 0) -> np.ndarray:
    """Tests on a random quarter of each user's items, rounded to whole ones.

    As `python_stratified_split` of Microsoft's Recommenders parts them, by which figures are published: the same rows
    for the same seed, in the order of the source.
    """
    starts = interactions.starts()
    test = np.zeros(len(interactions), bool)
    for start, stop in itertools.pairwise(starts):
        rows = start + np.argsort(interactions.row[start:stop])
        # RandomState: its stream is frozen across NumPy's releases.
        shuffled = rows[np.random.RandomState(seed).permutation(len(rows))]
        test[shuffled[round(0.75 * len(rows)) :]] = True
    return test


def random_80_20(interactions: Interactions, seed: int = 0) -> np.ndarray:
    """Tests on a random fifth of all interactions, whoever's they are: what ratings are measured by.

    As `train_test_split` of Surprise parts them: the same rows for the same seed, in the order of the source.
    """
    test = np.zeros(len(interactions), bool)
    shuffled = np.random.RandomState(seed).permutation(len(interactions))
    test[np.argsort(interactions.row)[shuffled[: -(-len(interactions) // 5)]]] = True
    return test


def by_time(interactions: Interactions, seed: int = 0) -> np.ndarray:
    """Tests on the last fifth of all interactions by stamp: nothing that is trained on is later than what is tested."""
    del seed
    if interactions.time is None or interactions.stamps is None:
        raise DataError(f"{interactions.source} has no column 'timestamp', which the protocol by_time needs.")
    stamps = np.sort(interactions.stamps)  # of repeated pairs too: which repeat is for the future to say
    return interactions.time >= stamps[round(0.8 * len(stamps))]


PROTOCOLS: dict[str, Callable[[Interactions, int], np.ndarray]] = {
    "leave_last_out": leave_last_out,
    "random_75_25": random_75_25,
    "random_80_20": random_80_20,
    "by_time": by_time,
}


def part(
    source: Any,
    protocol: str,
    *,
    seed: int = 0,
    columns: dict[str, str] | None = None,
    data_dir: str | None = None,
    repeats: bool = False,
    rated: bool = False,
    **options: Unpack[ReadKeywords],
) -> tuple[dict[str, list], dict[str, list]]:
    """Interactions parted by a protocol: two sources of columns, to train on and to measure on.

    Without `repeats` a pair of user and item counts the first time alone: it is never both trained and measured on. A
    fitted task knows the items that its users had in training, so that the second part is all that `evaluate` needs.

    Args:
        source: a table of interactions, as `dlkit.data.read.read` takes it.
        protocol: "leave_last_out", "random_75_25", "random_80_20" or "by_time".
        seed: of the random ones.
        columns: this table's own names for `user_id`, `item_id`, `rating` and `timestamp`.
        data_dir: where TensorFlow Datasets lie.
        repeats: whether a pair that comes again counts each time, for what recommends items that the user has had.
        rated: whether ratings are what is learned: rows without one are left out.
        **options: how the source is read, as `dlkit.data.read.read` takes them.

    Raises:
        HparamError: there is no such protocol.
        DataError: the source cannot be read, or a part would be empty.
    """
    if protocol not in PROTOCOLS:
        raise HparamError(f"there is no protocol {protocol!r}. {nearest(protocol, PROTOCOLS)}")
    how = ReadOptions(columns or {}, data_dir, **options)
    interactions = read_interactions(source, how, keep="all" if repeats else "first", rated=rated)
    test = PROTOCOLS[protocol](interactions, seed)
    if test.all() or not test.any():
        raise DataError(f"{interactions.source} is too small for {protocol}: a split would be empty.")
    return interactions.columns(~test), interactions.columns(test)


class UserRows(Rows):
    """Users with the items that they had, or ratings, which are split by a protocol."""

    task: Recommender
    by_record = False  # a table of interactions has several records for each user

    @classmethod
    def stored(cls, task: Recommender) -> dict[str, list[Any]]:
        """All users of the training data, with their ids as they were there."""
        users = task.stages_.preprocess.get_layer("reader").users
        if not users:
            raise DataError("this recommender was trained without user ids: give the recent items of each user.")
        return {"user_id": [*map(int, users)] if task.whole_users_ else list(users)}

    def answer_rows(self, row: int, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """A row for each item, the best first."""
        user = self.table.columns["user_id"][row] if "user_id" in self.table.columns else ""
        ranked = enumerate(zip(answer["items"], answer["scores"], strict=True), start=1)
        return [
            {"user_id": user, "item_id": item, "score": score, "rank": rank, "cold": answer["cold"]}
            for rank, (item, score) in ranked
        ]

    @property
    def windows_per_row(self) -> int:
        """Of sessions, the windows of the longest."""
        return self.task.pieces_ if self.task.objective == "ranking" else 1

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        users = {Id().raw(user).decode() for user in self.table.columns.get("user_id", [])}
        if self.task.objective == "ranking":
            counts = collections.Counter(item for row in self.table.columns["next"] for item in row)
            sizes = [len(row) for row in self.table.columns["next"]]
            self._inspect_ratings(report)
        else:
            counts = collections.Counter(self.table.columns["item_id"])
            sizes = list(collections.Counter(self.table.columns["user_id"]).values())
            ratings = np.array([float(value) for value in self.table.columns["rating"]])
            report.statistics["ratings"] = f"{ratings.min():g} to {ratings.max():g}, {ratings.mean():.3g} on average"
            if ratings.min() == ratings.max():
                report.add_warning(
                    "all ratings are equal", cure="There is nothing to predict: set objective to ranking."
                )
        report.statistics["users"], report.statistics["items"] = len(sizes), len(counts)
        report.statistics["interactions"] = sum(sizes)
        single = sum(size == 1 for size in sizes)
        if single > len(sizes) / 2:
            report.add_warning(
                f"{single} of {len(sizes)} users have only one item", cure="Their preferences are barely known."
            )
        rare = sum(count == 1 for count in counts.values())
        if rare > len(counts) / 2:
            report.add_warning(f"{rare} of {len(counts)} items have only one user", cure="They are rarely recommended.")
        for kind, source, ids in (
            ("users", self.task.user_features, users),
            ("items", self.task.item_features, {Id().raw(item).decode() for item in counts}),
        ):
            if source:
                found, remarks = inspect_features(source, f"{kind[:-1]}_id")
                known, report.remarks = len(ids & found), [*report.remarks, *remarks]
                report.statistics[f"{kind} with features"] = f"{known} of {len(ids)}"
                cure = "Use the same id format in both: 12, not 12.0 or 012."
                if not known:
                    report.add_error(f"none of {len(ids)} {kind} has a row in {source}: 0 % match", cure=cure)
                elif known < len(ids) / 2:
                    report.add_warning(f"{len(ids) - known} of {len(ids)} {kind} have no row in {source}", cure=cure)
                if kind == "items" and found - ids:
                    how = "recommended based on their features" if self.task.takes_new_items else "not recommended"
                    report.statistics["items without interactions"] = f"{len(found - ids)}, {how}"

    def continued_from(self, model: Recommender) -> dict[str, Any]:
        raise DlkitError(
            "a recommender cannot be initialized from a model, because its users, items and interactions are part "
            f"of the network. Train again on all interactions, without {option('init_from')}."
        )

    def _inspect_ratings(self, report: Report) -> None:
        """Says what ratings count for."""
        ratings = all_ratings(self.table.columns.get("ratings", ()))
        if not np.isfinite(ratings).any():
            if self.task.min_rating is not None or self.task.rating_weights:
                report.add_error(
                    f"there are no ratings for {option('min_rating')} and {option('rating_weights')}",
                    cure="Remove both.",
                )
            return
        try:
            least = least_rating(ratings, self.task.min_rating)
            if self.task.rating_weights:
                mean_rating(ratings, least)
        except DataError as error:
            report.add_error(str(error).rstrip("."))
            return
        report.remarks.append(how_ratings_count(ratings, least, weighted=self.task.rating_weights))

    def evaluation_warnings(self) -> list[str]:
        if self.task.objective == "ratings" or self.task.repeats:
            return []
        raw = {name: self.table.raw_column(name, column) for name, column in self.task.target.items()}
        had = self.task.stages_.preprocess.get_layer("reader").had_before(raw["user_id"], raw["recent"])
        again = sum(len({*held} & before) for held, before in zip(raw["next"], had, strict=True))
        if not again:
            return []
        return [
            f"{again} of {sum(map(len, raw['next']))} held-out items were already seen by their users and are never "
            f"recommended: they count as misses. Train with {option('repeats', True)} to allow repeated "
            "recommendations."
        ]

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """The rank of each held-out item among the answered ones, from 1, null for one that is not there; of a rating
        its absolute error."""
        if self.task.objective == "ratings":
            made = super().with_errors(row, target, answer)[0]
            return [{**made, "absolute_error": abs(made["rating"] - made["true_rating"])}]
        ratings = np.asarray(target["ratings"] or [np.nan] * len(target["next"]))
        wanted = [*itertools.compress(target["next"], liked(ratings, self.task.least_rating_))]
        held = self.task.listed({"items": [item.decode() for item in wanted]})["items"]
        places = {item: place for place, item in enumerate(answer["items"], start=1)}
        return [{"true_items": held, **answer, "ranks": [places.get(item) for item in held]}]

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
        """Interactions by the task's `protocol`."""
        usual = "random_80_20" if task.objective == "ratings" else "random_75_25"
        return part(
            data,
            task.protocol or usual,
            seed=task.seed,
            columns=columns,
            data_dir=data_dir,
            repeats=task.repeats,
            rated=task.objective == "ratings",
            **options,
        )


class PairRows(UserRows):
    """Ratings, of which each row is a pair of a user and an item, and so is each record that is answered."""

    by_record = True
    answer_rows = Rows.answer_rows

    @classmethod
    def stored(cls, task: Recommender) -> dict[str, list[Any]]:
        raise DataError(
            "a rating model predicts for pairs: give a table of user_id and item_id. In Python, `recommend_all()` "
            "ranks all items of each user by predicted rating."
        )
