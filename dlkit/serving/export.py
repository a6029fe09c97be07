"""Writes a version directory for TensorFlow Serving, proves it, and only then lets it appear."""

from __future__ import annotations

import json
import os
import pathlib
from typing import TYPE_CHECKING

import tensorflow as tf

from dlkit.errors import ExportError
from dlkit.serving.contract import build_contract
from dlkit.serving.lint import read_saved_model
from dlkit.serving.model_card import write_model_card
from dlkit.serving.reference_examples import EXAMPLES_FILE, ReferenceExamples, as_array, save_reference_examples
from dlkit.serving.requests import import_serving_apis, write_warmup
from dlkit.serving.signature import Signature
from dlkit.serving.staging import make_full_disk_error, staged_version
from dlkit.serving.verify import run_proof

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

CARD_FILE = "MODEL_CARD.md"
WARMUP_FILE = "tf_serving_warmup_requests"
REQUEST_FILE = "request.json"  # the REST body of a real request to `serving_default`


def export(
    directory: str | os.PathLike,
    *,
    signatures: list[Signature],
    trackables: list,
    reference_examples: ReferenceExamples,
    contract: dict,
    version: int | None = None,
) -> pathlib.Path:
    """Writes `directory/<version>` with a SavedModel, warm-up requests, contract and reference_examples, and proves it.

    Args:
        directory: the base directory; its name is the model's name on the server.
        signatures: `serving_default` among them.
        trackables: Keras layers and models, or tf.Modules, that own lookup tables which the functions use.
            Variables are found by themselves.
        reference_examples: signature name -> pairs (inputs, answers) of arrays by name, each with a leading batch.
        contract: facts of the task, as `contract.build_contract` lists them.
        version: by default one above the highest.

    Returns:
        The version directory.

    Raises:
        ExportError: if the version exists, if something cannot be served, if the proof fails, or if the disk
            is full. Nothing appears then.
    """
    base = pathlib.Path(directory).absolute()
    names = [signature.name for signature in signatures]
    if "serving_default" not in names or len(set(names)) < len(names):
        raise ExportError(f"Signatures need distinct names, `serving_default` among them. Received: {names}.")
    import_serving_apis()  # before the work of tracing
    prepared = {
        signature.name: prepare_reference_examples(signature, reference_examples.get(signature.name, []))
        for signature in signatures
    }
    with staged_version(base, version) as (staging, placed):
        try:
            write_servable(staging, base.name, signatures, trackables, prepared, contract)
        except tf.errors.OpError as error:
            if "No space left" in str(error):  # TensorFlow's own writers do not raise OSError
                raise make_full_disk_error(base, error.message) from error
            raise
        report = run_proof(staging, contract.get("libraries", ()))  # those that the caller names
        if not report["ok"]:
            raise ExportError(
                f"Verification of the export to {base} failed; nothing was written:\n- "
                + "\n- ".join(report["problems"])
            )
    return placed[0]


def write_servable(
    path: pathlib.Path,
    model: str,
    signatures: list[Signature],
    trackables: list,
    reference_examples: ReferenceExamples,
    facts: dict,
) -> None:
    """Writes a version into an existing empty folder, unproven, with the examples of
    `prepare_reference_examples`."""
    _write_saved_model(path, signatures, trackables)
    _write_extra(path, model, signatures, reference_examples, facts)


