"""Requests for images: labels to numbers, and why a request is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.limits import Limits

MAX_GUIDANCE = 50.0
MAX_NAMED = 20  # labels that a message lists


@keras.saving.register_keras_serializable("dlkit")
class ReadRequest(keras.layers.Layer):
    """Checks requests for images and looks up their labels.

    Call with a dict, the request: `seed`: (batch,) int32; `label`: (batch,) string, "" for none; and numbers, (batch,)
    each, such as `steps` and `guidance`. Returns a dict:
        seed: as given.
        label_id: (batch,) int32, 0 for none, else the number of the label from 1.
        error: (batch,) string, why a row is refused, "" for others.
        the numbers: as given; of a refused row 0, which costs nothing: no steps.

    Args:
        labels: the labels of the training data; none for a model without labels.
        bounds: smallest and largest value of each number, by name.

    Examples:
        >>> read = ReadRequest(["cat", "dog"], {"steps": (1, 100)})
        >>> row = {"seed": tf.constant([1]), "steps": tf.constant([200])}
        >>> read({"label": tf.constant(["dog"]), **row})["error"].numpy()
        array([b'`steps` must be between 1 and 100. Received: 200.'], dtype=object)
    """

    def __init__(self, labels: Sequence[str], bounds: Mapping[str, Sequence[float]], **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.labels, self.bounds = list(labels), {name: tuple(limits) for name, limits in bounds.items()}
        self._convert_input_args = False

    @property
    def limits(self) -> dict[str, Limits]:
        """Bounds of its outputs, for requests that bring preprocessed tensors."""
        return {
            **{name: Limits(bounds[0], bounds[1]) for name, bounds in self.bounds.items()},
            "label_id": Limits(0, len(self.labels)),
        }

    def call(self, request: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        label, numbers = request["label"], {name: request[name] for name in self.bounds}
        label_id = look_up_labels(label, self.labels)
        checks = [(label_id >= 0, self._unknown(label))]
        for name, value in numbers.items():
            low, high = self.bounds[name]
            checks.append(((value >= low) & (value <= high), _outside(name, low, high, value)))  # of NaN neither
        error = tf.fill(tf.shape(label), "")
        for valid, reason in reversed(checks):  # the first one that applies
            error = tf.where(valid, error, reason)
        good = error == ""
        kept = {name: tf.where(good, value, tf.zeros_like(value)) for name, value in numbers.items()}
        return {"seed": request["seed"], "label_id": tf.where(good, label_id, 0), **kept, "error": error}

    def _unknown(self, label: tf.Tensor) -> tf.Tensor:
        more = f" and {len(self.labels) - MAX_NAMED} more" if len(self.labels) > MAX_NAMED else ""
        known = f"It has: {', '.join(self.labels[:MAX_NAMED])}{more}." if self.labels else "It has none: leave it out."
        return tf.strings.join(["the training data has no label '", label, f"'. {known}"])

    def compute_output_spec(self, request: dict[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
        kinds = {"seed": "int32", "label_id": "int32", **{name: request[name].dtype for name in self.bounds}}
        return {
            name: keras.KerasTensor(request["seed"].shape, kind) for name, kind in {**kinds, "error": "string"}.items()
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "labels": self.labels, "bounds": self.bounds}


def look_up_labels(label: tf.Tensor, labels: Sequence[str]) -> tf.Tensor:
    """Return the number of each label from 1, 0 for an empty one, and -1 for an unknown one: (batch,) int32."""
    names = tf.constant(["", *labels])
    matches = label[:, tf.newaxis] == names
    number = tf.cast(tf.argmax(matches, 1), tf.int32)
    return tf.where(tf.reduce_any(matches, 1), number, -1)


def _outside(name: str, minimum: float, maximum: float, value: tf.Tensor) -> tf.Tensor:
    received = tf.strings.as_string(value, shortest=value.dtype.is_floating)
    return tf.strings.join([f"`{name}` must be between {minimum:g} and {maximum:g}. Received: ", received, "."])
