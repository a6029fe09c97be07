"""Prediction for a whole source in bounded memory, written as it is computed and resumable after an interruption."""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from dlkit.progress import progress as show_progress
from dlkit.progress import quiet
from dlkit.rows import Rows
from dlkit.version import __version__
from dlkit.vision.png import encode_image

if TYPE_CHECKING:
    from dlkit.task import Task

_COMMIT_SECONDS = 1.0  # seconds between two commits, from which an interrupted run resumes
_CONCURRENT = 3  # batches that the graph predicts at once: while Python holds up one, the processors compute the other
_PREFETCHED = 8  # batches that are read ahead
_WRITTEN_TOGETHER = 32  # batches: writing each on its own would cost about as much as the graph
_PENDING = 2  # groups of batches that may wait to be written
_SWITCH_SECONDS = 0.0005  # switch interval of Python's threads, in seconds, so that the graph does not wait for them
_MAX_REASONS = 10  # maximum number of bad rows in the summary


@dataclass
class Batch:
    """Rows that are predicted together: rows of the source, in order, without those that cannot be read."""

    chunk: Chunk
    rows: Rows
    start: int
    count: int
    ends_group: bool
    raw: list[dict[str, Any]] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)  # by the row's place among the `count`


def predict_to(
    task: Task,
    data: Any,
    output: Path,
    how: ReadOptions,
    *,
    keep_columns: Sequence[str],
    overwrite: bool,
    verbose: bool,
) -> dict[str, Any]:
    """Implement `Task.predict_to`."""
    data = task.rows.stored(task) if data is None else data
    output_format, folder = format_of(output), existing_folder(data)
    has_writer = task.prediction_writer is not None
    if output_format is None and not (folder and (has_writer or not output.suffix)):
        raise DlkitError(f"the output must end in .csv, .jsonl or .parquet. Received: {output}.")
    try:
        with hold_lock(output.with_name(f".{output.name}.lock")):
            if output_format is None and has_writer and folder:
                with quiet(not verbose), show_progress("predicting", lambda: count_rows(str(folder))) as update:
                    return _write_with_task(task, folder, output, how, overwrite, update, verbose)
            chunks: Iterable[Chunk] = prediction_chunks(task, data, how, keep_columns)
            if source_names(data) is None:
                chunks = list(chunks)
            digests = {
                "data": digest_data(data, chunks),
                "model": digest_model(task),
                "options": f"{output.suffix} {sorted(keep_columns)} {how} {BATCH_SIZE} {__version__}",
            }
            with quiet(not verbose), show_progress("predicting", lambda: count_rows(data)) as update:
                return _write(
                    task, chunks, OutputFiles(output), output_format or JsonLines(), digests, overwrite, update, verbose
                )
    except OSError as error:
        raise DlkitError(f"cannot write {output}: {error.strerror or error}. Choose another location.") from error


def _write(
    task: Task,
    chunks: Iterable[Chunk],
    files: OutputFiles,
    output_format: JsonLines,
    digests: dict[str, str],
    overwrite: bool,
    update: Callable[[int], None],
    verbose: bool,
) -> dict[str, Any]:
    progress = files.begin(digests, overwrite)
    if not progress.finished:
        if progress.rows and verbose:
            logger.warning(f"resuming after row {progress.rows} of {files.partial}")
        with _OutputWriter(task, files, output_format, progress) as writer:
            for predicted in _predict_batches(task, chunks, progress.rows, update, verbose):
                writer.add(predicted)
    first = progress.reasons[0] if progress.reasons else ""
    if not progress.predicted:
        files.discard()
        if not progress.rows:
            raise DataError("the data has no rows.")
        raise DataError(f"none of the {progress.rows} rows could be used. The first: {first}")
    files.finish(output_format, progress)
    return _summarize(progress, files.output, files.bad)


def _summarize(progress: RunState, output: Path, bad: Path | None) -> dict[str, Any]:
    """Return the summary of a run."""
    return {
        "rows": progress.rows,
        "predicted": progress.predicted,
        "bad": progress.bad,
        "output": output,
        "bad_output": bad if progress.bad else None,
        "reasons": progress.reasons,
    }


Predicted = tuple[Batch, Mapping[str, Sequence[Any]], dict[int, str]]  # predictions; reasons why other rows have none


