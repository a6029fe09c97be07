"""Running a model on a limited number of rows at a time, to bound its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from dlkit.lazy import keras, tf


def in_micro_batches(model: keras.Model, tensors: Mapping[str, tf.Tensor], batch_size: int) -> dict[str, tf.Tensor]:
    """Run a functional model at inference in a loop over micro-batches.

    Args:
        model: a functional model with named inputs and outputs.
        tensors: the inputs of the model by name, (n, ...) each.
        batch_size: maximum number of rows at a time.

    Returns:
        The outputs of the model by name, (n, ...) each.
    """
    count = tf.shape(next(iter(tensors.values())))[0]
    # One part, cut short, is what most requests are; a loop in the graph costs little beside a network.
    arrays = {
        name: tf.TensorArray(spec.dtype, 0, dynamic_size=True, infer_shape=False, element_shape=[None, *spec.shape[1:]])
        for name, spec in model.output.items()
    }

    def run_batch(start: tf.Tensor, arrays: dict[str, tf.TensorArray]) -> tuple[tf.Tensor, dict[str, tf.TensorArray]]:
        outputs = model({name: values[start : start + batch_size] for name, values in tensors.items()}, training=False)
        return start + batch_size, {
            name: array.write(start // batch_size, outputs[name]) for name, array in arrays.items()
        }

    # One turn at least, though of no rows: there is nothing to join otherwise.
    _, arrays = tf.while_loop(
        lambda start, _: (start < count) | (start == 0), run_batch, (0, arrays), parallel_iterations=1
    )
    return {name: array.concat() for name, array in arrays.items()}


@keras.saving.register_keras_serializable("dlkit")
class MicroBatches(keras.layers.Layer):
    """Runs a model with fixed weights on a limited number of rows at a time.

    Call with the inputs of the model by name; returns its outputs by name.

    Args:
        model: a functional model with named inputs and outputs.
        batch_size: maximum number of rows at a time.

    Examples:
        >>> x = keras.Input((3,), name="x")
        >>> model = keras.Model({"x": x}, {"y": 2 * x})
        >>> MicroBatches(model, batch_size=2)({"x": tf.ones((5, 3))})["y"].shape
        TensorShape([5, 3])
    """

    def __init__(self, model: keras.Model, batch_size: int = 32, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.model, self.batch_size = model, batch_size

    def call(self, tensors: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return in_micro_batches(self.model, tensors, self.batch_size)

    def compute_output_spec(self, tensors: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
        return {name: keras.KerasTensor(spec.shape, spec.dtype) for name, spec in self.model.output.items()}

    def get_config(self) -> dict[str, Any]:
        model = keras.saving.serialize_keras_object(self.model)
        return {**super().get_config(), "model": model, "batch_size": self.batch_size}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config.pop("trainable", None)
        return cls(keras.saving.deserialize_keras_object(config.pop("model")), **config)
