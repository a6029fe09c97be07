"""Answers to a whole source, written as they come: in bounded memory, and after a kill from where they were."""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dlkit.bulk.digests import count_rows, digest_data, digest_model, existing_folder
from dlkit.bulk.files import OutputFiles, RunState
from dlkit.bulk.formats import JsonLines, as_json, format_of
from dlkit.data.read_options import ReadOptions
from dlkit.data.record_chunks import Chunk
from dlkit.durable import PARTIAL_SUFFIX, hold_lock
from dlkit.errors import DataError, DlkitError
from dlkit.graph_predictor import BATCH_SIZE, GraphPredictor
from dlkit.log import logger
from dlkit.options import option
from dlkit.prediction_inputs import prediction_chunks, source_names
from dlkit.progress import progress as shown
from dlkit.progress import quiet
from dlkit.rows import Rows
from dlkit.version import __version__

if TYPE_CHECKING:
    from dlkit.task import Task

_COMMIT = 1.0  # seconds between two points from which a killed run goes on
_AHEAD = 4  # batches that are read before the graph wants them, and that wait to be written
_SWITCH = 0.0005  # seconds after which a thread of Python lets another one run: the graph is not to wait for them
_NAMED = 10  # bad rows that are told at the end


@dataclass
class Batch:
    """Rows that the graph answers together: the source's own, in its order, less those that cannot be read."""

    part: Chunk
    rows: Rows
    start: int
    count: int
    raw: list[dict[str, Any]] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)  # by the row's place among the `count`


def predict_to(
    task: Task, data: Any, output: Path, how: ReadOptions, *, keep: Sequence[str], overwrite: bool, verbose: bool
) -> dict[str, Any]:
    """What `Task.predict_to` does."""
    data = task.rows.stored(task) if data is None else data
    form, folder = format_of(output), existing_folder(data)
    own = task.prediction_writer is not None
    if form is None and not (folder and (own or not output.suffix)):
        raise DlkitError(f"the output must end in .csv, .jsonl or .parquet. Received: {output}.")
    try:
        with hold_lock(output.with_name(f".{output.name}.lock")):
            if form is None and own and folder:
                with quiet(not verbose), shown("answering", lambda: count_rows(str(folder))) as told:
                    return _by_task(task, folder, output, how, overwrite, told, verbose)
            parts: Iterable[Chunk] = prediction_chunks(task, data, how, keep)
            if source_names(data) is None:
                parts = list(parts)
            made_of = {
                "data": digest_data(data, parts),
                "model": digest_model(task),
                "options": f"{output.suffix} {sorted(keep)} {how} {BATCH_SIZE} {__version__}",
            }
            with quiet(not verbose), shown("answering", lambda: count_rows(data)) as told:
                return _write(task, parts, OutputFiles(output), form or JsonLines(), made_of, overwrite, told, verbose)
    except OSError as error:
        raise DlkitError(f"cannot write {output}: {error.strerror or error}. Choose another location.") from error


def _write(
    task: Task,
    parts: Iterable[Chunk],
    files: OutputFiles,
    form: JsonLines,
    made_of: dict[str, str],
    overwrite: bool,
    told: Callable[[int], None],
    verbose: bool,
) -> dict[str, Any]:
    progress = files.begun(made_of, overwrite)
    if not progress.finished:
        if progress.rows and verbose:
            logger.warning(f"resuming after row {progress.rows} of {files.partial}")
        with _Growing(task, files, form, progress) as growing:
            for made in _answered(task, parts, progress.rows, told, verbose):
                growing.add(*made)
    first = progress.reasons[0] if progress.reasons else ""
    if not progress.predicted:
        files.drop()
        if not progress.rows:
            raise DataError("the data has no rows.")
        raise DataError(f"none of the {progress.rows} rows could be used. The first: {first}")
    files.finish(form, progress)
    return _told(progress, files.output, files.bad)


def _told(progress: RunState, output: Path, bad: Path | None) -> dict[str, Any]:
    """What a run has done."""
    return {
        "rows": progress.rows,
        "predicted": progress.predicted,
        "bad": progress.bad,
        "output": output,
        "bad_output": bad if progress.bad else None,
        "reasons": progress.reasons,
    }


