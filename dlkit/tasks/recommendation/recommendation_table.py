"""Tables of recommendations: a row for each user and recommended item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.data.memory import as_sequence
from dlkit.data.read import read_table
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.errors import DataError
from dlkit.graph_predictor import GraphPredictor, import_pandas
from dlkit.log import logger
from dlkit.tasks.recommendation.stages import check_candidates, check_k

if TYPE_CHECKING:
    from dlkit.tasks.recommendation.task import Recommender

MAX_EXAMPLES = 3  # users that a warning names


def build_recommendation_table(
    task: Recommender, users: Any, how: ReadOptions, k: int | None, candidates: Iterable[Any] | None
) -> Any:
    """Recommend items for every user of a table; see `Recommender.recommend_all`."""
    pandas = import_pandas("a table of recommendations", " `predict_to(data, FILE)` does not need it.")
    request: dict[str, Any] = {"k": check_k(task, k)}
    if candidates is not None:
        request["candidates"] = list(candidates)
        check_candidates(request["candidates"])
    table = read_table(_as_table(users), type(task).inputs, how)
    table.columns |= {name: [value] * len(table) for name, value in request.items()}
    user_ids = table.columns.get("user_id", [""] * len(table))
    lookup, reasons = task.stages_.preprocess.get_layer("history_lookup"), list[str]()
    original_ids = task.to_original_ids(lookup.item_ids)
    item_ids = {item.encode(): original for item, original in zip(lookup.item_ids, original_ids, strict=True)}
    cold_users, users_without_items = list[Any](), list[Any]()
    columns: dict[str, list[Any]] = {name: [] for name in ("user_id", "item_id", "score", "rank", "cold_start")}
    signature = task.served()["recommend"]
    for row, answer in GraphPredictor(signature, signature.columns).predict_valid(table, reasons):
        items = answer["items"][answer["items"] != b""].tolist()
        cold_users += [user_ids[row]] if answer["cold_start"] else []
        users_without_items += [] if items else [user_ids[row]]
        columns["user_id"] += [user_ids[row]] * len(items)
        columns["item_id"] += [item_ids[item] for item in items]
        columns["score"] += answer["scores"][: len(items)].tolist()
        columns["rank"] += range(1, len(items) + 1)
        columns["cold_start"] += [bool(answer["cold_start"])] * len(items)
    if len(reasons) == len(table):
        raise DataError(reasons[0])
    for remark in (
        *table.remarks,
        *report_skipped(reasons, len(table), "users", how.strict),
        *_count(cold_users, len(table), "are unknown: the most popular items are recommended"),
        *_count(users_without_items, len(table), "get no recommendations: they have interacted with all items"),
    ):
        logger.warning(f"{table.source}: {remark}")
    return pandas.DataFrame(columns)


def _as_table(users: Any) -> Any:
    """Convert a list, an array or a Series of ids to a table; return anything else unchanged."""
    is_list = isinstance(users, (list, np.ndarray)) or type(users).__name__ == "Series"
    if not is_list or (isinstance(users, list) and users and isinstance(users[0], Mapping)):
        return users
    return {"user_id": as_sequence(users, "user_id")}


def _count(users: Sequence[Any], total: int, what: str) -> list[str]:
    examples = ", ".join(repr(str(user)) for user in users[:MAX_EXAMPLES])
    examples += ", ..." if users[MAX_EXAMPLES:] else ""
    return [f"{len(users)} of {total} users {what}: {examples}"] if users else []
