"""What a TPU asks of a task can be asked of a CPU: static shapes, a step that XLA compiles, and its losses."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.data.read import read
from dlkit.training.batches import batches
from dlkit.training.compile_network import compile_network
from dlkit.training.order import Order
from dlkit.training.prepare import encode, start

STEPS, BATCH = 4, 16


@pytest.fixture(scope="module")
def prepared(task_class):
    """A task that is ready to train on batches of a fixed size, without randomness inside the network."""
    knobs = {name: 0.0 for name in ("dropout",) if name in task_class.__dataclass_fields__}
    task = task_class(batch_size=BATCH, epochs=1, **knobs)
    table = read(task.samples()["train"], {**task.inputs, **task.target}).take(range(STEPS * BATCH - 3))
    start(task, table)
    store, _ = encode(task, table, None)
    return task, store, Order(store.rows, BATCH, task.seed, multiple=2)


def test_every_dimension_of_a_training_batch_is_known(prepared):
    task, store, order = prepared
    specs = tf.nest.flatten(batches(task, store, order).element_spec)
    assert all(spec.shape.is_fully_defined() for spec in specs), specs
    assert {spec.shape[0] for spec in specs} == {BATCH}


def test_the_step_compiles_and_gives_the_losses_of_the_uncompiled_one(prepared):
    task, store, order = prepared
    initial = [variable.numpy() for variable in task.stages_.network.variables]
    losses = {}
    for jit_compile in (False, True):
        for variable, value in zip(task.stages_.network.variables, initial, strict=True):
            variable.assign(value)
        trainer, _ = compile_network(task, order.steps, jit_compile=jit_compile)
        losses[jit_compile] = [
            trainer.train_on_batch(*batch, return_dict=True)["loss"] for batch in batches(task, store, order)
        ]
    assert len(losses[True]) == STEPS
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)
    assert losses[True][0] != losses[True][-1]


def test_the_step_has_no_operation_of_the_host(prepared):
    task, store, order = prepared
    trainer, _ = compile_network(task, order.steps)
    specs = batches(task, store, order).element_spec
    step = tf.function(trainer.train_step, autograph=False).get_concrete_function(specs)
    graph = step.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    host = {"PyFunc", "EagerPyFunc", "PyFuncStateless", "Print", "PrintV2", "StringFormat", "LookupTableFindV2"}
    assert host.isdisjoint(node.op for node in nodes)
    assert not [
        node.name for node in nodes if tf.string.as_datatype_enum in (node.attr["T"].type, node.attr["dtype"].type)
    ]
