"""A classifier of the training images, in whose features generated images are compared with real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.data.split import evenly_spaced
from dlkit.errors import DlkitError, HparamError
from dlkit.layers.fused_batch_norm import FusedBatchNormalization
from dlkit.lazy import keras
from dlkit.options import option
from dlkit.reading_errors import as_data_error
from dlkit.training.prepare import use_precision

WIDTH, LEVELS = 16, 3
LARGEST_SIDE = 64  # of the images that the network looks at; larger ones are reduced
BATCH, IMAGES_SEEN, MAX_PASSES = 64, 40_000, 30
MAX_BYTES = 128_000_000  # of the images that it is trained on
CHUNK = 256  # images at a time


def build_judge(image_shape: Sequence[int], num_labels: int) -> keras.Model:
    """Build the classifier.

    Args:
        image_shape: (height, width, channels).
        num_labels: number of labels.

    Returns:
        A functional model of `image`, (batch, height, width, channels) uint8, with the outputs `features`, (batch, 64),
        and `logits`, (batch, labels), both float32.
    """
    with use_precision("float32"):
        image = keras.Input(tuple(image_shape), dtype="uint8", name="image")
        x = keras.layers.Rescaling(1 / 127.5, -1.0, name="rescale")(image)
        if max(image_shape[:2]) > LARGEST_SIDE:
            x = keras.layers.AveragePooling2D(2, padding="same", name="reduce")(x)
        for level in range(LEVELS):
            for part, strides in (("same", 1), ("half", 2)):
                name = f"{part}_{level}"
                x = keras.layers.Conv2D(WIDTH * 2**level, 3, strides, "same", use_bias=False, name=name)(x)
                # A few hundred steps: slower averages would still hold the values that they began with.
                x = FusedBatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
                x = keras.layers.ReLU(name=f"{name}_relu")(x)
        features = keras.layers.GlobalAveragePooling2D(name="features")(x)
        logits = keras.layers.Dense(num_labels, name="logits")(features)
    return keras.Model({"image": image}, {"features": features, "logits": logits}, name="judge")


def train_judge(images: np.ndarray, classes: np.ndarray, num_labels: int) -> keras.Model:
    """Train the classifier: on 40,000 images, repeated up to 30 times if there are fewer.

    Args:
        images: (n, height, width, channels) uint8.
        classes: (n,) the number of each label, from 0.
        num_labels: number of labels.

    Returns:
        The model of `build_judge`. Keras's global seed determines it.
    """
    from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

    judge = build_judge(images.shape[1:], num_labels)
    passes = min(max(IMAGES_SEEN // len(images), 1), MAX_PASSES)
    steps = passes * -(-len(images) // BATCH)
    classifier = keras.Model(judge.input, judge.output["logits"])
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    # Not `keras.Model.fit`, which trackers patch: this is no run of the user's.
    TensorFlowTrainer.fit(classifier, {"image": images}, classes, batch_size=BATCH, epochs=passes, verbose=0)
    return judge


def choose_images(count: int, image_bytes: int) -> list[int]:
    """Return the rows to train the classifier on: as many as it sees and as fit into 128 MB, evenly spaced."""
    return evenly_spaced(count, min(IMAGES_SEEN, max(MAX_BYTES // image_bytes, 1)))


def load_judge(path: str, image_shape: Sequence[int], labels: Sequence[str]) -> keras.Model:
    """Load a network in whose features images are compared.

    Args:
        path: the folder of an image classifier that dlkit has saved, or a `.keras` file of a Keras classifier, whose
            classes are `labels` in their order if there are as many.
        image_shape: (height, width, channels) of the images.
        labels: of the images.

    Returns:
        A model as that of `build_judge`; `features` are the inputs of the last dense layer. `logits` are those of
        `labels`; they are missing if the network does not know all of them.

    Raises:
        DlkitError: there is no such network, or it takes images of another shape.
    """
    network, known = _read_classifier(Path(path))
    inputs = network.input[0] if isinstance(network.input, list) else network.input
    inputs = inputs["image"] if isinstance(inputs, dict) and "image" in inputs else inputs
    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    if isinstance(inputs, dict) or not dense:
        raise HparamError(f"{option('feature_model')} must be a classifier of images. Received: {path}.")
    if tuple(inputs.shape[1:]) != tuple(image_shape):
        raise HparamError(
            f"{option('feature_model')} takes images of {' x '.join(map(str, inputs.shape[1:]))}, the generated ones "
            f"have {' x '.join(map(str, image_shape))} (height, width, channels). Set {option('image_size')} and "
            f"{option('channels')} accordingly, or use another model. Received: {path}."
        )
    image = keras.Input(tuple(image_shape), dtype="uint8", name="image")
    both = keras.Model(inputs, [dense[-1].input, dense[-1].output], name="given")
    with use_precision("float32"):
        pixels = keras.layers.Rescaling(1.0, name="pixels")(image)  # float32, 0 to 255
    features, logits = both(pixels if inputs.dtype != "uint8" else image)
    outputs = {"features": keras.layers.Flatten(name="features")(features)}
    if not known and logits.shape[-1] == len(labels):
        outputs["logits"] = logits
    elif labels and set(labels) <= {*known}:
        order = [known.index(name) for name in labels]
        outputs["logits"] = keras.ops.take(logits, order, axis=-1)
    return keras.Model({"image": image}, outputs, name="judge")


def _read_classifier(path: Path) -> tuple[keras.Model, list[str]]:
    """Read a network and the names of its classes; none of a Keras file, which does not tell them."""
    from dlkit.model_folder import INDEX_FILE, read_index, read_model
    from dlkit.tasks import find_task

    if (path / INDEX_FILE).is_file():
        task: Any = read_model(find_task(read_index(path)["task"]), path)
        return task.stages_.network, list(getattr(task, "labels_", ()))
    with as_data_error(str(path), "a Keras classifier", "Give a .keras file, or a saved model.", error=DlkitError):
        return keras.models.load_model(path, compile=False), []


def features_of(judge: keras.Model | None) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the function that computes the features of a classifier, (n, features); None without one."""
    return None if judge is None else lambda images: judge_images(judge, images)["features"]


def judge_images(judge: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of the classifier for images, (n, height, width, channels) uint8, with n at least 1."""
    parts = [judge({"image": images[start : start + CHUNK]}, training=False) for start in range(0, len(images), CHUNK)]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}


def score_labels(
    judge: keras.Model | None,
    known: Sequence[str],
    labels: Sequence[str],
    generated: np.ndarray,
    real: np.ndarray,
    readable: np.ndarray,
) -> dict[str, float]:
    """Return the share of images to which the classifier gives the label that was asked for.

    Args:
        judge: the classifier; None for none. It does not know labels that were added after its training.
        known: the labels of the task, those that were added last.
        labels: that of each row, "" for none; empty for rows without labels.
        generated, real: (n, height, width, channels) uint8.
        readable: (n,) bool, which of the real images could be read.

    Returns:
        `label_accuracy` of generated images and `floor_label_accuracy` of real ones; nothing without a classifier of
        the labels, or without a readable image that has a label.
    """
    if judge is None or "logits" not in judge.output or not labels:
        return {}
    known = known[: judge.output["logits"].shape[-1]]
    asked = np.array([known.index(name) if name in known else -1 for name in labels])
    if not ((asked >= 0) & readable).any():
        return {}
    found, of_real = (judge_images(judge, images)["logits"].argmax(-1) for images in (generated, real))
    return {
        "label_accuracy": float((found == asked)[asked >= 0].mean()),
        "floor_label_accuracy": float((of_real == asked)[(asked >= 0) & readable].mean()),
    }
