"""Early stopping that keeps the weights of the best epoch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from dlkit.best_epoch import ValidationResult, is_better


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the best epoch, by `is_better`, and restores them when training ends.

    If epochs tie, Keras's `EarlyStopping` keeps the first of them.

    Args:
        monitor: name of the metric that selects the best epoch, as in the history, without `val_`.
        patience: number of epochs without improvement after which training stops.
    """

    def __init__(self, monitor: str, patience: int):
        super().__init__()
        self.monitor, self.patience = monitor, patience
        self.on_train_begin()

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.wait = 0
        self.best_epoch = -1  # counted from 0; -1 for none yet
        self.best = ValidationResult(np.nan, np.nan)
        self.best_weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        found = logs or {}
        if f"val_{self.monitor}" not in found:  # not measured in this epoch
            return
        now = ValidationResult(float(found[f"val_{self.monitor}"]), float(found["val_loss"]))
        self.wait = epoch - self.best_epoch
        if self.best_epoch < 0 or is_better(self.monitor, now, self.best):
            self.wait, self.best, self.best_epoch = 0, now, epoch
            with self.model.averaged():
                self.best_weights = self.model.get_weights()
        elif self.wait >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict | None = None) -> None:
        self.model.keep_averages()  # first: the best weights are averages already
        if self.best_weights:
            self.model.set_weights(self.best_weights)

    def state(self) -> dict[str, float]:
        """Return the state except the weights."""
        return {
            "wait": float(self.wait),
            "best": self.best.metric,
            "best_loss": self.best.loss,
            "best_epoch": float(self.best_epoch),
        }

    def restore(self, state: dict[str, Any], weights: list[np.ndarray]) -> None:
        """Restore what `state` returned, and the best weights."""
        self.wait, self.best_epoch = int(state["wait"]), int(state["best_epoch"])
        self.best = ValidationResult(state["best"], state["best_loss"])
        self.best_weights = weights
