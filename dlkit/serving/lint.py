"""Checks of `saved_model.pb`, without loading it, for what a stock `tensorflow_model_server` would refuse."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorflow.core.framework import node_def_pb2
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

# Dtypes that TensorFlow Serving converts from JSON and back.
REST_DTYPES = frozenset(
    "float32 float64 int8 int16 int32 int64 uint8 uint32 uint64 bool string".split()  # noqa: SIM905
)
PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
# Operations of TensorFlow 2.21 that read or write files, or access a network address.
FILE_OPS = frozenset(
    """
    ReadFile WriteFile MatchingFiles Save SaveSlices SaveV2 Restore RestoreSlice RestoreV2 MergeV2Checkpoints
    ShardedFilename ShardedFilespec LoadAndRemapMatrix GenerateVocabRemapping ImmutableConst RecordInput
    InitializeTableFromTextFile InitializeTableFromTextFileV2 FixedUnigramCandidateSampler FileSystemSetConfiguration
    WholeFileReader WholeFileReaderV2 TextLineReader TextLineReaderV2 FixedLengthRecordReader FixedLengthRecordReaderV2
    TFRecordReader TFRecordReaderV2 LMDBReader IdentityReader IdentityReaderV2 ReaderRead ReaderReadV2 ReaderReadUpTo
    ReaderReadUpToV2 TextLineDataset TFRecordDataset TFRecordDatasetV2 FixedLengthRecordDataset
    FixedLengthRecordDatasetV2 CSVDataset CSVDatasetV2 ExperimentalCSVDataset LMDBDataset ExperimentalLMDBDataset
    SqlDataset ExperimentalSqlDataset MatchingFilesDataset ExperimentalMatchingFilesDataset CacheDataset CacheDatasetV2
    SaveDataset SaveDatasetV2 LoadDataset SnapshotDataset SnapshotDatasetV2 SnapshotDatasetReader SnapshotChunkDataset
    SnapshotNestedDatasetReader ListSnapshotChunksDataset DistributedSave DatasetToTFRecord
    ExperimentalDatasetToTFRecord CreateSummaryFileWriter CreateSummaryDbWriter SummaryWriter ImportEvent WriteSummary
    WriteAudioSummary WriteGraphSummary WriteHistogramSummary WriteImageSummary WriteRawProtoSummary WriteScalarSummary
    FlushSummaryWriter CloseSummaryWriter StatsAggregatorSetSummaryWriter PrintV2 DebugIdentity DebugIdentityV2
    DebugIdentityV3 DebugNanCount DebugNumericSummary DataServiceDataset DataServiceDatasetV2 DataServiceDatasetV3
    DataServiceDatasetV4 RegisterDataset RegisterDatasetV2
    """.split()  # noqa: SIM905
)
LOADER_OPS = frozenset({"RestoreV2", "SaveV2", "ShardedFilename", "MergeV2Checkpoints"})
INIT_SIGNATURE = "__saved_model_init_op"
_METHOD = "tensorflow/serving/"


def read_saved_model(version_dir: pathlib.Path) -> saved_model_pb2.SavedModel:
    """Read the SavedModel protobuf of a version directory."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((pathlib.Path(version_dir) / "saved_model.pb").read_bytes())
    return saved_model


def lint(saved_model: saved_model_pb2.SavedModel, declared_ops: list[str]) -> list[str]:
    """List the problems of a SavedModel: nodes first, then signatures.

    Args:
        saved_model: the protobuf that `read_saved_model` returns.
        declared_ops: operations from outside core TensorFlow that the contract declares.
    """
    graphs = [graph for graph in saved_model.meta_graphs if set(graph.meta_info_def.tags) == {"serve"}]
    if len(graphs) != 1:
        return [f"there must be exactly one graph with the tag `serve`, there are {len(graphs)}"]
    problems = lint_nodes(graphs[0]) + lint_files(graphs[0])
    undeclared = sorted(set(ops_beyond_core(saved_model)) - set(declared_ops))
    if undeclared:
        problems.append(
            f"operations outside core TensorFlow that no declared library provides: {', '.join(undeclared)}; a "
            "standard server may not have them. Replace them, or declare their package under `libraries`"
        )
    signatures = {name: value for name, value in graphs[0].signature_def.items() if name != INIT_SIGNATURE}
    if "serving_default" not in signatures:
        problems.append("there is no signature `serving_default`, which unnamed requests use")
    for name in sorted(signatures):
        problems += lint_signature(name, signatures[name])
    return problems