class _OutputWriter:
    """Appends to the output files. A thread of its own writes rows in order, while the graph predicts the next ones.

    Batches are written in groups, which begin at the same rows in a resumed run as in an uninterrupted one.
    """

    def __init__(self, task: Task, files: OutputFiles, output_format: JsonLines, progress: RunState):
        self.task, self.files, self.output_format, self.progress = task, files, output_format, progress
        self._pool = ThreadPoolExecutor(1)
        self._group: list[Predicted] = []
        self._pending: collections.deque[Future[None]] = collections.deque()
        self._last_commit = time.monotonic()

    def __enter__(self) -> _OutputWriter:
        self._predictions_file = _open_at(self.files.partial, self.progress.size)
        self._bad_file = _open_at(self.files.bad_partial, self.progress.bad_size)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self._submit_group()
        self._pool.shutdown()
        try:
            if not any(done.exception() for done in self._pending):
                self._commit()  # also of what an error has stopped: the same again goes on from there
        finally:
            self._predictions_file.close()
            self._bad_file.close()
        if kind is None:
            self._raise_first_error(0)
        elif not self.progress.rows:
            self.files.discard()

    def add(self, predicted: Predicted) -> None:
        """Add the predictions for a batch, and the reasons why some of its rows have none."""
        self._group.append(predicted)
        if predicted[0].ends_group:
            self._submit_group()

    def _submit_group(self) -> None:
        if self._group:
            self._pending.append(self._pool.submit(self._write_group, self._group))
            self._group = []
        self._raise_first_error(_PENDING)

    def _raise_first_error(self, max_waiting: int) -> None:
        while len(self._pending) > max_waiting:
            self._pending[0].result()
            self._pending.popleft()

    def _write_group(self, group: list[Predicted]) -> None:
        progress, chunk, rows = self.progress, group[0][0].chunk, group[0][0].rows
        keeps_bad_rows = type(rows).answer_rows is Rows.answer_rows and not chunk.named  # with an empty prediction
        records, source_rows, bad = list[dict[str, Any]](), list[int](), list[dict[str, Any]]()
        for batch, answers, reasons in group:
            presented = iter(self.task.present_rows(answers))
            for position in range(batch.count):
                row, reason = batch.start + position, reasons.get(position)
                if reason is None:
                    made = rows.answer_rows(row, next(presented))
                    self._set_names(made)
                else:
                    where = chunk.table.where(row)
                    reason = _strip_location(where, reason)
                    bad.append({"row": progress.rows + position + 1, "location": where, "reason": reason})
                    made = [self._empty_prediction()] if keeps_bad_rows else []
                records += made
                source_rows += [row] * len(made)
            progress.rows += batch.count
            progress.predicted += batch.count - len(reasons)
        if records:
            columns = self._columns(chunk, records, source_rows)
            if not progress.size:
                self._predictions_file.write(self.output_format.encode_header(list(columns)))
            self._predictions_file.write(self.output_format.encode_rows(columns))
        self._bad_file.write("".join(f"{as_json(line)}\n" for line in bad).encode())
        progress.size, progress.bad_size = self._predictions_file.tell(), self._bad_file.tell()
        room = max(0, _MAX_REASONS - len(progress.reasons))
        progress.reasons += [f"{line['location']}: {line['reason']}" for line in bad[:room]]
        if time.monotonic() - self._last_commit > _COMMIT_SECONDS:
            self._commit()

    def _columns(
        self, chunk: Chunk, records: Sequence[dict[str, Any]], source_rows: Sequence[int]
    ) -> dict[str, list[Any]]:
        """Return predictions by column next to the copied ones; names in both get the prefix `predicted_`."""
        columns = {name: [values[row] for row in source_rows] for name, values in chunk.kept.items()}
        if chunk.named:
            columns["file"] = [chunk.table.where(row) for row in source_rows]
        copied = set(columns)
        for name in records[0]:
            values = [record[name] for record in records]
            if np.ndarray in {*map(type, values)} and any(np.ndim(value) > 1 for value in values):
                if self.task.prediction_writer is not None:
                    raise DlkitError(
                        f"the {name} of a prediction is an image, which a table cannot hold. Give a folder of images "
                        "and an output folder."
                    )
                values = [value if value is None else encode_image(value) for value in values]
            columns[f"predicted_{name}" if name in copied else name] = values
        return columns

    def _set_names(self, answers: Sequence[dict[str, Any]]) -> None:
        if answers and not self.progress.names:
            self.progress.names = list(answers[0])

    def _empty_prediction(self) -> dict[str, Any]:
        """Return an empty prediction, with the names of the first prediction or of one for a synthetic row."""
        if not self.progress.names:
            from dlkit.examples import synthetic_rows

            predictor = GraphPredictor(self.task.served()["serving_default"], self.task.inputs)
            self._set_names(self.task.present_rows(predictor.predict_batch(synthetic_rows(self.task)[:1])[0]))
        return dict.fromkeys(self.progress.names)

    def _commit(self) -> None:
        for file in (self._predictions_file, self._bad_file):
            file.flush()
            os.fsync(file.fileno())
        self.files.commit(self.progress)
        self._last_commit = time.monotonic()


