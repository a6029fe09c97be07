"""Checkpoints on disk: each is there whole or not at all, and a broken one gives way to the one before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.durable import PARTIAL_SUFFIX, write_atomic
from dlkit.errors import DlkitError, write_error
from dlkit.log import logger
from dlkit.options import option

_ARRAY_NAMES = "arrays"  # in a checkpoint's state, on disk: the names of all arrays


@dataclass
class Checkpoint:
    """All that a run needs to go on as if it had never stopped.

    Attributes:
        state: what is no array: step, history, early stopping, fingerprint of the data, hparams.
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
        state = {**checkpoint.state, _ARRAY_NAMES: sorted(checkpoint.arrays)}
        arrays = {**checkpoint.arrays, "state": np.frombuffer(json.dumps(state).encode(), np.uint8)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, lambda file: np.savez(file, allow_pickle=False, **arrays))
        except OSError as error:
            raise write_error(path, error) from error
        later = [old for old in self._paths() if old > path]
        for old in [*later, *self._paths()[len(later) + self._keep :], *self._partial()]:
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
                reasons.append(f"{path} is corrupt: {error}")
                continue
            for reason in reasons:
                logger.warning(f"{reason}. Resuming from {path.name}, the previous one.")
            return checkpoint
        if paths:
            raise DlkitError(
                f"no checkpoint can be read. {'. '.join(reasons)}. Start over with {option('overwrite', True)}."
            )
        return None

    def clear(self) -> None:
        """Removes all of them."""
        for old in [*self._paths(), *self._partial()]:
            old.unlink(missing_ok=True)

    def _partial(self) -> list[Path]:
        """What killed runs have left: while this one holds the folder's lock, nobody else writes there."""
        return list(self.folder.glob(f"step-*{PARTIAL_SUFFIX}"))

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.npz"), reverse=True)


def _read(path: Path) -> Checkpoint:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}  # each is compared with its checksum
    state = json.loads(arrays.pop("state").tobytes())
    names = state.pop(_ARRAY_NAMES, None)  # which those of dlkit 0.1 had not: the list of a zip file has no checksum
    if names is not None and names != sorted(arrays):
        wrong = ", ".join(sorted(set(names) ^ set(arrays))[:3])
        raise ValueError(f"its arrays differ from those written: {wrong}")
    return Checkpoint(state, arrays)
