"""Keras's `fit`, begun at any step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from dlkit.training.checkpoints import Checkpoints
from dlkit.training.trainer import Trainer


class _Callbacks(keras.callbacks.CallbackList):
    """The callbacks of one run of two calls of Keras's `fit`: the rest of an interrupted epoch, and the epochs after.

    Args:
        callbacks: as in `fit`.
        skipped: batches of the interrupted epoch that were done before.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], skipped: int, **params: Any):
        super().__init__(list(callbacks), **params)
        self.skipped = skipped
        self._begun = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_begin(batch + self.skipped, logs)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_end(batch + self.skipped, logs)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Waits for `end`: Keras calls this after each `fit`."""

    def end(self) -> None:
        super().on_train_end()


def fit_from_checkpoint(
    trainer: Trainer,
    batches_from: Callable[[int], Any],
    checkpoints: Checkpoints,
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    steps: int,
    epochs: int,
    verbose: Any,
    validation_data: Any = None,
    validation_steps: int | None = None,
) -> None:
    """Keras's `fit` from the step of the checkpoint on."""
    epoch, done = divmod(checkpoints.step, steps)
    if checkpoints.stopped:
        epoch, done = epochs, 0
    together = _Callbacks(
        callbacks,
        done,
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=steps,
        model=trainer,
    )

    def fit(first: int, last: int, skipped: int) -> None:
        together.skipped = skipped
        trainer.fit(
            batches_from(first * steps + skipped),
            epochs=last,
            initial_epoch=first,
            steps_per_epoch=steps - skipped,
            shuffle=False,  # the batches come in their order already
            callbacks=together,
            verbose=verbose,
            validation_data=validation_data,
            validation_steps=validation_steps,
        )

    trainer.stop_training = False
    if done:
        fit(epoch, epoch + 1, done)
        epoch += 1
    if epoch < epochs and not trainer.stop_training:
        fit(epoch, epochs, 0)
    elif not done:
        together.on_train_begin()  # nothing is left to train: early stopping still gives its best weights
    together.end()