def _open_at(path: Path, size: int) -> BinaryIO:
    """Open a file for appending at a size; what an interrupted run wrote beyond it is cut off."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file


def _predict_batches(
    task: Task, chunks: Iterable[Chunk], skip: int, update: Callable[[int], None], verbose: bool
) -> Iterator[Predicted]:
    """Yield batches, in order, with the predictions for their valid rows and the reasons why others have none."""
    task._check_fitted()
    predictor = GraphPredictor(task.served()["serving_default"], task.inputs)
    done = skip

    def predict(batch: Batch) -> Predicted:
        answers, reasons = predictor.predict_batch(batch.raw) if batch.raw else ({name: [] for name in task.answer}, {})
        batch.raw = []
        good = [position for position in range(batch.count) if position not in batch.bad]
        return batch, answers, batch.bad | {good[position]: reason for position, reason in reasons.items()}

    waiting = collections.deque[Future[Predicted]]()
    with _switch_threads_often(), ThreadPoolExecutor(_CONCURRENT) as pool:
        for batch in itertools.chain(_batches(task, chunks, skip, verbose), itertools.repeat(None)):
            if batch:
                waiting.append(pool.submit(predict, batch))
            elif not waiting:
                return
            if not batch or len(waiting) > _PREFETCHED:
                predicted = waiting.popleft().result()
                yield predicted
                done += predicted[0].count
                update(done)


def _batches(task: Task, chunks: Iterable[Chunk], skip: int, verbose: bool) -> Iterator[Batch]:
    """Yield batches of raw rows, without those that are done.

    A resumed run forms the same batches as an uninterrupted one.
    """
    row_number = 0
    for chunk in chunks:
        rows = task.rows(task, chunk.table)
        for remark in chunk.table.remarks if verbose else ():
            logger.warning(f"{chunk.table.source}: {remark}")
        for start in range(0, len(chunk.table), BATCH_SIZE):
            count = min(BATCH_SIZE, len(chunk.table) - start)
            row_number += count
            if row_number <= skip:
                continue
            last = start + count == len(chunk.table)
            batch = Batch(chunk, rows, start, count, last or not (start // BATCH_SIZE + 1) % _WRITTEN_TOGETHER)
            for position in range(count):
                try:
                    if start + position in chunk.bad:
                        raise DataError(chunk.bad[start + position])
                    batch.raw.append(chunk.table.raw(start + position, task.inputs))
                except DataError as error:
                    batch.bad[position] = str(error)
            yield batch


@contextlib.contextmanager
def _switch_threads_often() -> Iterator[None]:
    """Let threads take turns often.

    Otherwise, the graph waits up to 5 ms after each batch, which can be as long as the batch itself.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def _write_with_task(
    task: Task,
    folder: Path,
    output: Path,
    how: ReadOptions,
    overwrite: bool,
    update: Callable[[int], None],
    verbose: bool,
) -> dict[str, Any]:
    """Write predictions for the files of a folder in the task's own format, atomically."""
    if output.exists() and not overwrite:
        raise DlkitError(f"{output} already exists. Choose another output, or set {option('overwrite', True)}.")
    progress = RunState({})
    partial = output.with_name(output.name + PARTIAL_SUFFIX)
    _remove(partial)

    def answers() -> Iterator[tuple[str, dict[str, Any]]]:
        for batch, result, reasons in _predict_batches(
            task, prediction_chunks(task, str(folder), how), 0, update, verbose
        ):
            progress.rows += batch.count
            progress.predicted += batch.count - len(reasons)
            locations = {position: batch.chunk.table.where(batch.start + position) for position in reasons}
            named = [
                f"{locations[position]}: {_strip_location(locations[position], reason)}"
                for position, reason in reasons.items()
            ]
            progress.reasons += named[: max(0, _MAX_REASONS - len(progress.reasons))]
            good = [batch.start + position for position in range(batch.count) if position not in reasons]
            yield from zip(map(batch.chunk.table.where, good), task.present_rows(result), strict=True)

    assert task.prediction_writer is not None
    task.prediction_writer(answers(), folder, partial)
    if not progress.predicted:
        _remove(partial)
        raise DataError(
            f"none of the {progress.rows} files of {folder} could be used. The first: {progress.reasons[0]}"
        )
    _remove(output)
    partial.replace(output)
    return {**_summarize(progress, output, None), "bad_output": None}


def _strip_location(where: str, reason: str) -> str:
    """Remove the location from a reason that begins with it."""
    return reason.removeprefix(where).lstrip(":, ")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
