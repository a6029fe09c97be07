"""One small image classifier, exported once for all tests here, and a way to prove faulty ones."""

import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.serving import export as export_module
from dlkit.serving.prove import prove
from dlkit.serving.requests import make_classify_examples
from dlkit.serving.signature import Signature, classify_signature

LABELS = ["cat", "dog", "köln"]
FACTS = {
    "task": "tiny",
    "labels": LABELS,
    "metrics": {"accuracy": 0.5},
    "fingerprint": "sha256:0",
    "inputs": {"image": {"description": "PNG bytes"}},
    "outputs": {"labels": {"ranked_by": "scores"}, "scores": {"atol": 1e-6, "rtol": 1e-5}},
}


class Tiny:
    """A grouped convolution, a batch norm and a `slice_update` behind a PNG decoder, with a lookup table."""

    def __init__(self):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((8, 8, 4))
        hidden = keras.layers.Conv2D(8, 3, groups=2, activation="relu")(inputs)
        hidden = keras.layers.BatchNormalization()(hidden)
        hidden = keras.ops.slice_update(hidden, [0, 0, 0, 0], keras.ops.zeros_like(hidden[:, :1, :2, :]))
        scores = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(hidden))
        self.network = keras.Model(inputs, scores)
        self.network.compile(keras.optimizers.Adam(), "mse")
        self.network.optimizer.build(self.network.trainable_variables)  # state that must not be exported
        ids = keras.Input((), dtype="int64")
        names = keras.layers.IntegerLookup(vocabulary=[0, 1, 2], num_oov_indices=0)(ids)
        self.table = keras.Model(ids, names)

    def answer(self, inputs):
        """image: (batch,) string -> labels, scores: (batch, 3)."""
        decode = lambda data: tf.image.decode_png(data, channels=4)  # noqa: E731
        pixels = tf.map_fn(decode, inputs["image"], fn_output_signature=tf.TensorSpec([None, None, 4], tf.uint8))
        return self.answer_pixels({"pixels": tf.ensure_shape(pixels, [None, 8, 8, 4])})

    def answer_pixels(self, inputs):
        scores = self.network(tf.cast(inputs["pixels"], tf.float32) / 255.0, training=False)
        scores, order = tf.math.top_k(scores, k=3)
        order = tf.reshape(self.table(tf.reshape(tf.cast(order, tf.int64), [-1])), tf.shape(order))
        return {"labels": tf.gather(tf.constant(LABELS), order), "scores": scores}

    def signatures(self):
        serving = Signature("serving_default", self.answer, {"image": tf.TensorSpec([None], tf.string)})
        tensors = Signature("preprocessed", self.answer_pixels, {"pixels": tf.TensorSpec([None, 8, 8, 4], tf.uint8)})
        return [serving, tensors, classify_signature(serving, classes="labels", scores="scores")]

    def reference_examples(self):
        pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 4), dtype=np.uint8)
        images = np.array([tf.io.encode_png(image).numpy() for image in pixels], object)
        answers = {k: v.numpy() for k, v in self.answer({"image": tf.constant(images)}).items()}
        split = [{k: v[i : i + 1] for k, v in answers.items()} for i in range(5)]
        serving = [({"image": images[i : i + 1]}, split[i]) for i in range(5)]
        return {
            "serving_default": serving,
            "preprocessed": [({"pixels": pixels[:2]}, {k: v[:2] for k, v in answers.items()})],
            "classify": make_classify_examples(serving, classes="labels", scores="scores"),
        }

    def export(self, directory, **changes):
        arguments = {
            "signatures": self.signatures(),
            "trackables": [self.network, self.table],
            "reference_examples": self.reference_examples(),
            "contract": FACTS,
        }
        return export_module.export(directory, **{**arguments, **changes})


@pytest.fixture(scope="session")
def tiny():
    return Tiny()


@pytest.fixture(scope="session")
def exported(tiny, tmp_path_factory) -> pathlib.Path:
    """The version directory of the one proven export; tests do not write into it."""
    start = time.perf_counter()
    path = tiny.export(tmp_path_factory.mktemp("served") / "tiny")
    print(f"export with proof: {time.perf_counter() - start:.1f} s")
    return path


@pytest.fixture(scope="session")
def contract(exported) -> dict:
    return json.loads((exported / "assets.extra" / "dlkit.json").read_text("utf-8"))


@pytest.fixture
def prove_function(tmp_path):
    """Writes a servable of one function, unproven, and proves it in this process; gives the report."""

    def run(function, inputs, reference_examples, facts=None, trackables=(), path=tmp_path):
        signature = Signature("serving_default", function, inputs)
        prepared = {"serving_default": export_module.prepare_reference_examples(signature, reference_examples)}
        export_module.write_servable(path, "faulty", [signature], list(trackables), prepared, facts or {})
        return prove(path)

    return run
