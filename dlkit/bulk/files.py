"""An output that is begun, goes on after a kill, and is finished: what lies beside it meanwhile."""

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
    """How far a run is: what of its files counts, and what they are made of.

    Attributes:
        made_of: digests of the data, the model and the options.
        rows: of the source, answered or bad.
        answered: those that have an answer.
        size: bytes of the answers.
        bad_size: bytes of the side file of bad rows.
        names: the columns of an answer; none as long as there is no answer.
        reasons: the first bad rows.
        finished: whether all is written, and the files only have to be put in their places.
    """

    made_of: dict[str, str]
    rows: int = 0
    answered: int = 0
    size: int = 0
    bad_size: int = 0
    names: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    finished: bool = False

    @property
    def bad(self) -> int:
        """The rows without an answer."""
        return self.rows - self.answered


class OutputFiles:
    """The output and what lies beside it as long as it is not finished."""

    def __init__(self, output: Path):
        self.output = output
        self.partial = output.with_name(output.name + PARTIAL_SUFFIX)
        self.bad = output.with_name(f"{output.stem}.bad.jsonl")
        self.bad_partial = self.bad.with_name(self.bad.name + PARTIAL_SUFFIX)
        self.progress = output.with_name(output.name + _PROGRESS)

    def begun(self, made_of: dict[str, str], overwrite: bool) -> RunState:
        """The run that is to go on, or a new one.

        Raises:
            DlkitError: there is a finished output, or one that is begun of other data, another model or other options.
        """
        old = self._read()
        if old and old.made_of == made_of and (old.finished or overwrite or not self.output.exists()):
            sizes = {self.partial: old.size, self.bad_partial: old.bad_size}
            if old.finished or all(_size(path) >= size for path, size in sizes.items()):
                return old
        elif old and not overwrite and not self.output.exists():
            differs = [name for name, digest in made_of.items() if old.made_of.get(name) != digest]
            raise DlkitError(
                f"{self.partial} holds the first {old.rows} rows of an interrupted run, with different "
                f"{' and different '.join(differs)}. Repeat it with the same ones to resume, choose another output, "
                f"or start over with {option('overwrite', True)}."
            )
        there = next((path for path in (self.output, self.bad) if path.exists()), None)
        if there and not overwrite:
            raise DlkitError(f"{there} already exists. Choose another output, or set {option('overwrite', True)}.")
        for path in (self.partial, self.bad_partial, self.progress):
            path.unlink(missing_ok=True)
        return RunState(made_of)

    def commit(self, progress: RunState) -> None:
        """Says that what was written counts; it is on disk."""
        text = json.dumps(dataclasses.asdict(progress), indent=1)
        write_atomic(self.progress, lambda file: file.write(text.encode()))

    def finish(self, form: JsonLines, progress: RunState) -> None:
        """Puts the files in their places. A kill in between leaves what does so again."""
        progress.finished = True
        self.commit(progress)
        if self.bad_partial.exists() and progress.bad_size:
            self.bad_partial.replace(self.bad)
        elif not progress.bad_size:
            self.bad_partial.unlink(missing_ok=True)
            self.bad.unlink(missing_ok=True)  # of what is replaced
        if self.partial.exists():
            form.finish(self.partial, self.output)
        fsync_path(self.output.parent)
        self.progress.unlink()

    def drop(self) -> None:
        """Removes what was begun; bad rows stay, under their name."""
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
