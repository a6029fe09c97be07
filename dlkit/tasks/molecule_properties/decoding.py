"""From the outputs of the network to values in the units of the data, with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, ops, tf
from dlkit.regression.conformal import MIN_ROWS

LOWER, CENTER, UPPER = range(3)  # outputs of a network with quantiles


@keras.saving.register_keras_serializable("dlkit")
class IntervalOutputs(keras.layers.Layer):
    """Turns a mean and two unconstrained widths into a lower bound, the mean, and an upper bound, which never cross.

    The bounds do not train the mean.

    Call arguments:
        values: (batch, targets * 3).

    Returns:
        (batch, targets, 3) float32.

    Examples:
        >>> IntervalOutputs()(tf.zeros((2, 6))).shape
        TensorShape([2, 2, 3])
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, values: tf.Tensor) -> tf.Tensor:
        mean, below, above = ops.split(ops.cast(values, "float32"), 3, -1)
        fixed = ops.stop_gradient(mean)
        return ops.stack([fixed - ops.softplus(below), mean, fixed + ops.softplus(above)], -1)

    def compute_output_shape(self, values_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (values_shape[0], values_shape[-1] // 3, 3)


@keras.saving.register_keras_serializable("dlkit")
class CombineMembers(keras.layers.Layer):
    """Combines the outputs of the members of an ensemble into one prediction with its spread.

    Args:
        z: Float, the half-width of the central interval of a normal distribution, in standard deviations, that the
            bounds of the network stand for.

    Call arguments:
        outputs: (batch, members, targets, 1 or 3) float32: the mean, or lower bound, mean and upper bound.

    Returns:
        Tuple of `center`, `below` and `above`, (batch, targets) float32 each: the mean of the members, and the
        distances to the bounds, which grow with the disagreement of the members.

    Examples:
        >>> center, below, above = CombineMembers(z=1.0)(tf.constant([[[[1.0]], [[3.0]]]]))
        >>> float(center[0, 0]), float(below[0, 0])
        (2.0, 1.0)
    """

    def __init__(self, z: float, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.z = z

    def call(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        middle = outputs[..., CENTER] if outputs.shape[-1] == 3 else outputs[..., 0]
        center = ops.mean(middle, 1)
        spread = self.z * ops.std(middle, 1)
        if outputs.shape[-1] != 3:
            return center, spread, spread
        below = ops.mean(middle - outputs[..., LOWER], 1)
        above = ops.mean(outputs[..., UPPER] - middle, 1)
        return (
            center,
            ops.sqrt(ops.square(below) + ops.square(spread)),
            ops.sqrt(ops.square(above) + ops.square(spread)),
        )

    def compute_output_spec(self, outputs: keras.KerasTensor) -> tuple[keras.KerasTensor, ...]:
        return tuple(keras.KerasTensor((outputs.shape[0], outputs.shape[2]), "float32") for _ in range(3))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "z": self.z}


@keras.saving.register_keras_serializable("dlkit")
class RestoreUnits(keras.layers.Layer):
    """Takes scaled values back to the units of the data.

    Args:
        means, deviations: Lists of floats, of each target.

    Call arguments:
        values: (batch, targets) float32.
        distance: Whether the values are distances, to which no mean is added.

    Examples:
        >>> RestoreUnits([10.0], [2.0])(tf.ones((1, 1))).numpy().tolist()
        [[12.0]]
    """

    def __init__(self, means: Sequence[float], deviations: Sequence[float], **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.means, self.deviations = list(means), list(deviations)

    def call(self, values: tf.Tensor, distance: bool = False) -> tf.Tensor:
        scaled = values * np.array(self.deviations, np.float32)
        return scaled if distance else scaled + np.array(self.means, np.float32)

    def compute_output_spec(self, values: keras.KerasTensor, distance: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor(values.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "means": self.means, "deviations": self.deviations}


@keras.saving.register_keras_serializable("dlkit")
class ScaledSigmoid(keras.layers.Layer):
    """Averages the probabilities of ensemble members, whose logits each target divides by a temperature.

    Source: Guo et al., 2017, arXiv:1706.04599. The temperatures are weights that are not trained; `calibrate` sets
    them.

    Args:
        num_targets: Positive integer.

    Call arguments:
        logits: (batch, members, targets, 1) float32.

    Returns:
        (batch, targets) float32.

    Examples:
        >>> ScaledSigmoid(num_targets=2)(tf.zeros((1, 3, 2, 1))).numpy().tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, num_targets: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs})
        self.num_targets = num_targets
        self.temperature = self.add_weight(
            shape=(num_targets,), initializer="ones", trainable=False, name="temperature"
        )

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        return ops.mean(ops.sigmoid(logits[..., 0] / self.temperature), 1)

    def compute_output_spec(self, logits: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((logits.shape[0], logits.shape[2]), "float32")

    def calibrate(self, logits: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Set the temperature of each target to the one of the lowest log loss among 0.25 to 8.

        Args:
            logits: (rows, members, targets, 1).
            truth: (rows, targets), 0 or 1, NaN where it is unknown.

        Returns:
            Dict of `factors`, the temperatures, and of `rows`, the number of true values, of each target. The
            temperature of a target with fewer than 20 stays as it is.
        """
        temperatures = np.array(ops.convert_to_numpy(self.temperature))
        candidates = np.geomspace(0.25, 8.0, 61)
        counts = []
        for target in range(self.num_targets):
            known = np.isfinite(truth[:, target])
            counts.append(int(known.sum()))
            if counts[-1] < MIN_ROWS:
                continue
            own, true = logits[known, :, target, 0].astype(np.float64), truth[known, target] > 0.5
            losses = [_log_loss((1 / (1 + np.exp(-own / value))).mean(1), true) for value in candidates]
            temperatures[target] = candidates[int(np.argmin(losses))]
        self.temperature.assign(temperatures)
        return {"factors": temperatures.tolist(), "rows": counts}

    def set_temperatures(self, temperatures: Sequence[float]) -> None:
        """Take temperatures that were found before, one for each target."""
        self.temperature.assign(np.asarray(temperatures, np.float32))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_targets": self.num_targets}


def _log_loss(scores: np.ndarray, true: np.ndarray) -> float:
    return float(-np.log(np.clip(np.where(true, scores, 1 - scores), 1e-7, 1)).mean())


@keras.saving.register_keras_serializable("dlkit")
class TargetNames(keras.layers.Layer):
    """Returns the names of the targets for each row of a batch.

    Args:
        names: List of strings.

    Call arguments:
        values: (batch, ...), of which only the number of rows matters.

    Returns:
        (batch, targets) string.

    Examples:
        >>> TargetNames(["logP"])(tf.zeros((2, 1))).numpy().tolist()
        [[b'logP'], [b'logP']]
    """

    def __init__(self, names: Sequence[str], **kwargs: Any):
        super().__init__(**kwargs)
        self.names = list(names)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        return tf.tile(tf.constant([self.names]), tf.stack([tf.shape(values)[0], 1]))

    def compute_output_spec(self, values: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((values.shape[0], len(self.names)), "string")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "names": self.names}


@keras.saving.register_keras_serializable("dlkit")
class TrainingSimilarity(keras.layers.Layer):
    """Scores how similar a molecule is to the most similar training molecule.

    The similarity is Tanimoto's: the number of hashes of neighborhoods in both molecules, divided by the number in
    either. The fingerprints of the training molecules are a weight that is not trained.

    Args:
        num_references: Positive integer, number of training molecules.
        fingerprint_bits: Positive integer.

    Call arguments:
        fingerprint: (batch, fingerprint_bits) uint8 counts.

    Returns:
        (batch,) float32, from 0 to 1.

    Examples:
        >>> layer = TrainingSimilarity(num_references=1, fingerprint_bits=3)
        >>> layer.set_references(np.array([[1, 2, 0]]))
        >>> [round(float(score), 2) for score in layer(tf.constant([[2, 2, 0], [1, 0, 1]], tf.uint8))]
        [1.0, 0.33]
    """

    def __init__(self, num_references: int, fingerprint_bits: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs})
        self.num_references, self.fingerprint_bits = num_references, fingerprint_bits
        shape = (num_references, fingerprint_bits)
        self.references = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, dtype="uint8", name="references"
        )

    def set_references(self, fingerprints: np.ndarray) -> None:
        """Take the fingerprints of the training molecules, (references, fingerprint_bits) counts."""
        self.references.assign((fingerprints > 0).astype(np.uint8))

    def call(self, fingerprint: tf.Tensor) -> tf.Tensor:
        own = tf.cast(fingerprint > 0, tf.float32)
        others = tf.cast(tf.convert_to_tensor(self.references), tf.float32)
        both = tf.matmul(own, others, transpose_b=True)
        either = tf.reduce_sum(own, 1)[:, tf.newaxis] + tf.reduce_sum(others, 1) - both
        return tf.reduce_max(both / tf.maximum(either, 1.0), 1)

    def compute_output_spec(self, fingerprint: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((fingerprint.shape[0],), "float32")

    def get_config(self) -> dict[str, Any]:
        own = {"num_references": self.num_references, "fingerprint_bits": self.fingerprint_bits}
        return {**super().get_config(), **own}
