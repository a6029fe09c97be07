"""Rows of a source as a task uses them: how they are cleaned, split, cut into windows and checked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, Unpack

from dlkit.audio.columns import Audio
from dlkit.audio.inspect_audio import inspect_audio
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


class Encoded(NamedTuple):
    """Encoded rows.

    Attributes:
        rows: (tensors, targets), as `Task.encode` gives them, with one entry for each row.
        source_rows: the raw row that each is of.
        weights: (rows,) training weights, or None.
        lengths: (rows,) lengths for bucketing, or None.
    """

    rows: tuple[Any, Any]
    source_rows: Sequence[int]
    weights: Any = None
    lengths: Any = None


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
        by_record: whether each record of a table is a row. Such tables are read in chunks for predictions; others,
            whose rows consist of several records, are read into memory.
        prediction_files: what writes the rows of `with_errors` in a form of the task's own, by the suffix of the file,
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
        """Maximum number of encoded rows that `Task.encode` makes of each row.

        Where that is another number for each row, `encode` tells by `ROW` which row each is of.
        """
        return 1

    @property
    def labeled(self) -> bool:
        """Whether the rows have true values, and not only inputs."""
        return all(name in self.table.columns for name, column in self.task.target.items() if not column.optional)

    def to_plot(self, maximum: int) -> Table:
        """Return up to `maximum` rows to plot, evenly spaced; logs a warning if unlabeled rows are left out."""
        if len(self) > maximum and not self.labeled:
            logger.warning(f"{self.table.source}: {maximum} of {len(self)} are shown")
        return self.table.take(evenly_spaced(len(self), maximum))

    def with_table(self, table: Table) -> Self:
        """Return other rows of the same task."""
        return type(self)(self.task, table)

    def cleaned(self) -> Self:
        """Return the rows to train on, with remarks on those that were removed."""
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
        """Split a source into training and test data; see `dlkit.split`. Raises DataError if there are too few rows."""
        rows = task.read(data, columns=columns, data_dir=data_dir, **options)
        rest, held_out = rows._split(TEST_FRACTION)
        if not len(held_out):
            raise DataError(
                f"{rows.table.source} cannot be split: each row is the only example of its class. Give separate "
                "test data."
            )
        return rest, held_out

    def hold_out(self, fraction: float) -> tuple[Self, Self | None]:
        """Split off a fraction of the training rows for validation.

        None are for a share of 0, and where every row is the only example of a class.
        """
        if not fraction or len(self) < 2:
            return self, None
        rest, held_out = self._split(fraction)
        return self.with_table(rest), self.with_table(held_out) if len(held_out) else None

    def to_train(self) -> Self:
        """Return the rows that may be trained on, those that can be held out for validation among them.

        By default all. Called instead of `hold_out` where there is no validation: for the second training of `refit`
        and the search for a learning rate. A task whose `hold_out` leaves out further rows, such as those to test on,
        leaves them out here, too, with a remark.
        """
        return self

    def relabeled(self, names: Mapping[str, str]) -> Self:
        """Return the rows with renamed labels, for data with other label names than the training data.

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
        """Return the labels of these rows that are not known: in the order of the source if it lists them, else by
        name.

        Raises:
            DataError: they cannot be added to those known.
        """
        seen = {label for row in range(len(self)) for label in self.classes_of(row)}
        ordered = dict.fromkeys([*self.table.classes, *sorted(seen, key=lambda name: (len(name), name))])
        return [label for label in ordered if label not in known]

    def continued_from(self, model: Any) -> dict[str, Any]:
        """Return what a run that continues from a model learns anew from these training rows, by attribute of the task.

        All else that is learned, the model's vocabularies and statistics, stays. The task has its labels already.

        Raises:
            DlkitError: the model cannot go on with them.
        """
        del model
        return {}

    def to_encode(self) -> Table:
        """Return the rows to encode."""
        return self.table

    def regroup(self, chunks: Iterator[Encoded]) -> Iterable[Encoded]:
        """Make other rows of the encoded ones, in their order, such as windows of a text from its tokens.

        Called once for each encoding; by default the rows stay as they are. `windows_per_row` then bounds the number of
        rows that are made of a raw row.

        Args:
            chunks: the rows of `to_encode` as `Task.encode` gives them, some at a time.
        """
        return chunks

    def requests(self) -> Table:
        """Return rows in the form of requests; a few are saved with the model as examples for its exports."""
        return self.table

    def answer_rows(self, row: int, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a table of predictions for the prediction of one row; each key is a column.

        Args:
            row: index of the row.
            answer: to it, as `Task.present` gives it.
        """
        del row
        return [answer]

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a table of evaluated predictions for one row: true values, prediction and error.

        By default one row without an error. A task says here what the error of a row of its own is.

        Args:
            row: which of these rows.
            target: its true values by column, as the graph takes them.
            answer: to it, as `Task.present` gives it.
        """
        del row
        return [{**self.true_values(target), **answer}]

    def true_values(self, target: Mapping[str, Any]) -> dict[str, Any]:
        """Return the true values of a row as plain Python values, with the prefix `true_`."""
        return {f"true_{name}": self.task.target[name].to_request(value) for name, value in target.items()}

    @classmethod
    def stored(cls, task: Any) -> Any:
        """Return the rows that a fitted task stores itself, for predictions without inputs.

        Raises:
            DataError: it holds none; says what to give.
        """
        raise DataError(f"the task {task.task_name()} stores no rows of its own. Give the inputs to predict for.")

    @classmethod
    def synthetic(cls, task: Any, count: int) -> list[dict[str, Any]]:
        """Generate inputs that belong to no data, for exports without training rows: values for `Column.raw` by column.

        Args:
            task: fitted.
            count: how many, none like another.
        """
        return [{name: synthetic(column, number) for name, column in task.inputs.items()} for number in range(count)]

    def to_evaluate(self) -> Table:
        """Return the rows to evaluate on."""
        return self.table

    def to_score(self) -> Table:
        """Return these rows, some of those to evaluate on, as they are scored every few epochs of a run."""
        return self.table

    def epoch_picture(self, answers: dict[str, list]) -> bytes | None:
        """Return a picture, a PNG file, of the raw answers to these rows, which a run scores; None for none."""
        del answers
        return None

    def inspect(self, report: Report, validation: Self | None) -> None:
        """Add findings on these training rows and the validation rows to a report; called before the task is built."""
        report.statistics["rows"] = {"train": len(self)} | (
            {} if validation is None else {"validation": len(validation)}
        )
        tables = [self.table, *([] if validation is None else [validation.table])]
        report.remarks += dict.fromkeys(remark for table in tables for remark in table.remarks)
        for name, column in self.task.inputs.items():
            if isinstance(column, Image):
                inspect_images(report, self.table, name)
            elif isinstance(column, Audio):
                inspect_audio(report, self.table, None if validation is None else validation.table, name)
            elif isinstance(column, Text):
                inspect_texts(report, self.table, None if validation is None else validation.table, name)

    def evaluation_warnings(self) -> list[str]:
        """Return warnings on these rows that matter for the interpretation of metrics."""
        return []

    def baseline_metrics(self, targets: dict[str, list]) -> dict[str, Any]:
        """Return the metrics, on these rows, of baselines that need their inputs; `evaluate` adds them to its own."""
        del targets
        return {}

    def answer_metrics(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        """Return the metrics of served answers to these rows: those of `Task.score`. A task with metrics that need the
        inputs of the rows adds them here."""
        metrics: dict[str, Any] = self.task.score(targets, answers)
        return metrics

    def check(self) -> None:
        """Check that the task can be trained and evaluated on these rows. Raises DataError."""

    def before_training(self, store: Store) -> None:
        """Learn from these training rows what is learned from encoded ones, before a run begins.

        Called in every process, after `Task.build`, and not for a run that is resumed: what is learned becomes part of
        the stages, such as `Stages.judge`.

        Args:
            store: these rows, encoded.
        """
        del store

    def calibrate(self, store: Store) -> dict[str, Any]:
        """Calibrate the trained task on these validation rows, such as the widths of its intervals.

        Called at the end of training, in every process, if there are validation rows. What is found becomes weights of
        the postprocessing that are not trained. A refitted model, which has no validation rows, finds the result of the
        run that had some in `Task.selection_["calibration"]` while it is built.

        Args:
            store: these rows, encoded.

        Returns:
            What was found, JSON-serializable; kept as `Task.calibration_`.
        """
        return {}

    def remarks(self, store: Store) -> list[str]:
        """Return remarks on the encoded rows: what was changed in them, and how often."""
        return []

    def classes_of(self, row: int) -> Iterable[str]:
        """Return the classes that a row is an example of; none for a row that cannot be read."""
        names = set()
        for name, column in self.task.target.items():
            if isinstance(column, (Label, Labels)):
                with contextlib.suppress(DataError):
                    value = self.table.raw(row, {name: column})[name]
                    names.update(value if isinstance(value, list) else [value])
        return sorted(name.decode(errors="replace") for name in names)

    def _split(self, fraction: float) -> tuple[Table, Table]:
        """Split the rows into (rest, held out). The rest keeps an example of every class, so that each is learned."""
        rest, held_out_rows = split_rows(self.table, fraction, self.task.seed, by=self._label())
        missing = unique_class_rows(rest, held_out_rows, self.classes_of)
        if not missing:
            return self.table.take(rest), self.table.take(held_out_rows)
        kept = set(missing.values())
        examples = ", ".join(sorted(missing)[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        remark = f"{len(kept)} rows are not held out, as each is the only training example of its class: {examples}"
        table = self.table.take(sorted({*rest, *kept}))
        table.remarks = (*table.remarks, remark)
        return table, self.table.take([row for row in held_out_rows if row not in kept])

    def _label(self) -> str | None:
        """Return the column whose distribution a split preserves."""
        name, column = next(iter(self.task.target.items()))
        # Others are as good as never the same twice: there are no proportions to keep.
        return name if type(column) in (Label, Labels) else None
