"""Runs that are stopped in their middle."""

import keras


class Stop(keras.callbacks.Callback):
    """Stops a run before the step of this number is done, or its checkpoint written."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
