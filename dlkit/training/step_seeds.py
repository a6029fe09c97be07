"""Seeds of random changes of a training batch: a pure function of the seed of the run and the step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

from dlkit.lazy import keras, tf


class StepSeeds(keras.random.SeedGenerator):
    """Returns a new seed at each call, derived from (seed, step, number of the call) without a variable.

    Keras's layers take their seeds from `layer.generator`; with this class in its place they keep no state.
    """

    def __init__(self, seed: int, step: int | tf.Tensor):  # Keras's own constructor would create the variable
        seed = [seed % 2**31, seed // 2**31 % 2**31]  # type: ignore[assignment]
        step = tf.cast(step, tf.int64)  # an int32 of the same value would give other numbers
        self._step_seed = tf.random.experimental.stateless_fold_in(seed, step)
        self._calls = self._streams = 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self._calls += 1
        return tf.random.experimental.stateless_fold_in(self._step_seed, self._calls)

    def uniform(self, shape: Sequence[int | tf.Tensor], low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """Draw float32 values of a shape uniformly from `low` to `high`."""
        return tf.random.stateless_uniform(shape, self.next(), low, high)

    def stream(self) -> Self:
        """Return an independent stream of seeds, so that one user's draws do not depend on another's."""
        self._streams += 1
        other = copy.copy(self)
        other._calls = 1000 * self._streams
        return other