def lint_nodes(graph: meta_graph_pb2.MetaGraphDef) -> list[str]:
    """List nodes that a server without Python and XLA cannot run, or that are placed on a device."""
    xla, compiled, python, placed = set(), set(), set(), set()
    for where, node in _nodes(graph):
        if node.op.startswith("Xla"):
            xla.add(node.op)
        if node.op in PYTHON_OPS:
            python.add(f"{node.op} ({where}{node.name})")
        if node.attr["_XlaMustCompile"].b if "_XlaMustCompile" in node.attr else False:
            compiled.add(f"{where}{node.name}")
        if node.device:
            placed.add(node.device)
    for function in graph.graph_def.library.function:
        if "_XlaMustCompile" in function.attr and function.attr["_XlaMustCompile"].b:
            compiled.add(function.signature.name)
    found = [
        (xla, "XLA-only operations, which a standard server cannot run: {}. Use core operations"),
        (compiled, "functions that must be compiled by XLA: {}. Remove jit_compile=True"),
        (python, "operations that call Python: {}. Use TensorFlow operations"),
        (placed, "nodes placed on a device: {}. Trace them outside tf.device"),
    ]
    return [text.format(", ".join(sorted(names)[:5])) for names, text in found if names]


def lint_files(graph: meta_graph_pb2.MetaGraphDef) -> list[str]:
    """List nodes that read or write files, except those that restore the variables when the model is loaded."""
    saver, definition = graph.saver_def, graph.graph_def
    filename, *own = (
        name.partition(":")[0] for name in (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name)
    )
    loaders = [node for node in definition.node if node.name in own]
    # Each function that the loader calls, with the name of its argument for the file.
    called = {
        function.signature.name: [argument.name for argument in function.signature.input_arg][:1]
        for function in definition.library.function
        if any(function.signature.name in _functions(node) and [*node.input][:1] == [filename] for node in loaders)
    }
    files, reached = set(), set()
    for where, node in _nodes(graph):
        inside = called.get(where.rstrip("/"))
        restores = inside is not None and (node.op != "RestoreV2" or [*node.input][:1] == inside)
        if node.op in FILE_OPS and not (node.op in LOADER_OPS and restores):
            files.add(f"{node.op} ({where}{node.name})")
        if where or node.name not in own:
            inputs = {name.removeprefix("^").partition(":")[0] for name in node.input} if not where else set()
            if inputs.intersection(own) or _functions(node).intersection(called):
                reached.add(f"{where}{node.name}")
    for name, signature in graph.signature_def.items():
        tensors = [*signature.inputs.values(), *signature.outputs.values()]
        reached |= {f"signature `{name}`" for info in tensors if info.name.partition(":")[0] in own}
    found = [
        (files, "operations that read or write files, or access the network: {}. A server must not do this"),
        (reached, "operations reserved for restoring variables are used by: {}"),
    ]
    return [text.format(", ".join(sorted(names)[:5])) for names, text in found if names]


def _functions(node: node_def_pb2.NodeDef) -> set[str]:
    """Return the functions that a node calls or passes on."""
    values = node.attr.values()
    return {node.op, *(value.func.name for value in values), *(f.name for value in values for f in value.list.func)}


