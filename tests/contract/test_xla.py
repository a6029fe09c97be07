"""What a TPU asks of a task can be asked of a CPU: static shapes, a step that XLA compiles, and its losses."""

import numpy as np
import pytest
import tensorflow as tf
from task_contracts import small_hparams

from dlkit.training.batches import make_batches
from dlkit.training.compile_network import compile_network
from dlkit.training.order import Order
from dlkit.training.prepare import build_task, encode_rows

STEPS, BATCH = 4, 16
HOST = {"PyFunc", "EagerPyFunc", "PyFuncStateless", "Print", "PrintV2", "StringFormat", "LookupTableFindV2"}


@pytest.fixture(scope="module")
def prepared(task_class):
    """A task that is ready to train on batches of a fixed size, without randomness inside the network."""
    hparams = {name: 0.0 for name in ("dropout",) if name in task_class.__dataclass_fields__}
    task = task_class(**small_hparams(task_class.task_name(), batch_size=BATCH, epochs=1, **hparams))
    rows = task.read(task.samples()["train"])
    rows = rows.with_table(rows.table.take(range(STEPS * BATCH - 3)))
    build_task(task, rows)
    store, _ = encode_rows(task, rows, None)
    return task, store, Order(store.rows, BATCH, task.seed, multiple=2)


def unknown_shapes(batches):
    return [spec for spec in tf.nest.flatten(batches.element_spec) if not spec.shape.is_fully_defined()]


def host_operations(step, specs):
    """The operations of a step that no accelerator has: Python's, and those on strings."""
    graph = tf.function(step, autograph=False).get_concrete_function(specs).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    string = tf.string.as_datatype_enum
    return {node.op for node in nodes if node.op in HOST or string in (node.attr["T"].type, node.attr["dtype"].type)}


def losses_of(task, steps, batches, initial, *, jit_compile):
    for variable, value in zip(task.stages_.network.variables, initial, strict=True):
        variable.assign(value)
    trainer, _ = compile_network(task, steps, jit_compile=jit_compile)
    return [trainer.train_on_batch(*batch, return_dict=True)["loss"] for batch in batches]


def test_every_dimension_of_a_training_batch_is_known(prepared):
    task, store, order = prepared
    batches = make_batches(task, store, order, order.steps)(0)
    assert not unknown_shapes(batches)
    assert {spec.shape[0] for spec in tf.nest.flatten(batches.element_spec)} == {BATCH}
    assert unknown_shapes(make_batches(task, store, Order(store.rows, BATCH, task.seed))(0))  # planted: uneven batches


@pytest.mark.core("sentiment")
def test_the_step_compiles_and_gives_the_losses_of_the_uncompiled_one(prepared):
    task, store, order = prepared
    initial = [variable.numpy() for variable in task.stages_.network.variables]
    batches = make_batches(task, store, order, order.steps)(0)
    compiled, plain = (losses_of(task, order.steps, batches, initial, jit_compile=jit) for jit in (True, False))
    assert len(compiled) == STEPS
    np.testing.assert_allclose(compiled, plain, rtol=1e-4)
    assert compiled[0] != compiled[-1]


def test_a_step_that_reads_strings_does_not_compile():
    step = tf.function(lambda x: tf.strings.to_number(tf.strings.as_string(x)), jit_compile=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"uncompilable|not supported|unsupported"):
        step(tf.ones(2))


def test_the_step_has_no_operation_of_the_host(prepared):
    task, store, order = prepared
    trainer, _ = compile_network(task, order.steps)
    specs = make_batches(task, store, order, order.steps)(0).element_spec
    assert not host_operations(trainer.train_step, specs)


def test_operations_of_the_host_are_found():
    def step(x):
        return tf.py_function(lambda y: y, [tf.strings.to_number(tf.strings.as_string(x))], tf.float32)

    assert host_operations(step, tf.TensorSpec([2])) >= {"EagerPyFunc"}
