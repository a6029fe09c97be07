"""The EXIF orientation of images: pictures, sizes and boxes turned by it. 1 is upright; from 5 on the sides swap.

The tag 274 of EXIF: a transposition from 5 on, then a mirroring of rows, of columns, or of both.
"""

from __future__ import annotations

import numpy as np

from dlkit.lazy import tf

EXIF_TAG = 274
FIRST_SWAPPED = 5  # the first orientation whose picture has height and width exchanged
_ROWS, _COLUMNS = (3, 4, 7, 8), (2, 3, 6, 7)  # those whose rows, and whose columns, are reversed in the end


def orient_image(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """A stored picture as it is to be seen: (height, width, channels) of any dtype, and () int32, 1 to 8."""

    def turned() -> tf.Tensor:  # one gather of pixels: transposing and reversing them takes several times as long
        stored = tf.shape(image)
        size = swap_sides(stored[:2], orientation)
        rows, columns = (
            tf.where(reverse, side - 1 - tf.range(side), tf.range(side))
            for reverse, side in zip(find_reversals(orientation), (size[0], size[1]), strict=True)
        )
        steps = swap_sides(tf.stack([stored[1], 1]), orientation)
        places = rows[:, tf.newaxis] * steps[0] + columns * steps[1]
        return tf.gather(tf.reshape(image, [-1, stored[2]]), places)

    return tf.cond(orientation > 1, turned, lambda: image)


def find_reversals(orientation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether rows, and whether columns, are reversed after the transposition: () bool each."""
    return tuple(tf.reduce_any(orientation == tf.constant(those)) for those in (_ROWS, _COLUMNS))


def swap_sides(size: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """(2,): height and width of a picture as it is seen from those stored, or the other way round."""
    # Not size[::-1]: of a shape, TensorFlow's optimizer cannot infer it, and gives up on the whole graph.
    return tf.where(orientation >= FIRST_SWAPPED, tf.stack([size[1], size[0]]), size)


def orient_array(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What `turn` makes, of (height, width, ...)."""
    if orientation >= FIRST_SWAPPED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in _ROWS:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in _COLUMNS else pixels


def orient_boxes(boxes: np.ndarray, orientation: int, height: int, width: int) -> np.ndarray:
    """Boxes of a stored picture in that which is seen.

    Args:
        boxes: (boxes, 4 or more) yxyx in pixels of the stored picture; what follows stays.
        orientation: 1 to 8.
        height, width: of the stored picture.
    """
    turned = np.array(boxes)
    if orientation >= FIRST_SWAPPED:
        turned[:, :4] = turned[:, [1, 0, 3, 2]]
        height, width = width, height
    if orientation in _ROWS:
        turned[:, [0, 2]] = height - turned[:, [2, 0]]
    if orientation in _COLUMNS:
        turned[:, [1, 3]] = width - turned[:, [3, 1]]
    return turned
