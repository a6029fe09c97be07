"""What the workers of a run must know of one another: that they see the same rows, and that one is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dlkit.answering import graph_message
from dlkit.errors import DataError, LostWorkerError
from dlkit.lazy import tf
from dlkit.training.store import Store
from dlkit.training.strategies import Place

LOST = ("Unavailable", "Aborted", "Internal", "DeadlineExceeded", "Cancelled", "FailedPrecondition", "Unknown")


@contextlib.contextmanager
def naming_lost_workers(place: Place) -> Iterator[None]:
    """Inside, what TensorFlow says when another worker is gone becomes a LostWorkerError."""
    try:
        yield
    except tf.errors.OpError as error:
        if place.workers == 1 or not type(error).__name__.startswith(LOST):
            raise
        raise LostWorkerError(
            f"worker {place.worker} of {place.workers} has lost another one, and cannot go on alone: "
            f"{graph_message(error)}. Start all of them again with `resume`."
        ) from error


def agree(place: Place, store: Store) -> None:
    """Waits for all workers, and refuses if they do not see the same rows."""
    if place.workers == 1:
        return
    own = tf.constant([int(store.fingerprint()[:15], 16)], tf.int64)
    seen = place.strategy.gather(own, axis=0).numpy()
    if len(set(seen)) > 1:
        others = [number for number, mark in enumerate(seen) if mark != seen[0]]
        raise DataError(
            f"the workers read different training data: {', '.join(map(str, others))} not what worker 0 reads. All "
            "must see the same files."
        )
