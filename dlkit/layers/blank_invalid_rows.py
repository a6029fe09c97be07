"""Empty predictions for rows that could not be read."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class BlankInvalidRows(keras.layers.Layer):
    """Replaces the predictions for rows with an error by zeros and empty strings.

    Call with `error`, a (batch,) string tensor that is "" for each valid row, and `predictions`, a dict of tensors with
    the batch first. Returns the dict, with the same shapes and dtypes.

    Examples:
        >>> layer = BlankInvalidRows()
        >>> layer(tf.constant(["", "not an image"]), {"score": tf.constant([0.5, 0.9])})["score"].numpy().tolist()
        [0.5, 0.0]
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._convert_input_args = False

    def call(self, error: tf.Tensor, predictions: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        def blank_invalid_rows(values: tf.Tensor) -> tf.Tensor:
            valid = tf.reshape(error == "", [-1] + [1] * (len(values.shape) - 1))
            return tf.where(valid, values, tf.zeros([], values.dtype))

        return {name: blank_invalid_rows(values) for name, values in predictions.items()}

    def compute_output_spec(
        self, error: keras.KerasTensor, predictions: dict[str, keras.KerasTensor]
    ) -> dict[str, keras.KerasTensor]:
        return {name: keras.KerasTensor(values.shape, values.dtype) for name, values in predictions.items()}


def blank_invalid_rows(postprocess: keras.Model) -> keras.Model:
    """Add an input `error`, (batch,) string, to a postprocessing model: rows with an error get empty predictions."""
    error = keras.Input((), dtype="string", name="error")
    predictions = BlankInvalidRows(name="blank_invalid_rows")(error, postprocess.output)
    return keras.Model({**postprocess.input, "error": error}, predictions, name=postprocess.name)
