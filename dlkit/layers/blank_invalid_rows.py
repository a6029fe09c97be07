"""Answers to rows that could not be read: nothing in every column."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class BlankInvalidRows(keras.layers.Layer):
    """Zeros and empty texts in the place of answers to rows with an error.

    Inputs: `error`: (batch,) string, "" for a row that was read; `answers`: a dict of tensors, batch first. Output: the
    answers, of the same shapes and dtypes.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._convert_input_args = False

    def call(self, error: tf.Tensor, answers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        def blank_invalid_rows(values: tf.Tensor) -> tf.Tensor:
            read = tf.reshape(error == "", [-1] + [1] * (len(values.shape) - 1))
            return tf.where(read, values, tf.zeros([], values.dtype))

        return {name: blank_invalid_rows(values) for name, values in answers.items()}

    def compute_output_spec(
        self, error: keras.KerasTensor, answers: dict[str, keras.KerasTensor]
    ) -> dict[str, keras.KerasTensor]:
        return {name: keras.KerasTensor(values.shape, values.dtype) for name, values in answers.items()}


def blank_invalid_rows(postprocess: keras.Model) -> keras.Model:
    """The postprocessing model with one more input, `error`, (batch,) string: rows that have one get blank answers."""
    error = keras.Input((), dtype="string", name="error")
    answers = BlankInvalidRows(name="blank_invalid_rows")(error, postprocess.output)
    return keras.Model({**postprocess.input, "error": error}, answers, name=postprocess.name)
