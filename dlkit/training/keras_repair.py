"""Two repairs of Keras, without which it cannot train on several workers (keras-team/keras#20585).

Both defects are in `keras/src/backend/tensorflow/trainer.py` and were measured on the versions below:

- `_maybe_symbolic_build` makes one batch of the replicas' parts by `strategy.reduce`. Several workers have none for it
  to reduce, and parts of different sizes cannot be added up. One replica's own part has the shapes that building needs.
- `reduce_per_replica` averages the metrics of a step over several workers with `axis=0`, but they are scalars.

Nothing is changed for one replica or under another Keras.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import trainer as keras_trainer

from dlkit.errors import DlkitError

TESTED_VERSIONS = ("3.15",)  # versions of Keras, by their first two numbers
_symbolic_build = keras_trainer.TensorFlowTrainer._maybe_symbolic_build
_reduce = keras_trainer.reduce_per_replica


def repair_keras() -> None:
    """Patch Keras so that `fit`, `evaluate` and `predict` work on several workers and with parts of different sizes.

    Raises:
        DlkitError: the patch has not been tested with this version of Keras.
    """
    version = keras.__version__.rpartition(".")[0]
    if version not in TESTED_VERSIONS:
        raise DlkitError(
            f"training with several replicas needs Keras {' or '.join(TESTED_VERSIONS)}, with which it was tested. "
            f'Found: {keras.__version__}. Install one of them: pip install "keras=={TESTED_VERSIONS[-1]}.*".'
        )
    keras_trainer.TensorFlowTrainer._maybe_symbolic_build = _symbolic_build_of_own_part
    keras_trainer.reduce_per_replica = _reduce_scalars


def undo_repair() -> None:
    """Undo the patch, for tests of Keras itself."""
    keras_trainer.TensorFlowTrainer._maybe_symbolic_build = _symbolic_build
    keras_trainer.reduce_per_replica = _reduce


def _several_workers(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and (
        strategy.extended._in_multi_worker_mode()  # as Keras asks
    )


def _symbolic_build_of_own_part(self: Any, iterator: Any = None, data_batch: Any = None) -> Any:
    if self.distribute_strategy.num_replicas_in_sync == 1 or iterator is None:
        return _symbolic_build(self, iterator, data_batch)
    batch = next(next(iter(iterator))[2])
    own = tf.nest.map_structure(lambda value: self.distribute_strategy.experimental_local_results(value)[0], batch)
    return _symbolic_build(self, None, own)


def _reduce_scalars(values: Any, strategy: tf.distribute.Strategy, reduction: str) -> Any:
    if reduction not in ("auto", "mean") or not _several_workers(strategy):
        return _reduce(values, strategy, reduction)
    together = strategy.run(lambda *scalars: tf.stack(scalars), args=tuple(tf.nest.flatten(values)))
    means = strategy.reduce("MEAN", together, axis=None)  # of all at once: each exchange costs a millisecond
    return tf.nest.pack_sequence_as(values, tf.unstack(means, num=len(tf.nest.flatten(values))))
