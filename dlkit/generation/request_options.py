"""Options of requests in Python: one value for all of them, or one for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlkit.columns import Column
from dlkit.errors import DataError, HparamError
from dlkit.hparams import nearest


def expand_options(options: Mapping[str, Any], columns: Mapping[str, Column], count: int) -> list[dict[str, Any]]:
    """Make the options of each request.

    Args:
        options: value for all requests, or list with one for each, by name.
        columns: the options that a request can have, by name. A list is one value of an option that is a list itself,
            if no element of it is a list.
        count: number of requests.

    Returns:
        A dict by name for each request.

    Raises:
        HparamError: there is no such option.
        DataError: a list does not have a value for each request.

    Examples:
        >>> from dlkit.columns import Count
        >>> expand_options({"seed": [1, 2]}, {"seed": Count()}, count=2)
        [{'seed': 1}, {'seed': 2}]
    """
    for name in options:
        if name not in columns:
            raise HparamError(f"there is no option {name!r}. {nearest(name, columns)}")
    values = {name: _expand(name, value, columns[name], count) for name, value in options.items()}
    return [{name: every[row] for name, every in values.items()} for row in range(count)]


def _expand(name: str, value: Any, column: Column, count: int) -> list[Any]:
    is_list = isinstance(value, (list, tuple))
    if is_list and column.shape:
        is_list = any(isinstance(item, (list, tuple)) for item in value)
    values = list(value) if is_list else [value] * count
    if len(values) != count:
        raise DataError(f"`{name}` must be one value, or one per text, {count}. Received: {len(values)}.")
    return values
