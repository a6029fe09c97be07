"""The contract of an export, `assets.extra/dlkit.json`: what a client, a server or a proof must know."""

from __future__ import annotations

import base64
import importlib.metadata
import sys
from typing import TYPE_CHECKING

from google.protobuf import json_format
from tensorflow import dtypes

from dlkit.serving.compare import ATOL, RTOL
from dlkit.serving.goldens import Goldens
from dlkit.serving.lint import INIT_SIGNATURE, ops_beyond_core, shape_of
from dlkit.serving.requests import grpc_request, rest_exchange, smallest_row
from dlkit.serving.verify import FORMAT

if TYPE_CHECKING:
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

_ALWAYS = {"dlkit": "dlkit", "tensorflow": "tensorflow", "keras": "keras"}
_IF_IMPORTED = {"keras_hub": "keras-hub", "keras_cv": "keras-cv", "tensorflow_text": "tensorflow-text"}


def build_contract(facts: dict, *, model: str, saved_model: saved_model_pb2.SavedModel, goldens: Goldens) -> dict:
    """Joins the task's facts with what the written graph and the goldens say.

    Args:
        facts: from the task. `inputs` and `outputs` describe tensors by name (`description`; for outputs
            `atol`, `rtol`, `ranked_by` too), `libraries` lists packages whose operations the graph needs. All
            else, such as `task`, `labels`, `metrics` and `fingerprint`, is kept as it is.
        model: the served name.
        saved_model: the protobuf that was written.
        goldens: signature -> pairs of inputs and answers.
    """
    definitions = saved_model.meta_graphs[0].signature_def
    signatures = {}
    for name in sorted(set(definitions) - {INIT_SIGNATURE}):
        signatures[name] = _signature(name, definitions[name], facts)
        signatures[name]["example"] = _example(model, name, signatures[name]["method"], goldens[name])
    kept = {key: value for key, value in facts.items() if key not in ("inputs", "outputs")}
    return {
        "format": FORMAT,
        **kept,
        "name": model,
        "signatures": signatures,
        "libraries": sorted(facts.get("libraries", [])),
        "ops_beyond_core": ops_beyond_core(saved_model),
        "versions": _versions(),
    }


def _signature(name: str, definition: meta_graph_pb2.SignatureDef, facts: dict) -> dict:
    inputs = {
        key: _tensor(info, facts.get("inputs", {}).get(key, {})) for key, info in sorted(definition.inputs.items())
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


def _tensor(info: meta_graph_pb2.TensorInfo, facts: dict) -> dict:
    return {"dtype": dtypes.as_dtype(info.dtype).name, "shape": shape_of(info), **facts}


def _example(model: str, name: str, method: str, pairs: list) -> dict:
    inputs, answers = smallest_row(pairs)
    rest = rest_exchange(name, method, inputs, answers)
    message = grpc_request(model, name, method, inputs)
    call = "Classify" if method == "classify" else "Predict"
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


def _versions() -> dict[str, str]:
    packages = dict(_ALWAYS, **{name: package for name, package in _IF_IMPORTED.items() if name in sys.modules})
    versions = {"python": sys.version.split()[0]}
    for name, package in packages.items():
        try:
            versions[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"  # run from a source tree that is not installed
    return versions
