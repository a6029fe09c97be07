"""Adam whose update is a single operation of TensorFlow."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, tf


class FusedAdam(keras.optimizers.Adam):
    """Keras's `Adam`, with TensorFlow's own Adam operation for the update of a variable.

    Keras writes the update as twelve operations on arrays of the size of the variable, which are read from and written
    to memory each time. The operation reads and writes each array once, on all cores. Both compute the same up to
    rounding; clipping, weight decay and the variables of the optimizer are Keras's.

    Source: Kingma and Ba, 2015, arXiv:1412.6980, algorithm 1 in the order of the last paragraph of section 2, and
    Loshchilov and Hutter, 2017, arXiv:1711.05101, for `weight_decay`, which makes it AdamW.

    Args:
        kwargs: those of `keras.optimizers.Adam`, except `amsgrad`.

    Examples:
        >>> weight = keras.Variable([1.0, 2.0])
        >>> optimizer = FusedAdam(learning_rate=0.1)
        >>> optimizer.apply([tf.constant([1.0, -1.0])], [weight])
        >>> weight.numpy().round(2).tolist()
        [0.9, 2.1]
    """

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        index, dtype = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),  # Keras decays all rows of a sparse gradient, too
        )
