"""Images that show what a generator does: sheets during training, ways between seeds, steps, and nearest images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import to_batch
from dlkit.data.split import evenly_spaced
from dlkit.data.table import Table
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.lazy import tf
from dlkit.options import option
from dlkit.tasks.image_generation.columns import drop_gray_axis
from dlkit.tasks.image_generation.diffusion import DiffusionSampler
from dlkit.tasks.image_generation.encode_images import decode_answers, to_pixels

if TYPE_CHECKING:
    from dlkit.tasks.image_generation.task import ImageGenerator

COLUMNS, GAP = 8, 2  # images in a row of a sheet, and pixels between them
CHUNK = 1000  # images that are compared at a time


def tile_by_label(encoded: Sequence[bytes], labels: Sequence[bytes], count: int = COLUMNS**2) -> bytes:
    """Draw a sheet of images in the order of their labels.

    Args:
        encoded: PNG files of one size.
        labels: label of each.
        count: number of images, evenly spaced.

    Returns:
        A PNG file.
    """
    order = sorted(range(len(labels)), key=lambda row: labels[row])  # stable: always the same sheet
    chosen = [order[row] for row in evenly_spaced(len(order), count)]
    png: bytes = tf.io.encode_png(tile(decode_answers([encoded[row] for row in chosen]))).numpy()
    return png


def tile(images: np.ndarray) -> np.ndarray:
    """Put images side by side on white, 8 in a row: (n, height, width, channels) uint8 to one image."""
    count, height, width, channels = images.shape
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def interpolate(task: ImageGenerator, seed: int, to_seed: int, label: str, count: int) -> list[np.ndarray]:
    """Generate images between those of two seeds; see `ImageGenerator.plot_interpolation`."""
    if count < 2:
        raise HparamError(f"`count` must be at least 2. Received: {count}.")
    sampler, request = _find_sampler(task), _read_request(task, [{"label": label, "seed": seed}] * count)
    first, second = sampler.draw(tf.constant([seed, to_seed]))

    def run(request: dict[str, tf.Tensor]) -> tf.Tensor:
        return sampler.denoise(slerp(first, second, tf.linspace(0.0, 1.0, count)), request)

    return [drop_gray_axis(image) for image in tf.function(run, autograph=False)(request).numpy()]


def slerp(first: tf.Tensor, second: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Interpolate on the sphere: a straight way between two samples of noise would leave the lengths that noise has.

    Args:
        first: float32 of any shape, at the share 0.
        second: of the same shape, at the share 1.
        shares: (n,) float32 in [0, 1].

    Returns:
        (n, *shape) float32; `first` itself where both are the same.
    """
    cosine = tf.reduce_sum(first * second) / (tf.norm(first) * tf.norm(second))
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
    shares = tf.reshape(shares, [-1] + [1] * len(first.shape))
    weights = (tf.sin((1.0 - shares) * angle), tf.sin(shares * angle))
    mixed = (weights[0] * first + weights[1] * second) / tf.maximum(tf.sin(angle), 1e-6)
    return tf.where(angle < 1e-3, (1.0 - shares) * first + shares * second, mixed)


def denoise(task: ImageGenerator, label: str, seed: int) -> list[np.ndarray]:
    """Generate an image and return it after each step, from noise to image; see `ImageGenerator.plot_denoising`."""
    sampler, request = _find_sampler(task), _read_request(task, [{"label": label, "seed": seed}])
    way = [sampler.draw(request["seed"])]
    step = tf.function(lambda number, noisy: sampler.step(number, noisy, request), autograph=False)
    for number in range(int(request["steps"][0])):
        way.append(step(tf.constant(number), way[-1]))
    return [drop_gray_axis(image) for image in to_pixels(tf.concat(way, 0)).numpy()]


def find_nearest(
    task: ImageGenerator, generated: Sequence[np.ndarray], table: Table, count: int
) -> list[list[tuple[np.ndarray, float]]]:
    """Find the images of a table that are nearest to generated ones, by the mean squared difference of pixels.

    Args:
        task: whose images they are; those of the table are decoded as it does for training.
        generated: (height, width) or (height, width, 3) uint8 each.
        table: with a column of images. Those that cannot be read are left out.
        count: number of images to find for each.

    Returns:
        For each generated image, pairs of an image and its root mean square difference, in levels, nearest first.

    Raises:
        HparamError: `count` is not positive.
    """
    if count < 1:
        raise HparamError(f"{option('neighbors', count)}: must be at least 1.")
    column = task.target["image"]
    aims = np.stack(generated).reshape(len(generated), -1).astype(np.float32)
    best: list[list[tuple[float, int, np.ndarray]]] = [[] for _ in generated]
    for start in range(0, len(table), CHUNK):
        rows = table.take(range(start, min(start + CHUNK, len(table))))
        images, readable = task.read_images(rows.raw_column("image", column))
        images = images[readable]
        flat = images.reshape(len(images), -1).astype(np.float32)
        squares = (aims**2).sum(1)[:, None] + (flat**2).sum(1) - 2 * aims @ flat.T
        for nearest, distances in zip(best, np.maximum(squares, 0) / aims.shape[1], strict=True):
            found = [(float(distances[row]), start + int(row), images[row]) for row in np.argsort(distances)[:count]]
            nearest[:] = sorted([*nearest, *found], key=lambda each: each[:2])[:count]
    return [[(drop_gray_axis(image), distance**0.5) for distance, _, image in nearest] for nearest in best]


def _find_sampler(task: ImageGenerator) -> DiffusionSampler:
    task.served()  # raises an error if the task is not fitted
    if task.network != "diffusion" or task.stages_.decode is None:
        raise DlkitError(f"{option('network', task.network)} takes no noise away. Only diffusion models do.")
    task.stages_.sync_decode_weights()
    sampler: DiffusionSampler = task.stages_.decode.get_layer("sampler")
    return sampler


def _read_request(task: ImageGenerator, requests: Sequence[dict[str, Any]]) -> dict[str, tf.Tensor]:
    """Preprocess requests. Raises DataError for one that is refused."""
    rows = [
        {name: column.raw(row.get(name, column.default)) for name, column in task.inputs.items()} for row in requests
    ]
    read = task.stages_.preprocess(to_batch(rows, task.inputs))
    if reason := read["error"][0].numpy().decode():
        raise DataError(reason)
    return {name: read[name] for name in ("seed", "label_id", "steps", "guidance")}
