"""Residual networks for small images (28 to 64 pixels) and for photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlkit.layers.fused_batch_norm import FusedBatchNormalization
from dlkit.lazy import keras

_BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
_BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet(
    input_shape: tuple[int, int, int], num_classes: int, *, depth: int | None = None, dropout: float = 0.0
) -> keras.Model:
    """Build the residual network that suits the image size.

    Images with a side below 64 pixels get `cifar_resnet`, with its defaults if `depth` is None, else with depth 6n + 2
    and the widths and stem of the paper (ResNet-20 has 0.27 million parameters). Larger images get `imagenet_resnet`.

    Args:
        input_shape: (height, width, channels).
        num_classes: number of logits.
        depth: number of layers: 8, 14, 20, 32, ... for small images; 18, 34, 50, 101 or 152 for larger ones
            (18 if None).
        dropout: dropout rate before the last layer, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, num_classes) float32.

    Raises:
        ValueError: there is no network of this depth for images of this size.

    Examples:
        >>> from dlkit.tasks.image_classification.resnet import resnet
        >>> resnet((32, 32, 3), 10, depth=20).name
        'cifar_resnet'
    """
    if min(input_shape[:2]) < 64:
        if depth is None:
            return cifar_resnet(input_shape, num_classes, dropout=dropout)
        if depth < 8 or depth % 6 != 2:
            raise ValueError(
                "`depth` must be 6n + 2 (8, 14, 20, 32, ...) for images below 64 pixels. "
                f"Received: depth={depth}, input_shape={tuple(input_shape)}."
            )
        paper: dict[str, Any] = {"widths": (16, 32, 64), "stem_widths": (16,), "stem_stride": 1, "pool_shortcut": False}
        return cifar_resnet(input_shape, num_classes, blocks=(depth // 6,) * 3, dropout=dropout, **paper)
    depth = 18 if depth is None else depth
    blocks = {**_BASIC, **_BOTTLENECK}.get(depth)
    if blocks is None:
        raise ValueError(
            "`depth` must be 18, 34, 50, 101 or 152 for images of 64 pixels and more. "
            f"Received: depth={depth}, input_shape={tuple(input_shape)}."
        )
    return imagenet_resnet(input_shape, num_classes, blocks=blocks, bottleneck=depth in _BOTTLENECK, dropout=dropout)


def cifar_resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    blocks: Sequence[int] = (1, 1, 1),
    widths: Sequence[int] = (32, 64, 128),
    stem_widths: Sequence[int] = (16, 32),
    stem_kernel: int = 3,
    stem_stride: int = 2,
    pool_shortcut: bool = True,
    preactivation: bool = False,
    zero_init_residual: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """Build a residual network for images of 28 to 64 pixels: stages of blocks of two 3 x 3 convolutions.

    He et al., 2015, arXiv:1512.03385, section 4.2. The defaults are smaller and wider than in the paper, for training
    on a CPU: the stem halves height and width, each stage has one block, 0.31 million parameters. ResNet-20 of the
    paper is `resnet(..., depth=20)`. Difference: where the shape changes, the shortcut is a 1 x 1 convolution (option
    B of the paper) and not zero padding. `widths=(160, 320, 640)` with `preactivation=True` and the stem of the paper
    gives the wide networks of arXiv:1605.07146.

    Args:
        input_shape: (height, width, channels), of any size.
        num_classes: number of logits.
        blocks: number of residual blocks in each stage.
        widths: number of filters in each stage. Each stage but the first halves height and width.
        stem_widths: number of filters of each convolution before the first stage.
        stem_kernel: kernel size of these convolutions, in pixels.
        stem_stride: stride of the last of these convolutions.
        pool_shortcut: downsample shortcuts by average pooling instead of a strided convolution (He et al., 2018,
            arXiv:1812.01187, figure 2).
        preactivation: normalize and activate before each convolution (He et al., 2016, arXiv:1603.05027).
        zero_init_residual: initialize each block as the identity, with a last gamma of zero (Goyal et al., 2017,
            arXiv:1706.02677, section 5.1), or a last kernel of zero with `preactivation`.
        dropout: dropout rate before the last layer, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, num_classes) float32.

    Raises:
        ValueError: `blocks` and `widths` are not positive or differ in length.

    Examples:
        >>> from dlkit.tasks.image_classification.resnet import cifar_resnet
        >>> cifar_resnet((28, 28, 1), 10, blocks=(1, 1), widths=(8, 16)).output_shape
        (None, 10)
    """
    _check_stages(blocks, widths)
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="to_minus_one_one")(image)
    for number, width in enumerate(stem_widths, 1):
        last = number == len(stem_widths)
        x = _conv(width, stem_kernel, f"stem_conv_{number}", stem_stride if last else 1)(x)
        if not (last and preactivation):
            x = _norm_relu(x, f"stem_conv_{number}")
    block: Callable[..., keras.KerasTensor] = _preactivation_block if preactivation else _basic_block
    for stage, (depth, width) in enumerate(zip(blocks, widths, strict=True), 1):
        for number in range(1, depth + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            x = block(x, width, stride, f"stage_{stage}_block_{number}", zero_init_residual, pool_shortcut)
    if preactivation:
        x = _norm_relu(x, "head")
    return _classifier(image, x, num_classes, dropout, "cifar_resnet")


def imagenet_resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    blocks: Sequence[int] = (3, 4, 6, 3),
    widths: Sequence[int] = (64, 128, 256, 512),
    bottleneck: bool = True,
    zero_init_residual: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """Build a residual network for photographs: four stages after a stem of stride 4.

    He et al., 2015, arXiv:1512.03385, table 1; the defaults are ResNet-50, with 25,557,032 trainable parameters at
    three channels and 1000 classes. ResNet-18 (`blocks=(2, 2, 2, 2), bottleneck=False`) has 11,689,512. Difference: the
    stride of a bottleneck is in its 3 x 3 convolution, as in all later implementations ("v1.5").

    Args:
        input_shape: (height, width, channels), of any size; at least 64 x 64 pixels is recommended.
        num_classes: number of logits.
        blocks: number of residual blocks in each stage.
        widths: number of filters of the 3 x 3 convolutions in each stage. Each stage but the first halves height and
            width.
        bottleneck: use blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions, the last with four times as many filters, instead
            of blocks of two 3 x 3 convolutions.
        zero_init_residual: initialize each block as the identity, with a last gamma of zero (Goyal et al., 2017,
            arXiv:1706.02677, section 5.1).
        dropout: dropout rate before the last layer, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, num_classes) float32.

    Raises:
        ValueError: `blocks` and `widths` are not positive or differ in length.

    Examples:
        >>> from dlkit.tasks.image_classification.resnet import imagenet_resnet
        >>> imagenet_resnet((64, 64, 3), 5, blocks=(1, 1), widths=(8, 16)).output_shape
        (None, 5)
    """
    _check_stages(blocks, widths)
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="to_minus_one_one")(image)
    x = _norm_relu(_conv(widths[0], 7, "stem_conv", 2)(x), "stem")
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    block: Callable[..., keras.KerasTensor] = _bottleneck_block if bottleneck else _basic_block
    for stage, (depth, width) in enumerate(zip(blocks, widths, strict=True), 1):
        for number in range(1, depth + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            x = block(x, width, stride, f"stage_{stage}_block_{number}", zero_init_residual)
    return _classifier(image, x, num_classes, dropout, "imagenet_resnet")


def batch_normalization(name: str, gamma: str = "ones") -> FusedBatchNormalization:
    """Create a batch normalization layer; statistics are of the global batch, whatever the number of replicas.

    Args:
        name: name of the layer.
        gamma: initializer of the scale, "ones" or "zeros".

    Returns:
        The layer.
    """
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=name)


def _check_stages(blocks: Sequence[int], widths: Sequence[int]) -> None:
    if not blocks or len(blocks) != len(widths) or min(blocks) < 1 or min(widths) < 1:
        raise ValueError(
            "`blocks` and `widths` must be positive, one of each for each stage. "
            f"Received: blocks={blocks}, widths={widths}."
        )


def _basic_block(
    x: keras.KerasTensor, width: int, stride: int, name: str, zero_init_residual: bool, pool_shortcut: bool = False
) -> keras.KerasTensor:
    shortcut = x
    if stride > 1 or x.shape[-1] != width:
        shortcut = batch_normalization(f"{name}_shortcut_norm")(_project(x, width, stride, name, pool_shortcut))
    x = _norm_relu(_conv(width, 3, f"{name}_conv_1", stride)(x), f"{name}_conv_1")
    x = _conv(width, 3, f"{name}_conv_2")(x)
    x = batch_normalization(f"{name}_conv_2_norm", "zeros" if zero_init_residual else "ones")(x)
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _bottleneck_block(
    x: keras.KerasTensor, width: int, stride: int, name: str, zero_init_residual: bool
) -> keras.KerasTensor:
    shortcut = x
    if stride > 1 or x.shape[-1] != 4 * width:
        shortcut = batch_normalization(f"{name}_shortcut_norm")(_project(x, 4 * width, stride, name, False))
    x = _norm_relu(_conv(width, 1, f"{name}_conv_1")(x), f"{name}_conv_1")
    x = _norm_relu(_conv(width, 3, f"{name}_conv_2", stride)(x), f"{name}_conv_2")
    x = _conv(4 * width, 1, f"{name}_conv_3")(x)
    x = batch_normalization(f"{name}_conv_3_norm", "zeros" if zero_init_residual else "ones")(x)
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _preactivation_block(
    x: keras.KerasTensor, width: int, stride: int, name: str, zero_init_residual: bool, pool_shortcut: bool
) -> keras.KerasTensor:
    shortcut = x
    x = _norm_relu(x, f"{name}_conv_1")
    if stride > 1 or shortcut.shape[-1] != width:
        shortcut = _project(x, width, stride, name, pool_shortcut)
    x = _conv(width, 3, f"{name}_conv_1", stride)(x)
    x = _norm_relu(x, f"{name}_conv_2")
    # The last gamma stands in front of a ReLU, where zero would pass no gradient ever: the kernel is zero instead.
    x = _conv(width, 3, f"{name}_conv_2", initializer="zeros" if zero_init_residual else "he_normal")(x)
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])


def _project(x: keras.KerasTensor, width: int, stride: int, name: str, pool: bool) -> keras.KerasTensor:
    """Project the shortcut where the shape changes."""
    if pool and stride > 1:
        x = keras.layers.AveragePooling2D(stride, padding="same", name=f"{name}_shortcut_pool")(x)
        stride = 1
    return _conv(width, 1, f"{name}_shortcut", stride)(x)


def _conv(filters: int, kernel: int, name: str, stride: int = 1, initializer: str = "he_normal") -> keras.layers.Layer:
    return keras.layers.Conv2D(
        filters, kernel, stride, "same", use_bias=False, kernel_initializer=initializer, name=name
    )


def _norm_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.ReLU(name=f"{name}_relu")(batch_normalization(f"{name}_norm")(x))


def _classifier(
    image: keras.KerasTensor, x: keras.KerasTensor, num_classes: int, dropout: float, name: str
) -> keras.Model:
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model({"image": image}, {"logits": logits}, name=name)
