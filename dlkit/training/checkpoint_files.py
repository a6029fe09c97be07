"""Checkpoints on disk: written atomically; if one is corrupt, the previous one is used."""

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

_ARRAY_NAMES = "arrays"  # key of the names of all arrays, in the state on disk


@dataclass
class Checkpoint:
    """The state of a run, from which it resumes as if it had never stopped.

    Attributes:
        state: all except arrays: step, history, early stopping, fingerprint of the data, hyperparameters.
        arrays: arrays by name: variables of the network and the optimizer, metrics, best weights.
    """

    state: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def group(self, name: str) -> list[np.ndarray]:
        """Return the arrays that were stored under a name, in their order."""
        count = sum(key.startswith(f"{name}/") for key in self.arrays)
        return [self.arrays[f"{name}/{number}"] for number in range(count)]


class CheckpointFiles:
    """The checkpoints of a run: npz files named by their step, with checksums; the newest are kept.

    Args:
        folder: the folder of the checkpoints.
        keep: number of checkpoints to keep, at least 1.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder = folder
        self._keep = keep

    def write(self, step: int, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of a step, then remove outdated ones: those of later steps, left by a run that restarted
        from an earlier one, and all but the newest `keep`.

        Raises:
            DlkitError: the disk is full or the folder cannot be written; earlier checkpoints are not changed.
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
        """Remove the newest checkpoint, unless it is the only one."""
        paths = self._paths()
        if len(paths) > 1:
            paths[0].unlink(missing_ok=True)

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that can be read, or None if there are no files.

        Corrupt ones are logged as warnings.

        Raises:
            DlkitError: there are checkpoints, but none can be read.
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
        """Remove all checkpoints."""
        for old in [*self._paths(), *self._partial()]:
            old.unlink(missing_ok=True)

    def _partial(self) -> list[Path]:
        """Return the temporary files of killed runs. This run holds the folder's lock, so no other process writes them
        now."""
        return list(self.folder.glob(f"step-*{PARTIAL_SUFFIX}"))

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.npz"), reverse=True)


def _read(path: Path) -> Checkpoint:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}  # each is compared with its checksum
    state = json.loads(arrays.pop("state").tobytes())
    names = state.pop(_ARRAY_NAMES)  # compared with those found, since the list of a zip file has no checksum
    if names != sorted(arrays):
        wrong = ", ".join(sorted(set(names) ^ set(arrays))[:3])
        raise ValueError(f"its arrays differ from those written: {wrong}")
    return Checkpoint(state, arrays)
