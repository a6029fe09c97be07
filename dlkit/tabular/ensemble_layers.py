"""Layers of an ensemble whose members share most weights in one network."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, ops, tf


@keras.saving.register_keras_serializable("dlkit")
class EnsembleDense(keras.layers.Layer):
    """A dense layer whose kernel all members share; each scales its inputs and outputs and has its own bias.

    Member i computes `((x * r_i) @ W) * s_i + b_i`. Source: Wen et al., 2020, arXiv:2002.06715 (BatchEnsemble).

    Call with (batch, members or 1, inputs). Returns (batch, members, units).

    Args:
        units: number of outputs of each member.
        members: number of members.
        random_signs: whether r is initialized with random signs, which makes members different, and not with ones;
            Gorishniy et al., 2024, arXiv:2410.24210, use it in the first layer only.

    Examples:
        >>> import tensorflow as tf
        >>> EnsembleDense(8, members=4)(tf.ones([2, 1, 3])).shape
        TensorShape([2, 4, 8])
    """

    def __init__(self, units: int, members: int, random_signs: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.members, self.random_signs = units, members, random_signs

    def build(self, shape: tuple[int | None, ...]) -> None:
        signs = RandomSigns() if self.random_signs else "ones"
        self.kernel = self.add_weight((shape[-1], self.units), "he_uniform", name="kernel")
        self.input_scale = self.add_weight((self.members, shape[-1]), signs, name="input_scale")
        self.output_scale = self.add_weight((self.members, self.units), "ones", name="output_scale")
        self.bias = self.add_weight((self.members, self.units), "zeros", name="bias")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return ops.matmul(x * self.input_scale, self.kernel) * self.output_scale + self.bias

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (shape[0], self.members, self.units)

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, "members": self.members, "random_signs": self.random_signs}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("dlkit")
class MemberDense(keras.layers.Layer):
    """A dense layer of each member, with weights of its own.

    Call with (batch, members, inputs). Returns (batch, members, units).

    Args:
        units: number of outputs of each member.

    Examples:
        >>> import tensorflow as tf
        >>> MemberDense(2)(tf.ones([5, 4, 3])).shape
        TensorShape([5, 4, 2])
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape: tuple[Any, ...]) -> None:
        members, inputs = shape[1:]
        small = keras.initializers.RandomUniform(-(inputs**-0.5), inputs**-0.5)
        self.kernel = self.add_weight((members, inputs, self.units), small, name="kernel")
        self.bias = self.add_weight((members, self.units), "zeros", name="bias")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = ops.cast(x, self.compute_dtype)
        return ops.einsum("bmi,miu->bmu", x, self.kernel) + self.bias

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("dlkit")
class FeatureScale(keras.layers.Layer):
    """Multiplies each feature by a weight, which makes the layer after it select features.

    Source: Holzmüller et al., 2024, arXiv:2407.04491, section 3 (the scaling layer).

    Call with (batch, features). Returns the same shape.
    """

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.factor = self.add_weight((shape[-1],), "ones", name="factor")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x * self.factor


@keras.saving.register_keras_serializable("dlkit")
class PrependToken(keras.layers.Layer):
    """Prepends a learned token to (batch, tokens, width); returns (batch, tokens + 1, width)."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.token = self.add_weight((1, 1, shape[-1]), "random_normal", name="token")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return ops.concatenate([ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1])), x], axis=1)

    def compute_output_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (shape[0], shape[1] + 1, shape[2])


@keras.saving.register_keras_serializable("dlkit")
class RandomSigns(keras.initializers.RandomUniform):
    """Initializes with 1 or -1 at random."""

    def __init__(self, seed: int | None = None):
        super().__init__(-1.0, 1.0, seed)

    def __call__(self, shape: Any, dtype: Any = None) -> tf.Tensor:
        return ops.where(super().__call__(shape, dtype) < 0, -1.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"seed": super().get_config()["seed"]}
