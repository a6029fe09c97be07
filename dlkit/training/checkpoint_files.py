"""Checkpoints on disk: each is there whole or not at all, and a broken one gives way to the one before."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.errors import DlkitError, unwritable


@dataclass
class Checkpoint:
    """All that a run needs to go on as if it had never stopped.

    Attributes:
        state: what is no array: step, history, early stopping, fingerprint of the data, knobs.
        arrays: name to array: variables of the network and the optimizer, metrics, best weights.
    """

    state: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def group(self, name: str) -> list[np.ndarray]:
        """The arrays that were added under a name, in their order."""
        count = sum(key.startswith(f"{name}/") for key in self.arrays)
        return [self.arrays[f"{name}/{number}"] for number in range(count)]


class CheckpointFiles:
    """The checkpoints of a run: npz files named by their step, checked sums inside, the newest few kept.

    Args:
        folder: where they lie.
        keep: how many to keep, at least 1.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder = folder
        self._keep = keep

    def write(self, step: int, checkpoint: Checkpoint) -> None:
        """Writes the checkpoint of a step, then removes those of later steps, which a run that went back has left, and
        those that are too many.

        Raises:
            DlkitError: the disk is full or the folder cannot be written; the ones before are untouched.
        """
        path = self.folder / f"step-{step:012d}.npz"
        partial = path.with_suffix(".partial")
        text = np.frombuffer(json.dumps(checkpoint.state).encode(), np.uint8)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **{**checkpoint.arrays, "state": text})
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _sync(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise unwritable(path, error) from error
        later = [old for old in self._paths() if old > path]
        for old in [*later, *self._paths()[len(later) + self._keep :], *self.folder.glob("*.partial")]:
            old.unlink(missing_ok=True)

    def drop_newest(self) -> None:
        """Removes the newest one, if there is one before it."""
        paths = self._paths()
        if len(paths) > 1:
            paths[0].unlink(missing_ok=True)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that can be read; None where there is no file at all.

        A broken one is named on stderr.

        Raises:
            DlkitError: there are files, and none can be read.
        """
        paths = self._paths()
        reasons = []
        for path in paths:
            try:
                checkpoint = _read(path)
            except Exception as error:  # whichever bytes are wrong, zipfile and NumPy have their own way to say so
                reasons.append(f"{path} is broken: {error}")
                continue
            for reason in reasons:
                print(f"{reason}. Going on from {path.name}, the one before.", file=sys.stderr)
            return checkpoint
        if paths:
            raise DlkitError(f"no checkpoint can be read. {'. '.join(reasons)}. Start anew with `overwrite`.")
        return None

    def clear(self) -> None:
        """Removes all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.npz"), reverse=True)


def _read(path: Path) -> Checkpoint:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}  # each is compared with its checksum
    return Checkpoint(json.loads(arrays.pop("state").tobytes()), arrays)


def _sync(folder: Path) -> None:
    """Puts a rename on disk, where the system has a way to."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
