"""The output file of a bulk prediction, and the files that exist beside it until it is finished."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from dlkit.bulk.formats import JsonLines
from dlkit.durable import PARTIAL_SUFFIX, fsync_path, write_atomic
from dlkit.errors import DlkitError
from dlkit.options import option

_PROGRESS = ".progress"


@dataclass
class RunState:
    """State of a bulk prediction: how much of its files is valid, and what they were computed from.

    Attributes:
        digests: digests of the data, the model and the options.
        rows: number of rows of the source that are done, predicted or bad.
        predicted: number of rows with a prediction.
        size: valid bytes of the output.
        bad_size: valid bytes of the file of bad rows.
        names: columns of a prediction; empty before the first one.
        reasons: locations and reasons of the first bad rows.
        finished: whether everything is written, and the files only have to be moved to their places.
    """

    digests: dict[str, str]
    rows: int = 0
    predicted: int = 0
    size: int = 0
    bad_size: int = 0
    names: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    finished: bool = False

    @property
    def bad(self) -> int:
        """Number of rows without a prediction."""
        return self.rows - self.predicted


class OutputFiles:
    """The output file and the files beside it until it is finished."""

    def __init__(self, output: Path):
        self.output = output
        self.partial = output.with_name(output.name + PARTIAL_SUFFIX)
        self.bad = output.with_name(f"{output.stem}.bad.jsonl")
        self.bad_partial = self.bad.with_name(self.bad.name + PARTIAL_SUFFIX)
        self.progress = output.with_name(output.name + _PROGRESS)

    def begin(self, digests: dict[str, str], overwrite: bool) -> RunState:
        """Resume an interrupted run, or start a new one.

        Raises:
            DlkitError: there is a finished output, or one that is begun of other data, another model or other options.
        """
        previous = self._read()
        if previous and previous.digests == digests and (previous.finished or overwrite or not self.output.exists()):
            sizes = {self.partial: previous.size, self.bad_partial: previous.bad_size}
            if previous.finished or all(_size(path) >= size for path, size in sizes.items()):
                return previous
        elif previous and not overwrite and not self.output.exists():
            different = [name for name, digest in digests.items() if previous.digests.get(name) != digest]
            raise DlkitError(
                f"{self.partial} holds the first {previous.rows} rows of an interrupted run, with different "
                f"{' and different '.join(different)}. Repeat it with the same ones to resume, choose another output, "
                f"or start over with {option('overwrite', True)}."
            )
        existing = next((path for path in (self.output, self.bad) if path.exists()), None)
        if existing and not overwrite:
            raise DlkitError(f"{existing} already exists. Choose another output, or set {option('overwrite', True)}.")
        for path in (self.partial, self.bad_partial, self.progress):
            path.unlink(missing_ok=True)
        return RunState(digests)

    def commit(self, progress: RunState) -> None:
        """Record the state of the run, after its files have been flushed to disk."""
        text = json.dumps(dataclasses.asdict(progress), indent=1)
        write_atomic(self.progress, lambda file: file.write(text.encode()))

    def finish(self, output_format: JsonLines, progress: RunState) -> None:
        """Move the files to their final places. If interrupted, the next call completes it."""
        progress.finished = True
        self.commit(progress)
        if self.bad_partial.exists() and progress.bad_size:
            self.bad_partial.replace(self.bad)
        elif not progress.bad_size:
            self.bad_partial.unlink(missing_ok=True)
            self.bad.unlink(missing_ok=True)  # of what is replaced
        if self.partial.exists():
            output_format.finish(self.partial, self.output)
        fsync_path(self.output.parent)
        self.progress.unlink()

    def discard(self) -> None:
        """Delete the unfinished files. The list of bad rows is kept, under its final name."""
        if _size(self.bad_partial):
            self.bad_partial.replace(self.bad)
        self.bad_partial.unlink(missing_ok=True)
        self.partial.unlink(missing_ok=True)
        self.progress.unlink(missing_ok=True)

    def _read(self) -> RunState | None:
        try:
            return RunState(**json.loads(self.progress.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