class _Growing:
    """The files that grow. Rows are written in a thread of their own, in order, while the graph answers the next."""

    def __init__(self, task: Task, files: OutputFiles, form: JsonLines, progress: RunState):
        self.task, self.files, self.form, self.progress = task, files, form, progress
        self._pool = ThreadPoolExecutor(1)
        self._waiting: collections.deque[Future[None]] = collections.deque()
        self._committed = time.monotonic()
        self._renamed = list[str]()

    def __enter__(self) -> _Growing:
        self._answers = _opened(self.files.partial, self.progress.size)
        self._bad = _opened(self.files.bad_partial, self.progress.bad_size)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._pool.shutdown()
        try:
            if not any(done.exception() for done in self._waiting):
                self._commit()  # also of what an error has stopped: the same again goes on from there
        finally:
            self._answers.close()
            self._bad.close()
        if kind is None:
            self._first_error(0)
        elif not self.progress.rows:
            self.files.drop()

    def add(self, batch: Batch, answers: dict[str, list], reasons: dict[int, str]) -> None:
        """Takes the answers to a batch: those to its rows that have one, and why the others have none."""
        self._waiting.append(self._pool.submit(self._written, batch, answers, reasons))
        self._first_error(_AHEAD)

    def _first_error(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting[0].result()
            self._waiting.popleft()

    def _written(self, batch: Batch, answers: dict[str, list], reasons: dict[int, str]) -> None:
        progress = self.progress
        presented = self.task.present_rows(answers)
        records, bad = self._records(batch, iter(presented), reasons)
        if records:
            columns = list(records[0])
            if not progress.size:
                self._answers.write(self.form.header(columns))
            self._answers.write(self.form.lines(records, columns))
        self._bad.write("".join(f"{as_json(line)}\n" for line in bad).encode())
        progress.rows += batch.count
        progress.predicted += len(presented)
        progress.size, progress.bad_size = self._answers.tell(), self._bad.tell()
        room = max(0, _NAMED - len(progress.reasons))
        progress.reasons += [f"{line['location']}: {line['reason']}" for line in bad[:room]]
        if time.monotonic() - self._committed > _COMMIT:
            self._commit()

    def _records(
        self, batch: Batch, presented: Iterator[dict[str, Any]], reasons: dict[int, str]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows of the table of answers, and of the side file."""
        records, bad = [], []
        one = type(batch.rows).answer_rows is Rows.answer_rows
        for place in range(batch.count):
            row, reason = batch.start + place, reasons.get(place)
            lead: dict[str, Any] = {name: values[row] for name, values in batch.part.kept.items()}
            if batch.part.named:
                lead["file"] = batch.part.table.where(row)
            if reason is None:
                made = batch.rows.answer_rows(row, next(presented))
                self._name(made)
                records += [{**lead, **self._beside(lead, answer)} for answer in made]
                continue
            where = batch.part.table.where(row)
            reason = _without(where, reason)
            bad.append({"row": self.progress.rows + place + 1, "location": where, "reason": reason})
            if one and not batch.part.named:
                records.append({**lead, **self._beside(lead, self._blank(batch, row))})
        return records, bad

    def _name(self, answers: Sequence[dict[str, Any]]) -> None:
        if answers and not self.progress.names:
            self.progress.names = list(answers[0])

    def _blank(self, batch: Batch, row: int) -> dict[str, Any]:
        """The answer to a row that has none: its names are those of the first answer, or of one to a made-up row."""
        if not self.progress.names:
            from dlkit.examples import synthetic_rows

            answering = GraphPredictor(self.task.served()["serving_default"], self.task.inputs)
            self._name(self.task.present_rows(answering.predict_batch(synthetic_rows(self.task)[:1])[0]))
        return dict.fromkeys(self.progress.names)

    def _beside(self, lead: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        """An answer beside the columns that are kept: one of the same name says that it is predicted."""
        for name, value in answer.items():
            if isinstance(value, np.ndarray) and value.ndim > 1:
                raise DlkitError(
                    f"the {name} of a prediction is an image, which a table cannot hold. Give a folder of images "
                    "and an output folder."
                )
        return {f"predicted_{name}" if name in lead else name: value for name, value in answer.items()}

    def _commit(self) -> None:
        for file in (self._answers, self._bad):
            file.flush()
            os.fsync(file.fileno())
        self.files.commit(self.progress)
        self._committed = time.monotonic()


def _opened(path: Path, size: int) -> BinaryIO:
    """A file that grows from a size on: what a killed run wrote behind it is cut."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file


def _answered(
    task: Task, parts: Iterable[Chunk], skip: int, told: Callable[[int], None], verbose: bool
) -> Iterator[tuple[Batch, dict[str, list], dict[int, str]]]:
    """Batches with the answers to those of their rows that have one, and why the others have none, in order."""
    task._check_fitted()
    answering = GraphPredictor(task.served()["serving_default"], task.inputs)
    done = skip
    with _quick_switches(), _ahead(_batches(task, parts, skip, verbose)) as batches:
        for batch in batches:
            answers, reasons = (
                answering.predict_batch(batch.raw) if batch.raw else ({name: [] for name in task.answer}, {})
            )
            batch.raw = []
            good = [place for place in range(batch.count) if place not in batch.bad]
            yield batch, answers, batch.bad | {good[place]: reason for place, reason in reasons.items()}
            done += batch.count
            told(done)


def _batches(task: Task, parts: Iterable[Chunk], skip: int, verbose: bool) -> Iterator[Batch]:
    """Batches of raw rows, without those that are done: a killed run answers the same rows together as one that was
    not killed."""
    number = 0
    for part in parts:
        rows = task.rows(task, part.table)
        for remark in part.table.remarks if verbose else ():
            logger.warning(f"{part.table.source}: {remark}")
        for start in range(0, len(part.table), BATCH_SIZE):
            count = min(BATCH_SIZE, len(part.table) - start)
            number += count
            if number <= skip:
                continue
            batch = Batch(part, rows, start, count)
            for place in range(count):
                try:
                    if start + place in part.bad:
                        raise DataError(part.bad[start + place])
                    batch.raw.append(part.table.raw(start + place, task.inputs))
                except DataError as error:
                    batch.bad[place] = str(error)
            yield batch


@contextlib.contextmanager
def _ahead(made: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """What an iterator makes, made by a thread of its own, a few before they are wanted."""
    pool = ThreadPoolExecutor(1)

    def taken() -> Iterator[Batch]:
        coming = collections.deque(pool.submit(next, made, None) for _ in range(_AHEAD))
        while (batch := coming.popleft().result()) is not None:
            coming.append(pool.submit(next, made, None))
            yield batch

    try:
        yield taken()
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _quick_switches() -> Iterator[None]:
    """Python's threads take turns often: else the graph's waits for 5 ms after each batch, which may take as long."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _by_task(
    task: Task,
    folder: Path,
    output: Path,
    how: ReadOptions,
    overwrite: bool,
    told: Callable[[int], None],
    verbose: bool,
) -> dict[str, Any]:
    """Answers to a folder's files in the task's own form, which is there whole or not at all."""
    if output.exists() and not overwrite:
        raise DlkitError(f"{output} already exists. Choose another output, or set {option('overwrite', True)}.")
    progress = RunState({})
    partial = output.with_name(output.name + PARTIAL_SUFFIX)
    _remove(partial)

    def answers() -> Iterator[tuple[str, dict[str, Any]]]:
        for batch, made, reasons in _answered(task, prediction_chunks(task, str(folder), how), 0, told, verbose):
            progress.rows += batch.count
            progress.predicted += batch.count - len(reasons)
            places = {place: batch.part.table.where(batch.start + place) for place in reasons}
            named = [f"{places[place]}: {_without(places[place], reason)}" for place, reason in reasons.items()]
            progress.reasons += named[: max(0, _NAMED - len(progress.reasons))]
            good = [batch.start + place for place in range(batch.count) if place not in reasons]
            yield from zip(map(batch.part.table.where, good), task.present_rows(made), strict=True)

    assert task.prediction_writer is not None
    task.prediction_writer(answers(), folder, partial)
    if not progress.predicted:
        _remove(partial)
        raise DataError(
            f"none of the {progress.rows} files of {folder} could be used. The first: {progress.reasons[0]}"
        )
    _remove(output)
    partial.replace(output)
    return {**_told(progress, output, None), "bad_output": None}


def _without(where: str, reason: str) -> str:
    """A reason without the place, which some begin with."""
    return reason.removeprefix(where).lstrip(":, ")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
