"""Requests as TensorFlow Serving takes them: REST bodies, gRPC messages, warm-up records."""

from __future__ import annotations

import base64
import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from dlkit.errors import ExportError
from dlkit.serving.reference_examples import Arrays, ReferenceExamples, split_into_rows

if TYPE_CHECKING:
    from tensorflow_serving.apis import classification_pb2, predict_pb2, regression_pb2

MAX_WARMUP = 1000  # the server does not load a model with more
_MAX_PER_SIGNATURE = 10


def import_serving_apis() -> tuple[ModuleType, ModuleType, ModuleType, ModuleType]:
    """Import the protobufs of the package `tensorflow-serving-api`.

    Raises:
        ExportError: it is not installed.
    """
    try:
        from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_log_pb2, regression_pb2
    except ImportError as error:
        raise ExportError(
            f"Warm-up requests need the package tensorflow-serving-api ({error}). "
            "Install it: pip install tensorflow-serving-api"
        ) from error
    return classification_pb2, regression_pb2, predict_pb2, prediction_log_pb2


def make_rest_exchange(name: str, method: str, inputs: Arrays, answers: Arrays) -> dict:
    """Make a REST request in row form with its response: `{"verb", "request", "response"}`.

    Args:
        name: the name of the signature.
        method: `predict`, `classify` or `regress`.
        inputs, answers: arrays by name, with a leading batch.
    """
    count = len(next(iter(inputs.values())))
    if method != "predict":
        examples = [_example_json(tf.train.Example.FromString(serialized)) for serialized in inputs["inputs"]]
        results: list[Any] = (
            [float(str(value)) for value in answers["outputs"]]
            if method == "regress"
            else [
                [[_text(label), float(str(score))] for label, score in zip(*row, strict=True)]
                for row in zip(answers["classes"], answers["scores"], strict=True)
            ]
        )
        return {"verb": method, "request": {"signature_name": name, "examples": examples},
                "response": {"results": results}}  # fmt: skip
    forms = {key: _is_text(array) for key, array in inputs.items()}
    instances = [{key: _json(array[row], forms[key]) for key, array in inputs.items()} for row in range(count)]
    predictions = [{key: _json(array[row], not key.endswith("_bytes")) for key, array in answers.items()}
                   for row in range(count)]  # fmt: skip
    if len(answers) == 1:  # the server omits the name of a single output
        predictions = [next(iter(prediction.values())) for prediction in predictions]
    return {"verb": "predict", "request": {"signature_name": name, "instances": instances},
            "response": {"predictions": predictions}}  # fmt: skip


def make_grpc_request(
    model: str, name: str, method: str, inputs: Arrays
) -> predict_pb2.PredictRequest | classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest:
    """Make the gRPC message: a PredictRequest, or a request with the parsed examples."""
    classification, regression, predict, _ = import_serving_apis()
    if method != "predict":
        request = regression.RegressionRequest() if method == "regress" else classification.ClassificationRequest()
        for serialized in inputs["inputs"]:
            request.input.example_list.examples.append(tf.train.Example.FromString(serialized))
    else:
        request = predict.PredictRequest()
        for key, array in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
    request.model_spec.name = model
    request.model_spec.signature_name = name
    return request


def write_warmup(path: pathlib.Path, model: str, methods: dict[str, str], reference_examples: ReferenceExamples) -> int:
    """Write real requests for each signature, which a server runs before it serves the version.

    Args:
        path: the TFRecord file.
        model: the name of the model on the server.
        methods: `predict`, `classify` or `regress`, by signature.
        reference_examples: pairs of inputs and answers by signature.

    Returns:
        The number of records.
    """
    *_, prediction_log = import_serving_apis()
    limit = min(_MAX_PER_SIGNATURE, MAX_WARMUP // max(1, len(methods)))
    records = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, method in methods.items():
            for inputs, _ in reference_examples[name][:limit]:
                log = prediction_log.PredictionLog()
                kind = getattr(log, f"{method}_log")
                kind.request.CopyFrom(make_grpc_request(model, name, method, inputs))
                writer.write(log.SerializeToString())
                records += 1
    return records


def find_smallest_row(pairs: list[tuple[Arrays, Arrays]]) -> tuple[Arrays, Arrays]:
    """Choose the row to show as an example: the one with the fewest bytes of input, without NaN if possible."""

    def size(item: tuple[int, int, Arrays, Arrays]) -> int:
        return sum(
            sum(map(len, array.ravel())) if array.dtype == object else array.nbytes for array in item[2].values()
        )

    def finite(item: tuple[int, int, Arrays, Arrays]) -> bool:
        return all(np.isfinite(array).all() for side in item[2:] for array in side.values() if array.dtype.kind == "f")

    found = split_into_rows(pairs)
    _, _, inputs, answers = min(list(filter(finite, found)) or found, key=size)
    return inputs, answers


def make_classify_examples(
    pairs: list[tuple[Arrays, Arrays]], *, classes: str, scores: str
) -> list[tuple[Arrays, Arrays]]:
    """Make the reference examples of a classify signature from those of its source, each row as a `tf.Example`."""
    return examples_of_rows(pairs, {"classes": classes, "scores": scores})


def examples_of_rows(pairs: list[tuple[Arrays, Arrays]], outputs: Mapping[str, str]) -> list[tuple[Arrays, Arrays]]:
    """Make reference examples of a signature of `tf.Example`s: each row serialized, and its answers renamed.

    Args:
        pairs: those of the signature that it calls.
        outputs: the name of its output to that of the source.
    """
    return [
        (
            {"inputs": np.array(serialize_examples(inputs), object)},
            {name: answers[theirs] for name, theirs in outputs.items()},
        )
        for inputs, answers in pairs
    ]


def serialize_examples(inputs: Arrays) -> list[bytes]:
    """Serialize rows as `tf.Example`s, with one feature per name."""
    count = len(next(iter(inputs.values())))
    return [_example({key: np.asarray(array)[row] for key, array in inputs.items()}) for row in range(count)]


def _example(row: dict) -> bytes:
    example = tf.train.Example()
    for key, value in row.items():
        flat, feature = np.asarray(value).ravel(), example.features.feature[key]
        if flat.dtype.kind in "OSU":
            feature.bytes_list.value.extend(
                v.encode("utf-8") if isinstance(v, str) else bytes(v) for v in flat.tolist()
            )
        elif flat.dtype.kind == "f":
            feature.float_list.value.extend(flat.tolist())
        else:
            feature.int64_list.value.extend(int(item) for item in flat)
    return example.SerializeToString(deterministic=True)


def _example_json(example: tf.train.Example) -> dict:
    row = {}
    for key, feature in sorted(example.features.feature.items()):
        values = list(getattr(feature, feature.WhichOneof("kind")).value)
        if feature.WhichOneof("kind") == "bytes_list":
            text = all(map(_is_utf8, values))
            values = [_text(value) if text else _b64(value) for value in values]
        row[key] = values[0] if len(values) == 1 else values
    return row


def _json(value: bytes | np.ndarray, text: bool) -> Any:
    if isinstance(value, bytes):
        return _text(value) if text else _b64(value)
    if np.issubdtype(value.dtype, np.floating):  # the shortest digits that give the same number, as the server writes
        return np.array([float(str(item)) for item in value.ravel()]).reshape(value.shape).tolist()
    if value.dtype != object:
        return value.tolist()
    return [_json(item, text) for item in value]


def _is_text(array: np.ndarray) -> bool:
    return array.dtype != object or all(map(_is_utf8, array.ravel()))


def _is_utf8(value: bytes) -> bool:
    try:
        return "\0" not in value.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}
