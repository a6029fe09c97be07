"""Each check of the proof fails on a planted fault, and passes without it."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.cli.main import main as command_line
from dlkit.errors import ExportError
from dlkit.serving import export as export_module
from dlkit.serving import prove as prove_module
from dlkit.serving import signature as signature_module
from dlkit.serving import verify as verify_module
from dlkit.serving.lint import lint, read_saved_model
from dlkit.serving.prove import lint_export
from dlkit.serving.verify import run_proof

X = {"x": tf.TensorSpec([None, 4], tf.float32)}
ROWS = [np.float32([[1, 2, 3, 4]]), np.float32([[4, 0, 1, 9]]), np.float32([[7, 7, 0, 2]])]


def reference_examples(function, rows=ROWS):
    return [({"x": row}, {"y": np.array(function(row))}) for row in rows]


def problems(report):
    assert report["ok"] == (not report["problems"])
    return "\n".join(report["problems"])


def test_a_sound_function_is_proven(prove_function):
    report = prove_function(lambda i: {"y": i["x"] * 2}, X, reference_examples(lambda x: x * 2))
    assert report["ok"], report
    figures = report["signatures"]["serving_default"]
    assert (figures["alone"], figures["mixed"], figures["probes"]) == (3, 1, 5)
    assert figures["max_error"] == {"y": 0.0}


def test_xla_operations_are_found(prove_function, monkeypatch):
    monkeypatch.setattr(signature_module, "core_ops_only", contextlib.nullcontext)
    layer = keras.layers.Conv1D(4, 1, groups=2)
    layer.build((None, 1, 4))

    def function(inputs):
        updated = keras.ops.slice_update(inputs["x"], [0, 0], inputs["x"][:, :1])
        return {"y": layer(updated[:, None, :])[:, 0]}

    text = problems(prove_function(function, X, reference_examples(lambda x: x)))
    assert "XlaDynamicUpdateSlice" in text and "jit_compile" in text


def test_python_operations_are_found(prove_function):
    def function(inputs):
        return {"y": tf.ensure_shape(tf.numpy_function(np.sin, [inputs["x"]], tf.float32), [None, 4])}

    assert "PyFunc" in problems(prove_function(function, X, reference_examples(np.sin)))


@pytest.mark.parametrize(
    ("function", "answer", "message"),
    [
        (lambda x: tf.cast(x, tf.bfloat16), lambda x: x, "`y`.*bfloat16.*cast it"),
        (lambda x: x[:1], lambda x: x, r"`y`.*has shape|`y`.*first dimension must be the batch"),
        (lambda x: tf.reduce_sum(x), lambda x: x.sum(1), r"`y`.*shape \[\].*batch"),
    ],
)
def test_outputs_that_rest_cannot_carry_are_found(prove_function, function, answer, message):
    text = problems(prove_function(lambda i: {"y": function(i["x"])}, X, reference_examples(answer)))
    assert re.search(message, text), text


def test_a_batch_coupled_model_is_found(prove_function):
    def function(inputs):
        return {"y": inputs["x"] - tf.reduce_mean(inputs["x"], axis=0, keepdims=True)}

    text = problems(prove_function(function, X, reference_examples(np.zeros_like)))
    assert "as row 0 of a mixed batch of 4 inputs" in text and "off by" in text
    assert "alone" not in text


def test_a_wrong_reference_example_is_named_with_input_output_and_amount(prove_function):
    pairs = reference_examples(lambda x: x)
    pairs[1][1]["y"][0, 2] += 0.25
    text = problems(prove_function(lambda i: {"y": i["x"]}, X, pairs))
    assert "input 1 row 0 (x: [[4.0, 0.0, 1.0, 9.0]]): output `y` is 1 at [0, 2]" in text
    assert "off by 0.25" in text and "input 0" not in text


def test_an_error_in_the_graph_is_a_finding(prove_function):
    def function(inputs):
        with tf.control_dependencies([tf.debugging.Assert(inputs["x"][0, 0] < 5, ["too large"])]):
            return {"y": tf.identity(inputs["x"])}

    text = problems(prove_function(function, X, reference_examples(lambda x: x)))
    assert "too large" in text and "input 2 row 0 alone" in text


def test_a_missing_output_is_found(prove_function):
    pairs = [({"x": row}, {"y": row, "z": row}) for row in ROWS]
    assert "have `z`" in problems(prove_function(lambda i: {"y": i["x"]}, X, pairs))


def test_a_signature_that_does_not_check_its_inputs_is_found(prove_function, monkeypatch):
    monkeypatch.setattr(signature_module, "_checked_inputs", lambda signature, inputs: inputs)
    text = problems(prove_function(lambda i: {"y": i["x"] * 2}, X, reference_examples(lambda x: x * 2)))
    assert "`x` of the invalid shape [4] was answered" in text
    assert "`x` of the invalid shape [1, 5] was answered" in text and "tf.ensure_shape" in text


def test_operations_of_other_packages_must_be_declared(prove_function, tmp_path):
    text = pytest.importorskip("tensorflow_text")
    inputs = {"t": tf.TensorSpec([None], tf.string)}
    pairs = [({"t": np.array(["ﬁ"], object)}, {"y": np.array(["fi"], object)})]

    def function(given):
        return {"y": text.normalize_utf8(given["t"], "NFKC")}

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    found = problems(prove_function(function, inputs, pairs, path=tmp_path / "a"))
    assert "NormalizeUTF8" in found and "`libraries`" in found
    assert prove_function(function, inputs, pairs, {"libraries": ["tensorflow_text"]}, path=tmp_path / "b")["ok"]


TWO = {"x": tf.TensorSpec([None], tf.float32), "name": tf.TensorSpec([None], tf.string)}
PAIRS = [({"x": np.float32([i]), "name": np.array([b"n"], object)}, {"y": np.float32([i + 1])}) for i in range(2)]


def two(inputs):
    return {"y": inputs["x"] + tf.cast(tf.strings.length(inputs["name"][:1]), tf.float32)}


def test_inputs_of_different_lengths_are_refused(prove_function, tmp_path):
    assert prove_function(two, TWO, PAIRS)["ok"]
    from dlkit.serving.served import load_signatures

    with load_signatures(tmp_path) as served, pytest.raises(tf.errors.InvalidArgumentError) as caught:
        served["serving_default"]({"x": np.float32([1, 2, 3]), "name": np.array([b"n", b"m"], object)})
    assert "equally many rows" in str(caught.value) and "[x:] [3]" in str(caught.value)


def test_inputs_of_different_lengths_that_are_answered_are_found(prove_function, monkeypatch):
    monkeypatch.setattr(
        signature_module,
        "_checked_inputs",
        lambda signature, inputs: {k: tf.ensure_shape(v, signature.inputs[k].shape) for k, v in inputs.items()},
    )
    text = problems(prove_function(two, TWO, PAIRS))
    assert "equally many rows" in text


def test_lint_finds_devices_missing_default_undeclared_ops_and_bad_classify(exported):
    saved_model = read_saved_model(exported)
    assert lint(saved_model, []) == []
    graph = saved_model.meta_graphs[0]
    graph.graph_def.node[0].device = "/device:GPU:0"
    graph.graph_def.node.add(name="w", op="WordpieceTokenizeWithOffsets")
    graph.signature_def["classify"].outputs["extra"].CopyFrom(graph.signature_def["classify"].outputs["scores"])
    graph.signature_def["preprocessed"].outputs["scores"].tensor_shape.unknown_rank = True
    graph.signature_def["other"].CopyFrom(graph.signature_def["serving_default"])
    del graph.signature_def["serving_default"]
    text = "\n".join(lint(saved_model, []))
    for part in (
        "GPU:0",
        "WordpieceTokenizeWithOffsets",
        "no signature `serving_default`",
        "'extra'",
        "no known rank",
    ):
        assert part in text
    assert "Wordpiece" not in "\n".join(lint(saved_model, ["WordpieceTokenizeWithOffsets"]))


def test_a_request_that_aborts_the_process_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(signature_module, "_checked_inputs", lambda signature, inputs: inputs)
    kernel = tf.Variable(tf.ones([3, 3, 1, 2]))
    signature = signature_module.Signature(
        "serving_default",
        lambda i: {"y": tf.nn.conv2d(i["x"], kernel, 1, "SAME")},
        {"x": tf.TensorSpec([None, 4, 4, 1])},
    )
    image = np.ones((1, 4, 4, 1), np.float32)
    pairs = export_module.prepare_reference_examples(
        signature, [({"x": image}, {"y": tf.nn.conv2d(image, kernel, 1, "SAME").numpy()})]
    )
    export_module.write_servable(tmp_path, "abort", [signature], [], {"serving_default": pairs}, {})
    text = problems(run_proof(tmp_path))
    print(text)
    # Where oneDNN does not abort, TensorFlow answers wrong sizes, and that is a finding too.
    assert "killed by SIGABRT during: signature `serving_default`" in text or "was answered" in text


@pytest.fixture
def planted_library(exported, tmp_path, monkeypatch):
    """An export that names a package, which tells where it was imported."""
    version = shutil.copytree(exported, tmp_path / "tiny" / "1")
    contract = json.loads((version / "assets.extra" / "dlkit.json").read_text())
    contract["libraries"] = ["planted_library"]
    (version / "assets.extra" / "dlkit.json").write_text(json.dumps(contract))
    (tmp_path / "planted_library.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    return version, tmp_path / "imported"


def test_a_package_that_a_contract_names_is_not_imported_unless_it_is_given(planted_library):
    version, imported = planted_library
    with pytest.raises(
        ExportError, match=r"needs the package 'planted_library'.* dlkit verify --library planted_library"
    ):
        lint_export(version)
    assert not imported.exists()
    assert lint_export(version, ["planted_library"])[1] == [] and imported.exists()
    with pytest.raises(ExportError, match="needs the package 'planted_library'"):
        lint_export(version, ["tensorflow_text"])


def test_a_package_that_is_not_there_is_told(planted_library):
    version, _ = planted_library
    contract = (version / "assets.extra" / "dlkit.json").read_text().replace("planted_library", "no_such_library")
    (version / "assets.extra" / "dlkit.json").write_text(contract)
    with pytest.raises(ExportError, match=r"the package 'no_such_library': not an importable package \(No module"):
        lint_export(version, ["no_such_library"])


def test_names_of_packages_reach_the_proof(capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(verify_module, "version_directory", lambda path: path)
    monkeypatch.setattr(verify_module, "run_proof", lambda path, libraries: asked.append(libraries) or {"ok": True})
    monkeypatch.setattr("dlkit.cli.show.show_proof", lambda report: None)
    assert command_line(["verify", "served", "--library", "one", "--library", "two"]) == 0
    assert asked == [["one", "two"]]
    with pytest.raises(ExportError, match="needs the package"):
        monkeypatch.setattr(prove_module, "read_contract", lambda path: {"libraries": ["os.path"]})
        lint_export(Path("served"), ["os"])


@pytest.mark.parametrize(
    "file", ["saved_model.pb", "assets.extra/dlkit_reference_examples.npz", "assets.extra/dlkit.json"]
)
def test_files_of_an_export_that_are_none(exported, tmp_path, file, capfd):
    version = shutil.copytree(exported, tmp_path / "1")
    (version / file).write_bytes(b"\xff" * 100)
    assert prove_module.main(["--worker", str(version)]) == 0
    report = json.loads(capfd.readouterr().out.splitlines()[-1].removeprefix("report: "))
    assert not report["ok"] and str(version / file) in report["problems"][0]
