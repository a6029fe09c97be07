"""Fits a task on part of its sample, under any strategy: in the process of a test, or as one of several workers.

python worker.py TASK FOLDER: each worker writes what it saw under FOLDER/<its number>.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from task_contracts import load_contract, small_hparams

from dlkit.data.read import read
from dlkit.serving import export
from dlkit.serving.prove import prove
from dlkit.tasks import find_task
from dlkit.training.encode import encode_table

ROWS = 102  # batches of 25, 26, 25 and 26 rows: parts of 12 and 13, 13 and 13, and so on
HELD_OUT = 33  # rows: a batch of even and one of uneven parts
EPOCHS = 4  # of which early stopping leaves 2


def small_task(name, **hparams):
    """A task with all hparams that change how gradients come together, and nothing random."""
    task_class = find_task(name)
    usual = {"dropout": 0.0, "class_weights": "balanced", "clip_norm": 0.05, "weight_decay": 1e-3}
    known = {field.name for field in dataclasses.fields(task_class)}
    usual = {hparam: value for hparam, value in usual.items() if hparam in known}
    return task_class(
        **{
            **usual,
            **small_hparams(name),
            **load_contract(name).STABLE_HPARAMS,
            "epochs": EPOCHS,
            "patience": 1,
            "monitor": "loss",
            "batch_size": 32,
            **hparams,
        }
    )


def fit(task, strategy, rows=ROWS, **options):
    """Trains a task. Gives its history, its weights at the end of training and at last, and what callbacks saw."""
    break_validation, inside = BreakValidation(), EvaluateInside(task)
    train, held_out = sample(task, "train", rows), sample(task, "test", HELD_OUT)
    history = task.fit(train, held_out, strategy=strategy, callbacks=[break_validation, inside], verbose=0, **options)
    kept = weights(task.stages_.network)
    return {"history": history, "weights": kept, "trained": break_validation.trained, "inside": inside.seen}


def sample(task, part, rows):
    """The first rows of a part of the sample, again where it has fewer: the values by column."""
    table = read(task.samples()[part], {**task.inputs, **task.target})
    table = table.take([row % len(table) for row in range(rows)])
    return {name: table.columns[name] for name in table.columns}


def weights(model):
    """The weights of a model, without the states of its random generators."""
    return [variable.numpy() for variable in model.variables if variable.name != "seed_generator_state"]


class BreakValidation(keras.callbacks.Callback):
    """From the second epoch on, no validation metric is a number, so none is better. Keeps the weights of before."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.trained = epoch, None

    def on_test_begin(self, logs=None):
        if self.trained is None:
            self.trained = weights(self.model)
        if self.epoch:
            for variable in self.model.trainable_variables:
                variable.assign(variable * np.nan)


class EvaluateInside(keras.callbacks.Callback):
    """Evaluates and predicts after the first epoch, as a user's callback may; keeps what came out."""

    def __init__(self, task):
        super().__init__()
        self.task, self.seen = task, None

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            known = self.task.read(sample(self.task, "test", 8))
            store, _ = encode_table(self.task, known.to_encode(), known.windows_per_row, regroup=known.regroup)
            rows = tf.data.Dataset.from_tensor_slices(store.all()).batch(4)
            metrics = self.model.evaluate(rows, return_dict=True, verbose=0)
            answers = tf.nest.flatten(self.model.predict(rows, verbose=0))
            self.seen = {"metrics": metrics, "answers": [output.tolist() for output in answers]}


def main(name: str, folder: Path) -> None:
    export.run_proof = lambda version_dir, libraries=(): {
        "version_dir": str(version_dir),
        **prove(version_dir),
    }  # here: spares another process
    own = folder / str(json.loads(os.environ["TF_CONFIG"])["task"]["index"])
    own.mkdir()
    task = small_task(name)
    seen = fit(task, "multiworker", save=own / "model", checkpoint_every=1, max_checkpoints=100)
    for kind in ("weights", "trained"):
        np.savez(own / kind, *seen.pop(kind))
    (own / "seen.json").write_text(json.dumps(seen))
    task.save(own / "saved")
    task.export(own / "servable")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
