"""From a fitted task to signatures, reference example requests and the facts of its contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from dlkit.best_epoch import best_epoch_index, metrics_of_epoch
from dlkit.columns import Column, stack_column, tensor_specs
from dlkit.examples import load_examples, synthetic_rows
from dlkit.hparams import summary
from dlkit.limits import FINITE, Limits
from dlkit.plain import finite, name_of
from dlkit.rows import ERROR
from dlkit.serving.compare import RTOL
from dlkit.serving.export import export
from dlkit.serving.reference_examples import ReferenceExamples
from dlkit.serving.requests import examples_of_rows, make_classify_examples, serialize_examples
from dlkit.serving.signature import Signature, classify_signature, examples_signature, regress_signature
from dlkit.stages import Stages, chain


class Servable(Protocol):
    """The part of a fitted task that an export needs; see `dlkit.task.Task`."""

    monitor: str
    precision: Any
    stages_: Stages
    examples_: list[dict[str, Any]]
    history_: dict[str, list[float]]
    best_epoch_: dict[str, Any]
    fingerprint_: dict[str, Any]
    last_evaluation_: dict[str, Any]
    rows: Any

    @property
    def inputs(self) -> Mapping[str, Column]: ...

    @property
    def answer(self) -> Mapping[str, Column]: ...

    @property
    def extra_outputs(self) -> Mapping[str, Column]: ...

    @property
    def hparams(self) -> dict[str, Any]: ...

    @classmethod
    def task_name(cls) -> str: ...

    def signatures(self) -> list[Signature]: ...

    def served(self) -> Mapping[str, Signature]: ...

    def predict_tensors(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]: ...


def export_task(task: Servable, directory: Path, version: int | None, examples: Any) -> Path:
    """Export and verify a version of a fitted task; see `Task.export`."""
    rows, description = load_examples(task, examples)
    signatures = list(task.served().values())
    stages = [stage for name, stage in vars(task.stages_).items() if stage is not None and name != "judge"]
    return export(
        directory,
        signatures=signatures,
        trackables=stages,
        reference_examples=_reference_examples(task, signatures, rows),
        contract={**_contract_facts(task), "examples": description},
        version=version,
    )


def task_signatures(task: Servable) -> list[Signature]:
    """Return the signatures of a task: `serving_default` (raw input), `preprocessed`, the task's own, and one that
    takes `tf.Example`s: `classify`, if it ranks labels, `regress`, if it answers with a number, or `examples`, if it
    has inputs that are lists or may be missing."""
    serving = Signature("serving_default", task.predict_tensors, tensor_specs(task.inputs))
    own = task.signatures()
    usual = [] if any(signature.name == "preprocessed" for signature in own) else [_preprocessed_signature(task)]
    signatures = {signature.name: signature for signature in (serving, *usual, *own)}
    tensors = signatures["preprocessed"]
    signatures["preprocessed"] = replace(tensors, limits={**_limits_of(task, tensors.inputs), **tensors.limits})
    ranked = _find_ranked(task.answer)
    absent = {name: column.absent for name, column in task.inputs.items() if column.absent is not None}
    regressed = find_regressed(task.answer)
    if ranked:
        signatures["classify"] = classify_signature(serving, classes=ranked[0], scores=ranked[1], absent=absent)
    elif regressed:
        reasons = ERROR if ERROR in task.answer else ""
        signatures["regress"] = regress_signature(serving, output=regressed, reasons=reasons, absent=absent)
    elif absent or any(len(column.shape) == 1 for column in task.inputs.values()):
        padding = {name: column.empty for name, column in task.inputs.items()}
        signatures["examples"] = examples_signature(serving, _serialized, padding, absent=absent)
    return list(signatures.values())


def _serialized(raw: dict[str, tf.Tensor]) -> tf.Tensor:
    return tf.constant(serialize_examples(_arrays(raw)))


def _limits_of(task: Servable, inputs: Mapping[str, tf.TensorSpec]) -> dict[str, Limits]:
    """Return the limits that the preprocessing layers know of their outputs; floats must be finite."""
    known: dict[str, Limits] = {name: FINITE for name, spec in inputs.items() if spec.dtype.is_floating}
    for layer in task.stages_.preprocess.layers:
        known |= getattr(layer, "limits", {})
    return {name: known[name] for name in inputs if name in known}


def _preprocessed_signature(task: Servable) -> Signature:
    output = task.stages_.preprocess.output
    made = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in output.items() if name != ERROR}
    run, preprocess = chain(*task.stages_.serving_models()[1:]), chain(task.stages_.preprocess)

    def answer(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(next(iter(tensors.values())))[:1]
        known = {ERROR: tf.fill(rows, "")} if ERROR in output else {}  # what is preprocessed could be read
        answers = run({**tensors, **known})
        return {name: answers[name] for name in task.answer}

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        tensors = preprocess(raw)
        return {name: tensors[name] for name in made}

    return Signature("preprocessed", answer, made, example=example)


def _find_ranked(answer: Mapping[str, Column]) -> tuple[str, str] | None:
    """Return the first ranked output and its scores; None if there are several rankings, as of several targets."""
    ranked = [(name, column.ranked_by) for name, column in answer.items() if column.ranked_by]
    return ranked[0] if len({scores for _, scores in ranked}) == 1 else None


def find_regressed(answer: Mapping[str, Column]) -> str:
    """Return the output that `regress` answers with; "" if there is none, or more than the one that it can have."""
    found = [name for name, column in answer.items() if column.regressed]
    return found[0] if len(found) == 1 else ""


def _reference_examples(
    task: Servable, signatures: list[Signature], examples: list[dict[str, Any]]
) -> ReferenceExamples:
    """Pair each example, in the form of each signature, with its prediction."""
    rows = [_batch_of_one(task, raw) for raw in examples]
    if not any(map(_is_finite, rows)):  # a request to show must be strict JSON, which has no missing numbers
        rows += [row for row in (_batch_of_one(task, raw) for raw in synthetic_rows(task)) if _is_finite(row)][:1]
    reference_examples: ReferenceExamples = {}
    serving = signatures[0]
    for signature in signatures:
        if signature.method == "classify":
            classes, scores = _find_ranked(task.answer) or ("", "")
            reference_examples[signature.name] = make_classify_examples(
                reference_examples["serving_default"], classes=classes, scores=scores
            )
            continue
        if signature.method == "regress":
            outputs = {"outputs": find_regressed(task.answer)}
            reference_examples[signature.name] = examples_of_rows(reference_examples["serving_default"], outputs)
            continue
        pairs = reference_examples[signature.name] = []
        for raw in rows:
            inputs = signature.example(raw)
            try:
                answer = signature.graph(**inputs)
            except tf.errors.InvalidArgumentError:
                if signature.name != "preprocessed":
                    raise
                continue  # an empty text is a request, and tensors without any token are none
            if signature.name == "preprocessed" and set(answer) == set(task.answer):
                answer = serving.graph(
                    **raw
                )  # the path from preprocessed tensors must end where that from raw input does
            pairs.append((_arrays(inputs), _arrays(answer)))
    return reference_examples


def _batch_of_one(task: Servable, raw: dict[str, Any]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(stack_column(column, [raw[name]])) for name, column in task.inputs.items()}


def _is_finite(row: dict[str, tf.Tensor]) -> bool:
    return all(np.isfinite(value.numpy()).all() for value in row.values() if value.dtype.is_floating)


def _arrays(tensors: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _contract_facts(task: Servable) -> dict[str, Any]:
    outputs: dict[str, dict[str, Any]] = {}
    for name, column in {**task.extra_outputs, **task.answer}.items():
        outputs[name] = {"description": summary(type(column))}
        if column.ranked_by:
            outputs[name]["ranked_by"] = column.ranked_by
        if column.dtype.startswith("float"):
            outputs[name] |= {"atol": column.atol, "rtol": RTOL}
        if column.pixels:
            outputs[name]["pixels"] = column.pixels
    # A network in 16 bits rounds at 3 digits, and a batch of another size may round the other way.
    if task.precision != "float32":
        for facts in outputs.values():
            if "atol" in facts:
                facts |= {"atol": max(2e-2, facts["atol"]), "rtol": 2e-2}
    kept = {name: value for name, value in task.best_epoch_.items() if name != "epoch"}
    return {
        "task": task.task_name(),
        "description": summary(type(task)),
        "hparams": {name: _without_folder(value) for name, value in task.hparams.items()},
        "labels": getattr(task, "labels_", []),
        "metrics": finite(metrics_of_epoch(task.history_, best_epoch_index(task))),
        "validation": finite(kept),
        "test": task.last_evaluation_,
        "fingerprint": {**task.fingerprint_, "source": name_of(task.fingerprint_.get("source", ""))},
        "inputs": {name: {"description": summary(type(column))} for name, column in task.inputs.items()},
        "outputs": outputs,
    }


def _without_folder(value: Any) -> Any:
    """Return a hyperparameter; of a file or folder on this machine only the name."""
    if not isinstance(value, str):
        return value
    kind, preset, path = value.rpartition("preset:")
    local = path and (Path(path).is_absolute() or Path(path).expanduser().exists())
    return f"{kind}{preset}{name_of(path)}" if local else value
