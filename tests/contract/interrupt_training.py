"""Interruption of training runs."""

import keras


class InterruptTraining(keras.callbacks.Callback):
    """Interrupt training before a step, by its number, is done and before its checkpoint is written."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
