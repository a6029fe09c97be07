"""Requests for images: labels to numbers, and why a request is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.limits import Limits

MAX_GUIDANCE = 50.0
MAX_NAMED = 20  # labels that a message lists


@keras.saving.register_keras_serializable("dlkit")
class ReadRequest(keras.layers.Layer):
    """Checks requests for images and looks up their labels.

    Call with `seed`: (batch,) int32; `label`: (batch,) string, "" for none; `steps`: (batch,) int32; `guidance`:
    (batch,) float32. Returns a dict:
        seed, steps, guidance: as given; of a refused row 0 steps and no guidance, which cost nothing.
        label_id: (batch,) int32, 0 for none, else the number of the label from 1.
        error: (batch,) string, why a row is refused, "" for others.

    Args:
        labels: the labels of the training data; none for a model without labels.
        max_steps: maximum number of steps.

    Examples:
        >>> read = ReadRequest(["cat", "dog"], max_steps=100)
        >>> row = {"seed": tf.constant([1]), "steps": tf.constant([200]), "guidance": tf.constant([1.0])}
        >>> read(label=tf.constant(["dog"]), **row)["error"].numpy()
        array([b'`steps` must be between 1 and 100. Received: 200.'], dtype=object)
    """

    def __init__(self, labels: Sequence[str], max_steps: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.labels, self.max_steps = list(labels), max_steps
        self._convert_input_args = False

    @property
    def limits(self) -> dict[str, Limits]:
        """Bounds of its outputs, for requests that bring preprocessed tensors."""
        return {
            "steps": Limits(1, self.max_steps),
            "guidance": Limits(0, MAX_GUIDANCE),
            "label_id": Limits(0, len(self.labels)),
        }

    def call(self, seed: tf.Tensor, label: tf.Tensor, steps: tf.Tensor, guidance: tf.Tensor) -> dict[str, tf.Tensor]:
        label_id = look_up_labels(label, self.labels)
        finite = (guidance >= 0) & (guidance <= MAX_GUIDANCE)  # of NaN neither
        checks = [
            ((label_id >= 0), self._unknown(label)),
            ((steps >= 1) & (steps <= self.max_steps), _outside("steps", 1, self.max_steps, steps)),
            (finite, _outside("guidance", 0, MAX_GUIDANCE, guidance)),
        ]
        error = tf.fill(tf.shape(label), "")
        for valid, reason in reversed(checks):  # the first one that applies
            error = tf.where(valid, error, reason)
        good = error == ""
        return {
            "seed": seed,
            "label_id": tf.where(good, label_id, 0),
            "steps": tf.where(good, steps, 0),
            "guidance": tf.where(good, guidance, 0.0),
            "error": error,
        }

    def _unknown(self, label: tf.Tensor) -> tf.Tensor:
        more = f" and {len(self.labels) - MAX_NAMED} more" if len(self.labels) > MAX_NAMED else ""
        known = f"It has: {', '.join(self.labels[:MAX_NAMED])}{more}." if self.labels else "It has none: leave it out."
        return tf.strings.join(["the training data has no label '", label, f"'. {known}"])

    def compute_output_spec(self, seed: keras.KerasTensor, *args: Any, **kwargs: Any) -> dict[str, keras.KerasTensor]:
        kinds = {"seed": "int32", "label_id": "int32", "steps": "int32", "guidance": "float32", "error": "string"}
        return {name: keras.KerasTensor(seed.shape, kind) for name, kind in kinds.items()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "labels": self.labels, "max_steps": self.max_steps}


def look_up_labels(label: tf.Tensor, labels: Sequence[str]) -> tf.Tensor:
    """Return the number of each label from 1, 0 for an empty one, and -1 for an unknown one: (batch,) int32."""
    names = tf.constant(["", *labels])
    matches = label[:, tf.newaxis] == names
    number = tf.cast(tf.argmax(matches, 1), tf.int32)
    return tf.where(tf.reduce_any(matches, 1), number, -1)


def _outside(name: str, minimum: float, maximum: float, value: tf.Tensor) -> tf.Tensor:
    received = tf.strings.as_string(value, shortest=value.dtype.is_floating)
    return tf.strings.join([f"`{name}` must be between {minimum:g} and {maximum:g}. Received: ", received, "."])
