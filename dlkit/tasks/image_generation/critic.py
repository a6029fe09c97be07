"""The critic of a generative adversarial network: scores how real images are, given their labels."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.image_generation.spectral_layers import SpectralConv2D, SpectralDense

SLOPE = 0.2  # of the leaky rectifiers
SMALLEST_SIDE = 4


@keras.saving.register_keras_serializable("dlkit")
class OneHotLabels(keras.layers.Layer):
    """Converts labels, (batch,) int32 from 1, to (batch, num_labels) one-hot vectors, and 0, no label, to zeros."""

    def __init__(self, num_labels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self._convert_input_args = False

    def call(self, label_id: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(label_id - 1, self.num_labels, dtype=self.compute_dtype)

    def compute_output_spec(self, label_id: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((label_id.shape[0], self.num_labels), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_labels": self.num_labels}


class Critic:
    """The layers of a critic with spectral normalization and a projection of the label.

    Miyato et al., 2018, arXiv:1802.05957; Miyato and Koyama, 2018, arXiv:1802.05637. It is no layer: those that it
    calls are layers of the model that it is called in, which Keras copies for each replica with their sharing.

    Args:
        image_shape: (height, width, channels), of any size.
        num_labels: number of labels; 0 for none.
        width: features of the first layer; each further one has twice as many.
        patch: side of the patches in pixels that the first layer reads.
        pace: learning rate as a multiple of that of the generator.
    """

    def __init__(self, image_shape: tuple[int, ...], num_labels: int, *, width: int, patch: int, pace: float = 1.0):
        side = -(-min(image_shape[:2]) // patch)
        self.convolutions = [SpectralConv2D(width, 2 * patch, patch, pace, name="critic_patches")]
        while side > SMALLEST_SIDE:
            side, width = -(-side // 2), 2 * width
            name = f"critic_conv_{len(self.convolutions)}"
            self.convolutions.append(SpectralConv2D(width, 4, 2, pace, name=name))
        self.hidden = SpectralDense(width, pace=pace, name="critic_hidden")
        self.realism = SpectralDense(1, pace=pace, name="critic_realism")
        self.one_hot = OneHotLabels(max(num_labels, 1), name="critic_one_hot")
        self.label = SpectralDense(width, bias=False, pace=pace, name="critic_label") if num_labels else None

    def __call__(self, image: keras.KerasTensor, label_id: keras.KerasTensor, frozen: bool) -> keras.KerasTensor:
        """Score images, (batch, height, width, channels) in [-1, 1], with labels, (batch,) int32, 0 for none.

        Returns (batch, 1) float32. With `frozen`, all weights count as constants in the gradient.
        """
        x = image
        for convolution in self.convolutions:
            x = keras.layers.LeakyReLU(SLOPE)(convolution(x, frozen=frozen))
        x = keras.layers.LeakyReLU(SLOPE)(self.hidden(keras.layers.Flatten()(x), frozen=frozen))
        score = self.realism(x, frozen=frozen)
        if self.label is not None:
            match = keras.layers.Dot(1)([x, self.label(self.one_hot(label_id), frozen=frozen)])
            score = keras.layers.Add()([score, match])
        return keras.layers.Activation("linear", dtype="float32")(score)
