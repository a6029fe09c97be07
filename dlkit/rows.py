"""What a task knows of the rows of a source: how they are cleaned, split, cut into windows, and checked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from dlkit.columns import Image, Label, Labels, Text
from dlkit.data.read_options import ReadKeywords
from dlkit.data.split import evenly_spaced, split_rows, unique_class_rows
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.log import logger
from dlkit.report import Report
from dlkit.synthetic import synthetic
from dlkit.text.inspect_texts import inspect_texts
from dlkit.vision.inspect_images import inspect_images

if TYPE_CHECKING:
    from dlkit.training.store import Store

ROW, LENGTH = "_row", "_length"
"""Tensors beside the network's that `Task.encode` may give, each (encoded rows,) int32, and that are no part of what is
stored: the raw row that each is of, counted from the first that it was given, and by what length it is to be bucketed.
"""
ERROR = "error"
"""The answer that says why a row could not be read, "" for one that was. `Task.encode` may give it among its tensors,
(raw rows,) string: such rows are left out of training. In Python their answers are a DataError.
"""
ANY_LABEL = "*"  # in a map of labels: all others that the model does not know
TEST_FRACTION = 0.2  # the share to test on, of ordinary rows


class Rows:
    """The rows of a source, as a task uses them.

    This is the plain one, of ordinary tables. A task whose rows are more than that names a subclass as `Task.rows`,
    which overrides what differs: series are split by time and cut into windows, pairs of texts are cleaned.

    Attributes:
        task: whose rows they are. Its stages are built when `to_encode`, `requests`, `to_evaluate` and `check` are
            called.
        table: the rows.
        by_record: whether each record of a table is a row of its own. Such tables are read and answered in parts;
            others, whose rows are made of several records, are read whole.
        answer_files: what writes the rows of `with_errors` in a form of the task's own, by the suffix of the file,
            beside csv, jsonl and parquet.
    """

    by_record: bool = True
    prediction_files: ClassVar[Mapping[str, Callable[[Path, Sequence[Mapping[str, Any]]], None]]] = {}

    def __init__(self, task: Any, table: Table):
        self.task, self.table = task, table

    def __len__(self) -> int:
        return len(self.table)

    @property
    def windows_per_row(self) -> int:
        """How many encoded rows `Task.encode` makes of each, at most.

        Where that is another number for each row, `encode` tells by `ROW` which row each is of.
        """
        return 1

    @property
    def labeled(self) -> bool:
        """Whether the rows have true values, and not inputs alone."""
        return all(name in self.table.columns for name, column in self.task.target.items() if not column.optional)

    def to_plot(self, most: int) -> Table:
        """Up to so many of the rows to draw, evenly spread; of inputs alone it is said where they are not all."""
        if len(self) > most and not self.labeled:
            logger.warning(f"{self.table.source}: {most} of {len(self)} are shown")
        return self.table.take(evenly_spaced(len(self), most))

    def with_table(self, table: Table) -> Self:
        """Other rows of the same task."""
        return type(self)(self.task, table)

    def cleaned(self) -> Self:
        """The rows to train on, with remarks on the others."""
        return self

    @classmethod
    def split(
        cls,
        task: Any,
        data: Any,
        *,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> tuple[Any, Any]:
        """A source to train on and one to test on; see `dlkit.split`. Raises DataError where there are too few rows."""
        rows = task.read(data, columns=columns, data_dir=data_dir, **options)
        rest, held_out = rows._parted(TEST_FRACTION)
        if not len(held_out):
            raise DataError(
                f"{rows.table.source} cannot be split: each row is the only example of its class. Give separate "
                "test data."
            )
        return rest, held_out

    def hold_out(self, share: float) -> tuple[Self, Self | None]:
        """The training rows, and those of them that are held out to validate on.

        None are for a share of 0, and where every row is the only example of a class.
        """
        if not share or len(self) < 2:
            return self, None
        rest, held_out = self._parted(share)
        return self.with_table(rest), self.with_table(held_out) if len(held_out) else None

    def relabeled(self, names: Mapping[str, str]) -> Self:
        """The rows with other labels, for data that call things otherwise than those of training.

        Args:
            names: old name to new. The name "*" stands for all that the model does not know and that have no other.

        Raises:
            DataError: the rows have no labels, or none of a name.
        """
        kinds = {name: column for name, column in self.task.target.items() if isinstance(column, (Label, Labels))}
        if not kinds:
            raise DataError(f"{self.table.source}: a label map needs labels. This task has none.")
        known = set(getattr(self.task, "labels_", ()))
        seen: set[str] = set()

        def renamed(label: bytes) -> str:
            old = label.decode()
            seen.add(old)
            return names.get(old, old if old in known else names.get(ANY_LABEL, old))

        columns = dict(self.table.columns)
        for name, column in kinds.items():
            raw = self.table.raw_column(name, column)
            columns[name] = [[*map(renamed, row)] if isinstance(row, list) else renamed(row) for row in raw]
        classes = tuple(dict.fromkeys(renamed(name.encode()) for name in self.table.classes))
        missing = [name for name in names if name not in (*seen, ANY_LABEL)]
        if missing:
            raise DataError(
                f"{self.table.source}: the label map names {missing[0]!r}, which does not occur. Labels found: "
                f"{', '.join(sorted(seen)[:20])}."
            )
        return self.with_table(replace(self.table, columns=columns, classes=classes))

    def new_labels(self, known: Sequence[str]) -> list[str]:
        """The labels of these rows beyond those known: those that their source lists in its order, others by name.

        Raises:
            DataError: they cannot be added to those known.
        """
        seen = {label for row in range(len(self)) for label in self.classes_of(row)}
        ordered = dict.fromkeys([*self.table.classes, *sorted(seen, key=lambda name: (len(name), name))])
        return [label for label in ordered if label not in known]

    def continued_from(self, model: Any) -> dict[str, Any]:
        """What a run that goes on from a model learns anew of these training rows, by attribute of the task.

        All else that is learned, the model's vocabularies and statistics, stays. The task has its labels already.

        Raises:
            DlkitError: the model cannot go on with them.
        """
        del model
        return {}

    def to_encode(self) -> Table:
        """The rows to encode."""
        return self.table

    def requests(self) -> Table:
        """Rows such as requests bring: a few are kept with the model, to prove exports."""
        return self.table

    def answer_rows(self, row: int, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of a table of answers that the answer to one row makes: one, of which each key is a column.

        Args:
            row: which of these rows was answered.
            answer: to it, as `Task.present` gives it.
        """
        del row
        return [answer]

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of a table of evaluated answers that one row makes: its true values, its answer, and its error.

        By default one row without an error. A task says here what the error of a row of its own is.

        Args:
            row: which of these rows.
            target: its true values by column, as the graph takes them.
            answer: to it, as `Task.present` gives it.
        """
        del row
        return [{**self.true_values(target), **answer}]

    def true_values(self, target: Mapping[str, Any]) -> dict[str, Any]:
        """True values of a row in plain Python, each as `true_` and its column."""
        return {f"true_{name}": self.task.target[name].to_request(value) for name, value in target.items()}

    @classmethod
    def stored(cls, task: Any) -> Any:
        """What the task answers where it is given nothing: a source of rows that a fitted task holds itself.

        Raises:
            DataError: it holds none; says what to give.
        """
        raise DataError(f"the task {task.task_name()} stores no rows of its own. Give the inputs to predict for.")

    @classmethod
    def synthetic(cls, task: Any, count: int) -> list[dict[str, Any]]:
        """Inputs that are no rows of any data, for exports that are to hold none: values for `Column.raw` by column.

        Args:
            task: fitted.
            count: how many, none like another.
        """
        return [{name: synthetic(column, number) for name, column in task.inputs.items()} for number in range(count)]

    def to_evaluate(self) -> Table:
        """The rows to measure the task on."""
        return self.table

    def inspect(self, report: Report, validation: Self | None) -> None:
        """Adds what these training rows, and those to validate on, are like to a report; before the task is built."""
        report.statistics["rows"] = {"train": len(self)} | (
            {} if validation is None else {"validation": len(validation)}
        )
        both = [self.table, *([] if validation is None else [validation.table])]
        report.remarks += dict.fromkeys(remark for table in both for remark in table.remarks)
        for name, column in self.task.inputs.items():
            if isinstance(column, Image):
                inspect_images(report, self.table, name)
            elif isinstance(column, Text):
                inspect_texts(report, self.table, None if validation is None else validation.table, name)

    def evaluation_warnings(self) -> list[str]:
        """What a person should know of these rows before they believe the metrics on them."""
        return []

    def check(self) -> None:
        """Refuses rows that the task cannot be trained or scored on. Raises DataError."""

    def remarks(self, store: Store) -> list[str]:
        """What a person should know of the encoded rows: what had to be changed in them, and how often."""
        return []

    def classes_of(self, row: int) -> Iterable[str]:
        """The classes that a row is an example of; none for a row that cannot be read, which others refuse."""
        names = set()
        for name, column in self.task.target.items():
            if isinstance(column, (Label, Labels)):
                with contextlib.suppress(DataError):
                    value = self.table.raw(row, {name: column})[name]
                    names.update(value if isinstance(value, list) else [value])
        return sorted(name.decode(errors="replace") for name in names)

    def _parted(self, share: float) -> tuple[Table, Table]:
        """Two tables, (rest, held out). Of every class the rest has an example: without one it is never learned."""
        rest, held = split_rows(self.table, share, self.task.seed, by=self._label())
        lacking = unique_class_rows(rest, held, self.classes_of)
        if not lacking:
            return self.table.take(rest), self.table.take(held)
        kept = set(lacking.values())
        few = ", ".join(sorted(lacking)[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        remark = f"{len(kept)} rows are not held out, as each is the only training example of its class: {few}"
        table = self.table.take(sorted({*rest, *kept}))
        table.remarks = (*table.remarks, remark)
        return table, self.table.take([row for row in held if row not in kept])

    def _label(self) -> str | None:
        """The column whose values keep their proportions in a split."""
        name, column = next(iter(self.task.target.items()))
        # Others are as good as never the same twice: there are no proportions to keep.
        return name if type(column) in (Label, Labels) else None
