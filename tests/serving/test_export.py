"""What an export leaves on disk, and that a failed one leaves nothing."""

import base64
import datetime
import errno
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from dlkit.errors import ExportError
from dlkit.serving import export as export_module
from dlkit.serving import staging
from dlkit.serving.contract import _revision
from dlkit.serving.export import export
from dlkit.serving.model_card import write_model_card
from dlkit.serving.requests import import_serving_apis
from dlkit.serving.signature import Signature
from dlkit.serving.verify import FORMAT, find_version_directory, read_contract, run_proof, verify

SIGNATURE = Signature("serving_default", lambda i: {"y": i["x"] * 2}, {"x": tf.TensorSpec([None], tf.float32)})
GOLDENS = {"serving_default": [({"x": np.float32([1])}, {"y": np.float32([2])})]}


def write(directory, **changes):
    arguments = {"signatures": [SIGNATURE], "trackables": [], "reference_examples": GOLDENS, "contract": {}}
    return export(directory, **{**arguments, **changes})


@pytest.fixture
def unproven(monkeypatch):
    monkeypatch.setattr(export_module, "run_proof", lambda path, libraries=(): {"ok": True, "problems": []})


def test_files(exported, tiny):
    assert exported.name == "1"
    files = {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    extra = [
        "MODEL_CARD.md",
        "dlkit.json",
        "dlkit_reference_examples.npz",
        "request.json",
        "tf_serving_warmup_requests",
    ]
    variables = ["variables/variables.index", "variables/variables.data-00000-of-00001"]
    assert files == {
        "saved_model.pb",
        "fingerprint.pb",
        *variables,
        *(f"assets.extra/{name}" for name in extra),
    }
    weights = sum(variable.numpy().nbytes for variable in tiny.network.variables)
    data = (exported / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert data < 1.5 * weights  # no optimizer state
    assert [path.name for path in exported.parent.iterdir()] == ["1"]


def test_contract(exported, contract):
    assert contract["format"] == FORMAT and contract["name"] == "tiny" and contract["task"] == "tiny"
    assert contract["labels"] == ["cat", "dog", "köln"] and contract["metrics"] == {"accuracy": 0.5}
    assert contract["ops_beyond_core"] == [] and contract["libraries"] == []
    assert {"dlkit", "tensorflow", "keras", "python"} <= set(contract["versions"])
    tensors = contract["signatures"]["preprocessed"]
    assert tensors["inputs"]["pixels"] == {"dtype": "uint8", "shape": [None, 8, 8, 4]}
    assert tensors["outputs"]["scores"] == {
        "dtype": "float32",
        "shape": [None, 3],
        "atol": 1e-6,
        "rtol": 1e-5,
    }
    assert tensors["outputs"]["labels"] == {"dtype": "string", "shape": [None, 3], "ranked_by": "scores"}
    assert contract["signatures"]["serving_default"]["inputs"]["image"]["description"] == "PNG bytes"


def test_contract_tells_when_of_what_code_and_how_large(exported, contract, monkeypatch, tmp_path):
    made = datetime.datetime.fromisoformat(contract["date"])
    assert made.utcoffset() == datetime.timedelta(0) and made <= datetime.datetime.now(datetime.UTC)
    extra = exported / "assets.extra"
    assert contract["size"] == sum(
        file.stat().st_size for file in exported.rglob("*") if file.is_file() and extra not in file.parents
    )
    monkeypatch.chdir(tmp_path)
    assert _revision() == ""  # no repository
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    assert re.fullmatch("[0-9a-f]{40}", _revision())


def test_model_card(exported, contract):
    card = (exported / "assets.extra" / "MODEL_CARD.md").read_text("utf-8")
    sections = [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]
    assert sections == [
        "Model details",
        "Intended use",
        "Training data",
        "Metrics",
        "Inputs and outputs",
        "Limits",
    ]
    assert contract["date"] in card and "`cat`, `dog`, `köln`" in card and "| `accuracy` | 0.5 |" in card
    assert "| `pixels` | in | uint8 | any x 8 x 8 x 4 |" in card and "was not evaluated on test data" in card
    facts = {**contract, "test": {"source": "rows|1.csv", "rows": 3, "metrics": {"f1": None, "classes": {"a": 1}}}}
    assert "On 3 rows of rows\\|1.csv" in write_model_card(
        facts
    ) and "| `f1` | none |\n\nAnd 1 more" in write_model_card(facts)


def test_contract_examples_are_real(contract, tiny):
    rest = contract["signatures"]["serving_default"]["example"]["rest"]
    (instance,), (prediction,) = rest["request"]["instances"], rest["response"]["predictions"]
    image = base64.b64decode(instance["image"]["b64"])
    answer = tiny.answer({"image": tf.constant([image])})
    assert prediction["labels"] == [label.decode() for label in answer["labels"].numpy()[0]]
    np.testing.assert_allclose(prediction["scores"], answer["scores"][0], rtol=1e-5)
    _, _, predict_pb2, _ = import_serving_apis()
    grpc = contract["signatures"]["serving_default"]["example"]["grpc"]
    request = predict_pb2.PredictRequest.FromString(base64.b64decode(grpc["request_base64"]))
    assert request.model_spec.name == "tiny" and tf.make_ndarray(request.inputs["image"]).tolist() == [image]
    classify = contract["signatures"]["classify"]["example"]["rest"]
    assert classify["url"] == "/v1/models/tiny:classify" and classify["request"]["examples"] == [instance]
    assert [label for label, _ in classify["response"]["results"][0]] == prediction["labels"]


def test_warmup_records(exported):
    *_, prediction_log_pb2 = import_serving_apis()
    records = tf.data.TFRecordDataset(str(exported / "assets.extra" / "tf_serving_warmup_requests"))
    logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]
    kinds = [log.WhichOneof("log_type") for log in logs]
    assert sorted(kinds) == ["classify_log"] * 5 + ["predict_log"] * 6
    names = {log.predict_log.request.model_spec.signature_name for log in logs if log.HasField("predict_log")}
    assert names == {"serving_default", "preprocessed"}
    classify = next(log.classify_log.request for log in logs if log.HasField("classify_log"))
    assert classify.input.example_list.examples[0].features.feature["image"].bytes_list.value[0][1:4] == b"PNG"


def test_verify_takes_a_base_directory(exported):
    report = verify(exported.parent)
    assert report["ok"] and report["version_dir"] == str(exported)
    assert report["signatures"]["serving_default"]["alone"] == 5
    assert report["signatures"]["preprocessed"]["probes"] > 5
    print("proof seconds", report["seconds"])


def test_versions_count_up_and_are_never_overwritten(tmp_path, unproven):
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    assert write(tmp_path).name == "8"
    assert write(tmp_path, version=3).name == "3"
    with pytest.raises(ExportError, match=r"Version 8 exists.*to write 9"):
        write(tmp_path, version=8)
    with pytest.raises(ExportError, match=r"positive integer.*version=0"):
        write(tmp_path, version=0)
    with pytest.raises(ExportError, match=r"itself a SavedModel"):
        write(tmp_path / "8")


def test_a_failed_proof_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "run_proof", lambda path, libraries=(): {"ok": False, "problems": ["off by 2"]})
    with pytest.raises(ExportError, match=r"Verification of(.|\n)*off by 2"):
        write(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
        (OSError(errno.ENOSPC, "No space left on device"), ExportError, "full.*Free some"),
        (
            tf.errors.ResourceExhaustedError(None, None, "f; No space left on device"),
            ExportError,
            "full.*Free some",
        ),
        (PermissionError(errno.EACCES, "denied"), ExportError, "is writable"),
        (RuntimeError("x"), RuntimeError, "x"),
    ],
)
def test_whatever_is_raised_leaves_nothing(tmp_path, monkeypatch, raised, expected, message):
    def fail(*arguments):
        raise raised

    monkeypatch.setattr(export_module, "_write_extra", fail)
    (tmp_path / "1").mkdir()
    with pytest.raises(expected, match=message):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_full_disk_is_an_export_error(tmp_path):
    """TensorFlow's own writer on a real file system that is too small, where this user may mount one."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting a small tmpfs needs rights that this user has not")
    try:
        big = tf.Variable(tf.random.stateless_normal([50_000], [0, 0]))
        signature = Signature("serving_default", lambda i: {"y": i["x"] * big[0]}, SIGNATURE.inputs)
        with pytest.raises(ExportError, match=r"is full.*Free some"):
            write(tmp_path / "m", signatures=[signature])
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=False)


def test_a_kill_leaves_no_version_and_the_next_export_cleans_up(tmp_path, unproven):
    script = (
        "import os, pathlib, signal\n"
        "from dlkit.serving.staging import staged_version\n"
        f"with staged_version(pathlib.Path({str(tmp_path)!r}), None) as (staging, placed):\n"
        "    (staging / 'saved_model.pb').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(pathlib.Path(export_module.__file__).parents[2])
    child = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": root}, check=False)
    assert child.returncode == -signal.SIGKILL
    left, lock = sorted(tmp_path.iterdir())
    assert left.name.startswith(".dlkit-export-")
    assert lock.name == f"{left.name}.lock"
    other = tmp_path / ".dlkit-export-x"  # whose it is, no lock says
    other.mkdir()
    with staging.staged_version(tmp_path, None) as (mine, _):  # of a live process
        os.utime(mine, (0, 0))
        assert write(tmp_path).name == "1"
        assert {path.name for path in tmp_path.iterdir()} == {"1", mine.name, f"{mine.name}.lock", other.name}
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2", other.name}


def test_two_exports_at_once_take_two_versions(tmp_path):
    with staging.staged_version(tmp_path, None) as (first, first_placed):
        (first / "a").touch()
        with staging.staged_version(tmp_path, None) as (second, second_placed):
            (second / "b").touch()
    assert (second_placed[0].name, first_placed[0].name) == ("1", "2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference_examples": {}}, "no reference examples"),
        ({"signatures": [SIGNATURE, SIGNATURE]}, "distinct names"),
        ({"signatures": []}, "`serving_default`"),
        ({"reference_examples": {"serving_default": [({"z": [1.0]}, {"y": [1.0]})]}}, "must be x. Received: z"),
        ({"reference_examples": {"serving_default": [({"x": [[1.0]]}, {"y": [1.0]})]}}, "must have the shape"),
        ({"reference_examples": {"serving_default": [({"x": [1.0]}, {"y": [1.0, 2.0]})]}}, "equally many rows"),
        ({"contract": {"metrics": {"a": np.float32(1)}}}, "JSON values"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, unproven, changes, message):
    with pytest.raises(ExportError, match=message):
        write(tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


def test_an_untracked_table_is_named(tmp_path, unproven, tiny):
    with pytest.raises(ExportError, match="trackables"):
        tiny.export(tmp_path, trackables=[])


def test_folders_that_are_no_exports(tmp_path):
    for path, message in [(tmp_path / "none", "not a folder"), (tmp_path, "not an exported model")]:
        with pytest.raises(ExportError, match=message):
            verify(path)
    (tmp_path / "2" / "assets.extra").mkdir(parents=True)
    with pytest.raises(ExportError, match=r"no saved_model\.pb"):
        verify(tmp_path)
    (tmp_path / "2" / "saved_model.pb").touch()
    with pytest.raises(ExportError, match="did not export"):
        verify(tmp_path)
    contract = tmp_path / "2" / "assets.extra" / "dlkit.json"
    contract.write_text("{")
    with pytest.raises(ExportError, match="corrupt"):
        verify(tmp_path)
    contract.write_text(json.dumps({"format": FORMAT + 1, "versions": {"dlkit": "9.9"}}))
    with pytest.raises(ExportError, match=r"written by dlkit 9\.9; .*Upgrade"):
        read_contract(tmp_path / "2")
    contract.write_text(json.dumps({"format": FORMAT - 1, "versions": {"dlkit": "0.1.0"}}))
    with pytest.raises(ExportError, match=r"written by dlkit 0\.1\.0; .*Export the model again"):
        read_contract(tmp_path / "2")
    contract.write_text(json.dumps({"format": FORMAT}))
    assert find_version_directory(tmp_path) == tmp_path / "2"


def test_a_proof_that_dies_says_where(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'progress: loading'\necho oh >&2\nkill -ABRT $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    report = run_proof(tmp_path)
    assert not report["ok"] and "SIGABRT during: loading" in report["problems"][0] and "oh" in report["problems"][0]
