"""The columns of a table: which are inputs, under which names, and which have another part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from dlkit.columns import Column, Id, Reason
from dlkit.errors import DataError, HparamError
from dlkit.hparams import nearest
from dlkit.options import option
from dlkit.rows import ERROR
from dlkit.tabular.columns import CELLS, Cell, Weight

HEADS = 8  # attention heads of `ft_transformer`
USUAL_TARGETS = ("target", "label", "y")  # columns to predict, if none is named


class TabularTask(Protocol):
    """The options of a task of tables, and what it learns of its columns."""

    @property
    def network(self) -> str: ...

    @property
    def width(self) -> int: ...

    @property
    def targets(self) -> str: ...

    @property
    def target_names(self) -> list[str]: ...

    @property
    def categorical(self) -> str: ...

    @property
    def ignore(self) -> str: ...

    @property
    def weight_column(self) -> str: ...

    @property
    def group_column(self) -> str: ...

    @property
    def time_column(self) -> str: ...

    kinds_: dict[str, str]
    inputs: dict[str, Column]
    target: dict[str, Column]


def check_options(task: TabularTask) -> None:
    """Raise HparamError for options that contradict one another."""
    if task.network == "ft_transformer" and task.width % HEADS:
        raise HparamError(
            f"{option('width')} must be a multiple of {HEADS}, the number of attention heads. Received: "
            f"{option('width', task.width)}."
        )
    if task.time_column and task.group_column:
        raise HparamError(
            f"rows are split by time or by group. Received: {option('time_column', task.time_column)} and "
            f"{option('group_column', task.group_column)}. Leave out one."
        )


def split_names(text: str) -> list[str]:
    """Split the names in an option, `A,B,C`."""
    return [name.strip() for name in text.split(",") if name.strip()]


def tensor_name(name: str) -> str:
    """Return a column name as the name of a tensor: ASCII letters, digits and underscores, a letter first.

    Examples:
        >>> tensor_name("hours-per-week"), tensor_name("2nd floor (m²)")
        ('hours_per_week', 'c_2nd_floor_m')
    """
    cleaned = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "column"
    return cleaned if cleaned[0].isalpha() else f"c_{cleaned}"


def renamed(column: Column, name: str, theirs: str) -> Column:
    """Return a column that is called `theirs` in sources, if that is another name."""
    return column if name == theirs else replace(column, aliases=(theirs,))


def find_targets(task: TabularTask, header: Sequence[str]) -> list[str]:
    """Return the names of the columns to predict.

    Raises:
        DataError: there is no such column, or none is named and none has a usual name.
    """
    named = split_names(task.targets)
    for name in named:
        _check_name(name, header, "targets")
    usual = [name for name in USUAL_TARGETS if name in header]
    if not named and not usual:
        raise DataError(f"name the column to predict: {option('targets', 'NAME')}. Columns found: {', '.join(header)}.")
    return named or usual[:1]


def declare_inputs(task: TabularTask, header: Sequence[str], targets: Sequence[str]) -> dict[str, Column]:
    """Return the input columns: all but the targets, the weight, the group, and those to ignore.

    Their kinds are those that the task has learned; before, they are cells of any kind.

    Raises:
        DataError: an option names a column that does not exist, two names become one, or no input is left.
    """
    for key in ("categorical", "ignore", "weight_column", "group_column", "time_column"):
        for name in split_names(getattr(task, key)):
            _check_name(name, header, key)
    others = {*targets, *split_names(task.ignore), task.weight_column, task.group_column}
    inputs: dict[str, Column] = {}
    for theirs in header:
        name = tensor_name(theirs)
        if theirs in others:
            continue
        if name in inputs:
            raise DataError(
                f"the columns {(inputs[name].aliases or (name,))[0]!r} and {theirs!r} would have the same name in "
                f"requests, {name!r}. Rename one: {option('columns', {f'{name}_2': theirs})}."
            )
        inputs[name] = renamed(CELLS.get(task.kinds_.get(name, ""), Cell)(), name, theirs)
    if not inputs:
        raise DataError(f"there is no column to predict from: {', '.join(header)} are targets, or have another part.")
    return inputs


def declare_extras(task: TabularTask) -> dict[str, Column]:
    """Return the columns that only training and splits need, by name; other data may lack them."""
    extras: dict[str, Column] = {}
    if task.weight_column:
        name = tensor_name(task.weight_column)
        extras[name] = renamed(Weight(optional=True), name, task.weight_column)
    ignored = task.time_column in split_names(task.ignore)
    for theirs in (task.group_column, task.time_column if ignored else ""):
        if theirs:
            extras[tensor_name(theirs)] = renamed(Id(optional=True), tensor_name(theirs), theirs)
    return extras


def declare_answer(task: TabularTask, answer: Mapping[str, Column]) -> dict[str, Column]:
    """Return the answer of a task, with the reason why a row cannot be read if its kinds of columns have one."""
    return {**answer, ERROR: Reason()} if "date" in task.kinds_.values() else dict(answer)


def declared_kinds(task: TabularTask, inputs: Mapping[str, Column]) -> dict[str, str]:
    """Return the kinds that the options declare, by input."""
    declared = {tensor_name(name): "category" for name in split_names(task.categorical)}
    return {name: kind for name, kind in declared.items() if name in inputs}


def _check_name(name: str, header: Sequence[str], key: str) -> None:
    if name not in header:
        raise DataError(f"{option(key)}: there is no column {name!r}. {nearest(name, header)}")


def index_of_target(task: TabularTask, name: str) -> int:
    """Return the index of a target by its name; that of the first one for "".

    Raises:
        DataError: there is no such target.
    """
    if name and name not in task.target_names:
        raise DataError(f"there is no target {name!r}. {nearest(name, task.target_names)}")
    return task.target_names.index(name) if name else 0
