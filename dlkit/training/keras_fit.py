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
    last_step: int,
    batch_size: int,
    validation_split: float,
    verbose: Any,
    validation_data: Any = None,
    validation_steps: int | None = None,
) -> None:
    """Call Keras's `fit` once, from the step of the checkpoint on.

    Its arguments are those of a run that was never stopped, and the callbacks are a plain list: trackers that patch
    `fit` add one of their own to it, and see a resumed run as the same run. `steps` is the number of steps of an epoch,
    `last_step` that of the run: `checkpoints` ends an epoch that is part of one. `batch_size` and `validation_split`
    are passed only for trackers: Keras uses neither with batches and validation data.
    """
    epoch, done = divmod(checkpoints.step, steps)
    epochs = -(-last_step // steps)
    if checkpoints.step > last_step and done:
        epochs = epoch + 1  # an interrupted epoch is completed even if fewer steps are requested now
    # If nothing is left to train, early stopping still restores the best weights.
    if checkpoints.step == last_step or checkpoints.stopped or epoch >= epochs:
        together = keras.callbacks.CallbackList(list(callbacks), model=trainer)
        together.on_train_begin()
        together.on_train_end()
        return
    trainer.begin_at(epoch, done)
    trainer.fit(
        batches_from(epoch * steps + done),
        epochs=epochs,
        batch_size=batch_size,
        steps_per_epoch=steps,
        shuffle=False,  # the batches come in their order already
        callbacks=list(callbacks),
        verbose=verbose,
        validation_split=validation_split if validation_data is not None else 0.0,
        validation_data=validation_data,
        validation_steps=validation_steps,
    )
