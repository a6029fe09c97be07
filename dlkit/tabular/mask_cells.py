"""Random masking of cells in training, so that a network knows missing cells and unknown categories."""

from __future__ import annotations

from collections.abc import Mapping

from dlkit.lazy import tf
from dlkit.tabular.category_lookup import MISSING, UNKNOWN


def mask_cells(cells: Mapping[str, tf.Tensor], rate: float, seed: int, step: tf.Tensor) -> dict[str, tf.Tensor]:
    """Mask a fraction of the cells of a batch: numbers as missing, categories as unknown or as missing, half each.

    Args:
        cells: preprocessed cells; see `dlkit.tabular.feature_embedding.CellEmbedding`.
        rate: fraction of the cells.
        seed: seed of the run.
        step: (), number of the training step.
    """
    masked = dict(cells)
    for salt, name in enumerate(("numbers", "categories")):
        if name not in cells:
            continue
        seeds = tf.stack([tf.cast(seed, tf.int64) * 2 + salt, tf.cast(step, tf.int64)])
        drawn = tf.random.stateless_uniform(tf.shape(cells[name]), seeds)
        hidden = drawn < rate
        if name == "categories":
            masked[name] = tf.where(hidden, tf.where(drawn < rate / 2, UNKNOWN, MISSING), cells[name])
        else:
            masked["numbers"] = tf.where(hidden, 0.0, cells["numbers"])
            masked["missing"] = tf.where(hidden, 1.0, cells["missing"])
    return masked
