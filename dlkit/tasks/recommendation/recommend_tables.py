"""Tables of recommendations: the best items of every user of a table, a row for each."""

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
from dlkit.tasks.recommendation.stages import check_candidates, number_of_items

if TYPE_CHECKING:
    from dlkit.tasks.recommendation.task import Recommender

SHOWN = 3  # users that a remark names


def recommendation_table(
    task: Recommender, users: Any, how: ReadOptions, k: int | None, candidates: Iterable[Any] | None
) -> Any:
    """The best items of every user of a table; see `Recommender.recommend_all`."""
    pandas = import_pandas("a table of recommendations", " `predict_to(data, FILE)` does not need it.")
    request: dict[str, Any] = {"k": number_of_items(task, k)}
    if candidates is not None:
        request["candidates"] = list(candidates)
        check_candidates(task, request["candidates"])
    table = read_table(_as_table(users), type(task).inputs, how)
    table.columns |= {name: [value] * len(table) for name, value in request.items()}
    names = table.columns.get("user_id", [""] * len(table))
    reader, reasons = task.stages_.preprocess.get_layer("reader"), list[str]()
    ids = {item.encode(): shown for item, shown in zip(reader.items, task.as_given(reader.items), strict=True)}
    cold, none = list[Any](), list[Any]()
    made: dict[str, list[Any]] = {name: [] for name in ("user_id", "item_id", "score", "rank", "cold")}
    signature = task.served()["recommend"]
    for row, answer in GraphPredictor(signature, signature.columns).predict_valid(table, reasons):
        items = answer["items"][answer["items"] != b""].tolist()
        cold += [names[row]] if answer["cold"] else []
        none += [] if items else [names[row]]
        made["user_id"] += [names[row]] * len(items)
        made["item_id"] += [ids[item] for item in items]
        made["score"] += answer["scores"][: len(items)].tolist()
        made["rank"] += range(1, len(items) + 1)
        made["cold"] += [bool(answer["cold"])] * len(items)
    if len(reasons) == len(table):
        raise DataError(reasons[0])
    for remark in (
        *table.remarks,
        *report_skipped(reasons, len(table), "users", how.strict),
        *_counted(cold, len(table), "are unknown: the most popular items are recommended"),
        *_counted(none, len(table), "get no recommendations: they have interacted with all items"),
    ):
        logger.warning(f"{table.source}: {remark}")
    return pandas.DataFrame(made)


def _as_table(users: Any) -> Any:
    """A list, an array or a Series of ids as a table; anything else as it is."""
    listed = isinstance(users, (list, np.ndarray)) or type(users).__name__ == "Series"
    if not listed or (isinstance(users, list) and users and isinstance(users[0], Mapping)):
        return users
    return {"user_id": as_sequence(users, "user_id")}


def _counted(users: Sequence[Any], total: int, what: str) -> list[str]:
    few = ", ".join(repr(str(user)) for user in users[:SHOWN]) + (", ..." if users[SHOWN:] else "")
    return [f"{len(users)} of {total} users {what}: {few}"] if users else []
