"""A batch split over replicas, the same global batch whatever their number."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import tf
from dlkit.training.order import make_pipeline_options


def split_over_replicas(batches: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """What Keras reads under a strategy: replica r of R takes rows n·r/R to n·(r+1)/R of each batch of n.

    Every worker makes the whole batch, random changes included, and keeps the parts of its own replicas: the policy
    `DATA` of `tf.data.experimental.AutoShardPolicy`, but for parts that may differ by a row. The result never
    ends: `fit` and `evaluate` need their number of steps. Where it could end, the workers would ask one another
    before each step whether it has.

    Args:
        batches: tuples of nests of tensors with the batch dimension first.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches

    def parts_of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = replicas // context.num_input_pipelines
        first = own * context.input_pipeline_id

        def parts(*batch: Any) -> tf.data.Dataset:
            leaf = tf.nest.flatten(batch)[0]
            rows = leaf.shape[0] or tf.shape(leaf)[0]  # numbers, where they are known: the parts' shapes are then too
            dataset = None
            for replica in range(first, first + own):
                start, stop = rows * replica // replicas, rows * (replica + 1) // replicas
                part = tf.nest.map_structure(lambda tensor, a=start, b=stop: tensor[a:b], batch)
                one = tf.data.Dataset.from_tensors(part)
                dataset = one if dataset is None else dataset.concatenate(one)
            return dataset

        endless = batches.repeat().flat_map(parts).prefetch(own)
        endless = endless.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        return endless.with_options(make_pipeline_options())

    return strategy.distribute_datasets_from_function(parts_of_worker)
