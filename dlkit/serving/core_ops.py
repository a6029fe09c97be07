"""Core TensorFlow operations in place of what Keras writes as XLA-only nodes.

A stock `tensorflow_model_server` is built without XLA. `keras.ops.slice_update` becomes `XlaDynamicUpdateSlice`, and a
grouped convolution becomes a function that must be compiled: such a model loads, and fails on its first request."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Literal

import tensorflow as tf
from keras.src.backend.tensorflow import core as keras_core
from keras.src.backend.tensorflow import nn as keras_nn

_keras_conv = keras_nn.conv
_patching = threading.RLock()


@contextlib.contextmanager
def core_ops_only() -> Iterator[None]:
    """Make Keras trace `slice_update` and grouped convolutions into core TensorFlow operations.

    It replaces two functions of Keras's TensorFlow backend for as long as it lasts, in the whole process: use
    it around tracing only. A `tf.function` traced before keeps the nodes that it has.
    """
    with _patching:
        originals = keras_core.slice_update, keras_nn.conv
        keras_core.slice_update, keras_nn.conv = slice_update, conv
        try:
            yield
        finally:
            keras_core.slice_update, keras_nn.conv = originals


def slice_update(inputs: tf.Tensor, start_indices: Sequence | tf.Tensor, updates: tf.Tensor) -> tf.Tensor:
    """Write `updates` into `inputs` at `start_indices`, clamped so that `updates` fits, as XLA does.

    Args:
        inputs: (d0, ..., dn), any dtype.
        start_indices: n + 1 integers, or an integer tensor of shape (n + 1,).
        updates: as many dimensions as `inputs`, none longer; the dtype of `inputs`.

    Returns:
        The shape and dtype of `inputs`.
    """
    inputs = tf.convert_to_tensor(inputs)
    updates = tf.convert_to_tensor(updates, inputs.dtype)
    if inputs.shape.rank == 0:
        return tf.identity(updates)
    if not isinstance(start_indices, tf.Tensor):
        start_indices = tf.stack([tf.cast(index, tf.int32) for index in start_indices])
    sizes, lengths = tf.shape(inputs), tf.shape(updates)
    starts = tf.clip_by_value(tf.cast(start_indices, tf.int32), 0, sizes - lengths)
    paddings = tf.stack([starts, sizes - lengths - starts], axis=1)
    written = tf.pad(tf.ones(lengths, tf.bool), paddings)
    result = tf.where(written, tf.pad(updates, paddings), inputs)
    return tf.ensure_shape(result, inputs.shape)


def conv(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    strides: int | Sequence[int] = 1,
    padding: Literal["valid", "same"] = "valid",
    data_format: Literal["channels_last", "channels_first"] | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> tf.Tensor:
    """Convolve as Keras's `conv` does, with plain convolutions in the cases that it compiles with XLA.

    Args:
        inputs: (batch, space..., channels) or (batch, channels, space...), by `data_format`.
        kernel: (space..., channels / groups, filters).
        strides, padding, data_format, dilation_rate: as `keras.ops.conv` has them.
    """
    data_format = keras_nn.backend.standardize_data_format(data_format)
    channels_last = data_format == "channels_last"
    inputs = tf.convert_to_tensor(inputs)
    groups = inputs.shape[-1 if channels_last else 1] // kernel.shape[-2]
    if groups == 1 and (channels_last or inputs.shape.rank != 5):
        return _keras_conv(inputs, kernel, strides, padding, data_format, dilation_rate)
    if channels_last:
        return _grouped(inputs, kernel, groups, strides, padding, dilation_rate)
    space = list(range(2, inputs.shape.rank))
    last = tf.transpose(inputs, [0, *space, 1])  # TensorFlow on a CPU convolves channels-last only
    outputs = _grouped(last, kernel, groups, strides, padding, dilation_rate)
    return tf.transpose(outputs, [0, len(space) + 1, *range(1, len(space) + 1)])


def _grouped(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    groups: int,
    strides: int | Sequence[int],
    padding: Literal["valid", "same"],
    dilation_rate: int | Sequence[int],
) -> tf.Tensor:
    kernel = tf.convert_to_tensor(kernel)
    parts = [
        tf.nn.convolution(part, weights, strides, padding.upper(), dilations=dilation_rate)
        for part, weights in zip(tf.split(inputs, groups, -1), tf.split(kernel, groups, -1), strict=True)
    ]
    return tf.concat(parts, -1)
