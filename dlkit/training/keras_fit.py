"""Keras's `fit`, started at any step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from dlkit.training.checkpoints import Checkpoints
from dlkit.training.trainer import Trainer


def fit_from_checkpoint(
    trainer: Trainer,
    batches_from: Callable[[int], Any],
    checkpoints: Checkpoints,
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    steps: int,
    epochs: int,
    batch_size: int,
    validation_split: float,
    verbose: Any,
    validation_data: Any = None,
    validation_steps: int | None = None,
) -> None:
    """Call Keras's `fit` once, from the step of the checkpoint on.

    Its arguments are those of a run that was never stopped, and the callbacks are a plain list: trackers that patch
    `fit` add one of their own to it, and see a resumed run as the same run. `batch_size` and `validation_split` are
    passed only for them: Keras uses neither with batches and validation data.
    """
    epoch, done = divmod(checkpoints.step, steps)
    if checkpoints.stopped:
        epoch, done = epochs, 0
    last = (
        epoch + 1 if done and epoch >= epochs else epochs
    )  # an interrupted epoch is completed even if fewer epochs are requested now
    if epoch >= last:  # nothing is left to train, but early stopping restores the best weights
        together = keras.callbacks.CallbackList(list(callbacks), model=trainer)
        together.on_train_begin()
        together.on_train_end()
        return
    trainer.begin_at(epoch, done)
    trainer.fit(
        batches_from(epoch * steps + done),
        epochs=last,
        batch_size=batch_size,
        steps_per_epoch=steps,
        shuffle=False,  # the batches come in their order already
        callbacks=list(callbacks),
        verbose=verbose,
        validation_split=validation_split if validation_data is not None else 0.0,
        validation_data=validation_data,
        validation_steps=validation_steps,
    )
