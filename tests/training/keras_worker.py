"""Plain Keras, repaired in all ways, as one of several workers: `python keras_worker.py FOLDER`."""

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.tensorflow import trainer as keras_trainer

from dlkit.training import keras_repair


def train(strategy):
    """What `fit`, `evaluate` and `predict` of a small Keras model give."""
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    rows = tf.data.Dataset.from_tensor_slices((x, x.sum(axis=1, keepdims=True))).batch(8)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        inputs = keras.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        model.compile("sgd", "mse", metrics=["mae"])
    batches = []
    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(float(logs["loss"])))
    history = model.fit(rows, epochs=2, shuffle=False, verbose=0, callbacks=[look]).history
    history["loss of batches"] = batches
    metrics = model.evaluate(rows, return_dict=True, verbose=0)
    return {"history": history, "metrics": metrics, "answers": model.predict(rows, verbose=0).ravel().tolist()}


def attempt(strategy):
    """What `train` gives, or what kept it from it."""
    try:
        return train(strategy)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def main(folder: Path) -> None:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    seen = {"nothing": attempt(strategy)}
    keras_repair.repair_keras()
    keras_trainer.reduce_per_replica = keras_repair._reduce
    seen["building"] = attempt(strategy)
    keras_repair.repair_keras()
    keras_trainer.TensorFlowTrainer._maybe_symbolic_build = keras_repair._symbolic_build
    seen["metrics"] = attempt(strategy)
    keras_repair.repair_keras()
    seen["both"] = attempt(strategy)
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    (folder / f"{index}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
