"""One node of each kind that a servable may not have, planted in the graph and in a function, is found."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.serving.lint import FILE_OPS, LOADER_OPS, PYTHON_OPS, lint, lint_files, read_saved_model

X = {"x": tf.TensorSpec([None, 4], tf.float32)}


def planted(exported, where, op):
    """The SavedModel of an export with a node of an operation in its graph, in a function, or in the loader's own."""
    saved = read_saved_model(exported)
    definition = saved.meta_graphs[0].graph_def
    # By name: the order of the functions differs from export to export, and the first may be one that saves variables.
    names = {"function": "signature_wrapper", "loader": "traced_restore"}
    functions = [f for f in definition.library.function if where in names and names[where] in f.signature.name]
    nodes = functions[0].node_def if functions else definition.node
    nodes.add(name="planted", op=op)
    return saved


def test_a_sound_export_has_none(exported):
    assert lint(read_saved_model(exported), []) == []


@pytest.mark.parametrize("where", ["graph", "function", "loader"])
def test_operations_of_files_and_of_python_are_found(exported, where):
    for op in sorted(FILE_OPS):
        assert hasattr(tf.raw_ops, op) or op in ("ImportEvent",), op
        found = lint_files(planted(exported, where, op).meta_graphs[0])
        if where == "loader" and op in LOADER_OPS - {"RestoreV2"}:
            assert found == []  # a server never runs it
        else:
            assert len(found) == 1 and f"{op} (" in found[0] and "planted" in found[0], op
    for op in sorted(PYTHON_OPS):
        found = lint(planted(exported, where, op), [])
        assert len(found) == 1 and f"{op} (" in found[0] and "Python" in found[0], op


@pytest.mark.parametrize("op", ["XlaDynamicUpdateSlice", "XlaConvV2"])
def test_operations_of_xla_are_found(exported, op):
    assert "XLA-only" in lint(planted(exported, "function", op), [])[0]


def test_must_compile_and_devices_are_found(exported):
    saved = read_saved_model(exported)
    node = saved.meta_graphs[0].graph_def.node.add(name="planted", op="NoOp", device="/device:GPU:0")
    node.attr["_XlaMustCompile"].b = True
    saved.meta_graphs[0].graph_def.library.function[0].attr["_XlaMustCompile"].b = True
    compiled, placed = lint(saved, [])
    assert "planted" in compiled and "must be compiled" in compiled
    assert "/device:GPU:0" in placed


def test_what_restores_variables_is_for_the_loader_alone(exported):
    saved = read_saved_model(exported)
    graph = saved.meta_graphs[0]
    restore = next(node for node in graph.graph_def.node if node.name == graph.saver_def.restore_op_name)
    graph.graph_def.node.add(name="reader", op="StatefulPartitionedCall").attr["f"].CopyFrom(restore.attr["f"])
    assert "are used by: reader" in lint(saved, [])[0]
    graph.graph_def.node[-1].CopyFrom(type(restore)(name="after", op="NoOp", input=[f"^{restore.name}"]))
    assert "are used by: after" in lint(saved, [])[0]
    del graph.graph_def.node[-1]
    assert lint(saved, []) == []
    graph.signature_def["serving_default"].outputs["labels"].name = f"{restore.name}:0"
    assert "are used by: signature `serving_default`" in lint(saved, [])[0]
    graph.CopyFrom(read_saved_model(exported).meta_graphs[0])
    restore.input[0] = "elsewhere"  # a constant, for one, instead of the loader's own name of the file
    graph.graph_def.node.remove(next(node for node in graph.graph_def.node if node.name == restore.name))
    graph.graph_def.node.add().CopyFrom(restore)
    assert "RestoreV2" in lint(saved, [])[0]


def eager(x):
    return tf.py_function(np.sin, [x], tf.float32)


def numpy_function(x):
    return tf.numpy_function(np.sin, [x], tf.float32)


def read_file(x):
    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def write_file(x):
    with tf.control_dependencies([tf.io.write_file("/tmp/never-written", "x")]):
        return tf.identity(x)


def matching_files(x):
    return x + tf.cast(tf.size(tf.io.matching_files("/etc/*")), tf.float32)


def restore(x):
    return (
        x + tf.raw_ops.RestoreV2(prefix="/tmp/none", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32])[0]
    )


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (eager, "EagerPyFunc"), (numpy_function, "PyFunc"), (read_file, "ReadFile"), (write_file, "WriteFile"),
        (matching_files, "MatchingFiles"), (restore, "RestoreV2"),
    ],
)  # fmt: skip
def test_a_traced_one_is_found_before_it_runs(prove_function, function, op):
    report = prove_function(
        lambda inputs: {"y": tf.ensure_shape(function(inputs["x"]), [None, 4])},
        X,
        [({"x": np.zeros((1, 4), np.float32)}, {"y": np.zeros((1, 4), np.float32)})],
    )
    assert not report["ok"] and f"{op} (" in "\n".join(report["problems"])
    assert report["signatures"] == {}