def prepare_reference_examples(signature: Signature, pairs: list) -> list:
    """ReferenceExamples with the inputs' dtypes and strings as bytes, checked against the signature."""
    if not pairs:
        raise ExportError(
            f"Signature `{signature.name}` has no reference examples. Give at least one real input with its prediction."
        )
    prepared = []
    for index, (inputs, answers) in enumerate(pairs):
        where = f"reference example {index} of signature `{signature.name}`"
        if set(inputs) != set(signature.inputs):
            raise ExportError(
                f"The inputs of {where} must be {', '.join(sorted(signature.inputs))}. "
                f"Received: {', '.join(sorted(inputs))}."
            )
        arrays = {key: as_array(value, signature.inputs[key].dtype.name) for key, value in inputs.items()}
        for key, array in arrays.items():
            if not signature.inputs[key].shape.is_compatible_with(array.shape):
                raise ExportError(
                    f"Input `{key}` of {where} must have the shape {signature.inputs[key].shape}. "
                    f"Received: {array.shape}."
                )
        results = {key: as_array(value, _dtype_name(value)) for key, value in answers.items()}
        counts = {key: (len(array) if array.ndim else None) for key, array in (arrays | results).items()}
        if len(set(counts.values())) != 1 or not next(iter(counts.values())):
            raise ExportError(f"The arrays of {where} must have equally many rows, at least one. Received: {counts}.")
        prepared.append((arrays, results))
    return prepared


def _dtype_name(value: ArrayLike) -> str:
    dtype = tf.convert_to_tensor(value).dtype if not hasattr(value, "dtype") else tf.as_dtype(value.dtype)
    return dtype.name


def _write_saved_model(path: pathlib.Path, signatures: list[Signature], trackables: list) -> None:
    functions = {signature.name: signature.graph for signature in signatures}
    module = tf.Module()
    module.variables_ = _distinct([v for function in functions.values() for v in function.graph.variables])
    module.resources_ = _distinct([r for root in trackables for r in _resources(root)])
    try:
        # The module holds what the functions read, and nothing else: no optimizer, no losses, no Keras
        # metadata.
        tf.saved_model.save(module, str(path), signatures=functions)
    except AssertionError as error:
        raise ExportError(
            f"A signature uses a table or variable that does not belong to any of the given `trackables`: {error}. "
            "Add the layer or model that holds it."
        ) from error
    _patch(path, signatures)


def _resources(root: tf.Module) -> list:
    kinds = tf.saved_model.experimental.TrackableResource
    return [item for item in tf.train.TrackableView(root).descendants() if isinstance(item, kinds)]


def _distinct(items: list) -> list:
    return list({id(item): item for item in items}.values())


def _patch(path: pathlib.Path, signatures: list[Signature]) -> None:
    """Names the methods, which TensorFlow 2 saves as predict all, and unties nodes from their devices."""
    from tensorflow.python.saved_model import fingerprinting_utils

    saved_model = read_saved_model(path)
    for graph in saved_model.meta_graphs:
        for signature in signatures:
            graph.signature_def[signature.name].method_name = f"tensorflow/serving/{signature.method}"
        for node in graph.graph_def.node:
            node.device = ""
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                node.device = ""
    (path / "saved_model.pb").write_bytes(saved_model.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(str(path))  # it covers saved_model.pb


def _write_extra(
    path: pathlib.Path, model: str, signatures: list[Signature], reference_examples: ReferenceExamples, facts: dict
) -> None:
    extra = path / "assets.extra"
    extra.mkdir()
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    contract = build_contract(
        facts,
        model=model,
        saved_model=read_saved_model(path),
        reference_examples=reference_examples,
        size=size,
        limits={signature.name: signature.all_limits for signature in signatures},
    )
    write_warmup(extra / WARMUP_FILE, model, {s.name: s.method for s in signatures}, reference_examples)
    save_reference_examples(extra / EXAMPLES_FILE, reference_examples)
    request = contract["signatures"]["serving_default"]["example"]["rest"]["request"]
    for file, value, indent in ((REQUEST_FILE, request, None), ("dlkit.json", contract, 1)):
        try:
            text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ExportError(
                f"{file} must hold JSON values with finite numbers only: {error}. Give each signature an example "
                "whose inputs and outputs are finite."
            ) from error
        (extra / file).write_text(text + "\n", "utf-8")
    (extra / CARD_FILE).write_text(write_model_card(contract), "utf-8")
