"""Agreement between the workers of a run, and errors when one of them is lost."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.errors import DlkitError, LostWorkerError
from dlkit.graph_predictor import graph_error_message
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.training.strategies import Distribution
from dlkit.version import __version__

LOST_WORKER_ERRORS = (
    "Unavailable",
    "Aborted",
    "Internal",
    "DeadlineExceeded",
    "Cancelled",
    "FailedPrecondition",
    "Unknown",
)


@contextlib.contextmanager
def naming_lost_workers(distribution: Distribution) -> Iterator[None]:
    """Turn TensorFlow's errors about a lost worker into LostWorkerError, while the context is open."""
    try:
        yield
    except tf.errors.OpError as error:
        if distribution.workers == 1 or not type(error).__name__.startswith(LOST_WORKER_ERRORS):
            raise
        raise LostWorkerError(
            f"worker {distribution.worker} of {distribution.workers} lost another worker and cannot continue: "
            f"{graph_error_message(error)}. Start all of them again with {option('resume', True)}."
        ) from error


def check_agreement(distribution: Distribution, facts: Mapping[str, Any]) -> None:
    """Wait for all workers, and raise an error if their settings differ.

    Args:
        distribution: the workers of the run.
        facts: settings by name, as JSON values, that must be equal in all workers. The code is compared too.

    Raises:
        DlkitError: settings differ; the message names them and the workers.
    """
    if distribution.workers == 1:
        return
    text = json.dumps({**_code_versions(), **facts}, sort_keys=True, default=str).encode()
    marks = _gather(distribution, np.array([len(text), int(hashlib.sha256(text).hexdigest()[:15], 16)], np.int64))
    if (marks == marks[0]).all():
        return
    padded = np.frombuffer(text.ljust(int(marks[:, 0].max())), np.uint8).astype(np.int64)
    settings = [json.loads(bytes(row.astype(np.uint8))) for row in _gather(distribution, padded)]
    names = [
        name
        for name in dict.fromkeys(key for worker_settings in settings for key in worker_settings)
        if _differ(settings, name)
    ]
    lines = [f"{name}: {_by_worker(settings, name)}" for name in names]
    raise DlkitError(
        f"the workers have different settings. {'; '.join(lines)}. Start all of them with the same command, data "
        "and code."
    )


def from_chief(place: Distribution, values: Sequence[float]) -> list[float]:
    """What the chief has, in all workers: (n,) numbers of which the others' own do not count."""
    return list(values) if place.workers == 1 else _gather(place, np.array(values, np.float64))[0].tolist()


def _code_versions() -> dict[str, str]:
    """Return the versions of the libraries and a digest of dlkit's own sources."""
    digest, folder = hashlib.sha256(), Path(__file__).parents[1]
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.relative_to(folder).as_posix().encode() + source.read_bytes())
    return {
        "dlkit": f"{__version__} ({digest.hexdigest()[:8]})",
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
    }


def _gather(distribution: Distribution, own: np.ndarray) -> np.ndarray:
    """Gather an array, (n,) int64, from all workers: (workers, n)."""
    rows = distribution.strategy.gather(tf.constant(own[np.newaxis]), axis=0).numpy()
    return rows[:: len(rows) // distribution.workers]  # a worker with several devices contributes one row for each


def _differ(settings: list[dict[str, Any]], name: str) -> bool:
    return any(worker_settings.get(name) != settings[0].get(name) for worker_settings in settings)


def _by_worker(settings: list[dict[str, Any]], name: str) -> str:
    return ", ".join(
        f"{worker_settings.get(name)!r} in worker {number}" for number, worker_settings in enumerate(settings)
    )