def lint_signature(name: str, signature: meta_graph_pb2.SignatureDef) -> list[str]:
    """List inputs and outputs that REST cannot represent or that cannot be batched."""
    from tensorflow import dtypes

    problems = []
    tensors = [("input", key, info) for key, info in sorted(signature.inputs.items())]
    tensors += [("output", key, info) for key, info in sorted(signature.outputs.items())]
    for kind, key, info in tensors:
        where = f"{kind} `{key}` of signature `{name}`"
        if info.WhichOneof("encoding") != "name":
            problems.append(f"{where} is ragged or sparse; pad it into a dense tensor")
            continue
        dtype = dtypes.as_dtype(info.dtype).name
        if dtype not in REST_DTYPES:
            problems.append(f"{where} has the dtype {dtype}, which JSON cannot represent; cast it")
        shape = shape_of(info)
        if shape is None:
            problems.append(f"{where} has no known rank; fix it with tf.ensure_shape")
        elif not shape or shape[0] is not None:
            problems.append(f"{where} has the shape {shape}; its first dimension must be the batch, None")
    if not tensors or not signature.outputs:
        problems.append(f"signature `{name}` has no outputs")
    if signature.method_name == f"{_METHOD}classify":
        problems += _lint_classify(name, signature)
    elif signature.method_name == f"{_METHOD}regress":
        problems += _lint_regress(name, signature)
    elif signature.method_name != f"{_METHOD}predict":
        problems.append(
            f"signature `{name}` has the method {signature.method_name!r}; expected predict, classify or regress"
        )
    return problems


def _lint_classify(name: str, signature: meta_graph_pb2.SignatureDef) -> list[str]:
    from tensorflow import dtypes

    problems = []
    if set(signature.inputs) != {"inputs"}:
        problems.append(f"classify signature `{name}` must have the one input `inputs`: {sorted(signature.inputs)}")
    if not set(signature.outputs) <= {"classes", "scores"}:
        problems.append(f"classify signature `{name}` may have `classes` and `scores`: {sorted(signature.outputs)}")
    for key, expected in (("classes", "string"), ("scores", "float32")):
        if key in signature.outputs:
            info = signature.outputs[key]
            received, rank = dtypes.as_dtype(info.dtype).name, len(info.tensor_shape.dim)
            if (received, rank) != (expected, 2):
                problems.append(
                    f"output `{key}` of classify signature `{name}` must be (batch, classes) {expected}; "
                    f"it is {received} of rank {rank}"
                )
    return problems


def _lint_regress(name: str, signature: meta_graph_pb2.SignatureDef) -> list[str]:
    from tensorflow import dtypes

    if set(signature.inputs) != {"inputs"} or set(signature.outputs) != {"outputs"}:
        found = f"{sorted(signature.inputs)} and {sorted(signature.outputs)}"
        return [f"regress signature `{name}` must have the one input `inputs` and the one output `outputs`: {found}"]
    info = signature.outputs["outputs"]
    received, rank = dtypes.as_dtype(info.dtype).name, len(info.tensor_shape.dim)
    if (received, rank) != ("float32", 1):
        return [f"the output of regress signature `{name}` must be (batch,) float32; it is {received} of rank {rank}"]
    return []


def ops_beyond_core(saved_model: saved_model_pb2.SavedModel) -> list[str]:
    """Return the operations of a SavedModel that are not part of core TensorFlow, sorted."""
    import tensorflow as tf

    names = set()
    for graph in saved_model.meta_graphs:
        functions = {function.signature.name for function in graph.graph_def.library.function}
        names |= {node.op for _, node in _nodes(graph)} - functions
    # `tf.raw_ops` lists what the TensorFlow wheel itself brings, whatever other packages have registered
    # since.
    return sorted(name for name in names if not hasattr(tf.raw_ops, name) and not name.startswith("_"))


def shape_of(tensor_info: meta_graph_pb2.TensorInfo) -> list[int | None] | None:
    """Return the shape of a TensorInfo: None for a variable dimension, and None instead of the list for an unknown
    rank."""
    shape = tensor_info.tensor_shape
    return None if shape.unknown_rank else [None if dim.size < 0 else dim.size for dim in shape.dim]


def _nodes(graph: meta_graph_pb2.MetaGraphDef) -> Iterator[tuple[str, node_def_pb2.NodeDef]]:
    for node in graph.graph_def.node:
        yield "", node
    for function in graph.graph_def.library.function:
        for node in function.node_def:
            yield f"{function.signature.name}/", node
