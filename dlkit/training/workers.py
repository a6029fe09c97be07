"""What the workers of a run must know of one another: that they are about to do the same, and that one is gone."""

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
def naming_lost_workers(place: Distribution) -> Iterator[None]:
    """Inside, what TensorFlow says when another worker is gone becomes a LostWorkerError."""
    try:
        yield
    except tf.errors.OpError as error:
        if place.workers == 1 or not type(error).__name__.startswith(LOST_WORKER_ERRORS):
            raise
        raise LostWorkerError(
            f"worker {place.worker} of {place.workers} lost another worker and cannot continue: "
            f"{graph_error_message(error)}. Start all of them again with {option('resume', True)}."
        ) from error


def check_agreement(place: Distribution, facts: Mapping[str, Any]) -> None:
    """Waits for all workers, and refuses where they are not about to do the same.

    Args:
        place: where the run trains.
        facts: what must be equal in all of them, as JSON knows it, by name. The code is compared too.

    Raises:
        DlkitError: something differs: says what, in which worker.
    """
    if place.workers == 1:
        return
    text = json.dumps({**_code_versions(), **facts}, sort_keys=True, default=str).encode()
    marks = _gather(place, np.array([len(text), int(hashlib.sha256(text).hexdigest()[:15], 16)], np.int64))
    if (marks == marks[0]).all():
        return
    padded = np.frombuffer(text.ljust(int(marks[:, 0].max())), np.uint8).astype(np.int64)
    told = [json.loads(bytes(row.astype(np.uint8))) for row in _gather(place, padded)]
    names = [name for name in dict.fromkeys(key for one in told for key in one) if _differ(told, name)]
    lines = [f"{name}: {_by_worker(told, name)}" for name in names]
    raise DlkitError(
        f"the workers have different settings. {'; '.join(lines)}. Start all of them with the same command, data "
        "and code."
    )


def from_chief(place: Distribution, values: Sequence[float]) -> list[float]:
    """What the chief has, in all workers: (n,) numbers of which the others' own do not count."""
    return list(values) if place.workers == 1 else _gather(place, np.array(values, np.float64))[0].tolist()


def _code_versions() -> dict[str, str]:
    """What computes: versions, and a digest of dlkit's own sources."""
    digest, folder = hashlib.sha256(), Path(__file__).parents[1]
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.relative_to(folder).as_posix().encode() + source.read_bytes())
    return {
        "dlkit": f"{__version__} ({digest.hexdigest()[:8]})",
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
    }


def _gather(place: Distribution, own: np.ndarray) -> np.ndarray:
    """(workers, n): what each worker has, (n,) int64."""
    rows = place.strategy.gather(tf.constant(own[np.newaxis]), axis=0).numpy()
    return rows[:: len(rows) // place.workers]  # a worker of several devices tells it for each


def _differ(told: list[dict[str, Any]], name: str) -> bool:
    return any(one.get(name) != told[0].get(name) for one in told)


def _by_worker(told: list[dict[str, Any]], name: str) -> str:
    return ", ".join(f"{one.get(name)!r} in worker {number}" for number, one in enumerate(told))
