"""The contract of an export, `assets.extra/dlkit.json`: what clients, servers and the verification need to know."""

from __future__ import annotations

import base64
import datetime
import importlib.metadata
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from google.protobuf import json_format
from tensorflow import dtypes

from dlkit.limits import Limits
from dlkit.serving.compare import ATOL, RTOL
from dlkit.serving.lint import INIT_SIGNATURE, ops_beyond_core, shape_of
from dlkit.serving.reference_examples import ReferenceExamples
from dlkit.serving.requests import find_smallest_row, make_grpc_request, make_rest_exchange
from dlkit.serving.verify import FORMAT
from dlkit.version import __version__

if TYPE_CHECKING:
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

_REQUIRED_PACKAGES = {"tensorflow": "tensorflow", "keras": "keras"}
_OPTIONAL_PACKAGES = {"keras_hub": "keras-hub", "keras_cv": "keras-cv", "tensorflow_text": "tensorflow-text"}


def build_contract(
    facts: dict,
    *,
    model: str,
    saved_model: saved_model_pb2.SavedModel,
    reference_examples: ReferenceExamples,
    size: int,
    limits: Mapping[str, Mapping[str, Limits]],
) -> dict:
    """Build the contract from the task's facts, the written graph and the reference examples.

    Args:
        facts: facts of the task. `inputs` and `outputs` describe tensors by name (`description`; for outputs also
            `atol`, `rtol`, `ranked_by`), `libraries` lists packages whose operations the graph needs. All others, such
            as `task`, `labels`, `metrics` and `fingerprint`, are copied.
        model: the name of the model on the server.
        saved_model: the written protobuf.
        reference_examples: pairs of inputs and answers by signature.
        size: size of the files that a server loads, in bytes.
        limits: valid values by signature and input.
    """
    definitions = saved_model.meta_graphs[0].signature_def
    signatures = {}
    for name in sorted(set(definitions) - {INIT_SIGNATURE}):
        signatures[name] = _signature(definitions[name], facts, limits.get(name, {}))
        signatures[name]["example"] = _example(model, name, signatures[name]["method"], reference_examples[name])
    kept = {key: value for key, value in facts.items() if key not in ("inputs", "outputs")}
    return {
        "format": FORMAT,
        **kept,
        "name": model,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **({"revision": revision} if (revision := _revision()) else {}),
        "size": size,
        "signatures": signatures,
        "libraries": sorted(facts.get("libraries", [])),
        "ops_beyond_core": ops_beyond_core(saved_model),
        "versions": _versions(),
    }


def _signature(definition: meta_graph_pb2.SignatureDef, facts: dict, limits: Mapping[str, Limits]) -> dict:
    inputs = {
        key: _tensor(info, {**facts.get("inputs", {}).get(key, {}), **_bounds(limits.get(key))})
        for key, info in sorted(definition.inputs.items())
    }
    outputs = {}
    for key, info in sorted(definition.outputs.items()):
        outputs[key] = _tensor(info, facts.get("outputs", {}).get(key, {}))
        if dtypes.as_dtype(info.dtype).is_floating:
            outputs[key] = {"atol": ATOL, "rtol": RTOL, **outputs[key]}
    method = definition.method_name.rpartition("/")[2]
    if method == "classify" and set(outputs) == {"classes", "scores"}:
        outputs["classes"].setdefault("ranked_by", "scores")
    return {"method": method, "inputs": inputs, "outputs": outputs}


def _bounds(limits: Limits | None) -> dict[str, float]:
    """Return the limits of an input in the terms of JSON Schema."""
    if limits is None:
        return {}
    known = {"minimum": limits.minimum, "maximum": limits.maximum}
    return {name: bound for name, bound in known.items() if bound is not None}


def _tensor(info: meta_graph_pb2.TensorInfo, facts: dict) -> dict:
    return {"dtype": dtypes.as_dtype(info.dtype).name, "shape": shape_of(info), **facts}


def _example(model: str, name: str, method: str, pairs: list) -> dict:
    inputs, answers = find_smallest_row(pairs)
    rest = make_rest_exchange(name, method, inputs, answers)
    message = make_grpc_request(model, name, method, inputs)
    call = method.capitalize()
    return {
        "rest": {
            "url": f"/v1/models/{model}:{rest['verb']}",
            "request": rest["request"],
            "response": rest["response"],
        },
        "grpc": {
            "method": f"/tensorflow.serving.PredictionService/{call}",
            "message": message.DESCRIPTOR.full_name,
            "request": json_format.MessageToDict(message, preserving_proto_field_name=True),
            "request_base64": base64.b64encode(message.SerializeToString(deterministic=True)).decode("ascii"),
        },
    }


def _revision() -> str:
    """Return the commit of the git repository that the process works in; "" if there is none."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _versions() -> dict[str, str]:
    packages = dict(
        _REQUIRED_PACKAGES, **{name: package for name, package in _OPTIONAL_PACKAGES.items() if name in sys.modules}
    )
    versions = {"python": sys.version.split()[0], "dlkit": __version__}
    for name, package in packages.items():
        try:
            versions[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"  # run from a source tree that is not installed
    return versions
