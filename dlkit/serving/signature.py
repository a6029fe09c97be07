"""Signatures: the requests that a served model accepts, with the shape of every input checked inside the graph."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from dlkit.columns import Column
from dlkit.errors import ExportError
from dlkit.limits import Limits, assert_no_reasons, assert_within_limits
from dlkit.serving.core_ops import core_ops_only
from dlkit.serving.lint import REST_DTYPES
from dlkit.tracing import TRACING_LOCK

METHODS = ("predict", "classify", "regress")
_EXAMPLE_DTYPES = {tf.string: tf.string, tf.float32: tf.float32, tf.float64: tf.float32}  # the rest: int64


@dataclass(frozen=True)
class Signature:
    """One signature of a SavedModel.

    Attributes:
        name: the name in requests; `serving_default` answers requests without one.
        function: maps named input tensors to named output tensors. A plain callable is traced as it is; of a
            `tf.function` the Python function is traced again, because an old trace keeps its XLA nodes.
        inputs: specifications by name, with a variable first dimension: `tf.TensorSpec([None, 28, 28, 1],
            tf.uint8)`.
        method: `predict`; or `classify` or `regress`, which `classify_signature` and `regress_signature` build.
        example: maps the raw inputs of rows to those of this signature, for the requests that it is verified with.
        columns: the columns of its inputs, if `Task.call_signature` shall make requests from Python values.
        limits: valid values of its inputs by name, in addition to those of `columns`; other values are answered with
            INVALID_ARGUMENT.

    Raises:
        ExportError: an input cannot be batched by a server, or has no representation in JSON.
    """

    name: str
    function: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]] = field(repr=False)
    inputs: dict[str, tf.TensorSpec]
    method: str = "predict"
    example: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]] = field(default=dict, repr=False)
    columns: Mapping[str, Column] = field(default_factory=dict, repr=False)
    limits: Mapping[str, Limits] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ExportError(
                f"The method of signature `{self.name}` must be one of {', '.join(METHODS)}. Received: {self.method!r}."
            )
        if not self.inputs:
            raise ExportError(f"Signature `{self.name}` has no inputs. Name at least one.")
        for name, spec in self.inputs.items():
            where = f"Input `{name}` of signature `{self.name}`"
            if spec.shape.rank is None or spec.shape.rank == 0 or spec.shape[0] is not None:
                raise ExportError(
                    f"{where} needs a shape whose first dimension is None, the batch dimension. Received: {spec.shape}."
                )
            if spec.dtype.name not in REST_DTYPES:
                raise ExportError(
                    f"{where} has dtype {spec.dtype.name}, which JSON requests cannot represent. Use one of "
                    f"{', '.join(sorted(REST_DTYPES))} and cast inside the graph."
                )

    @property
    def all_limits(self) -> dict[str, Limits]:
        """The valid values of its inputs, by name."""
        known = {name: column.limits for name, column in self.columns.items() if column.limits}
        return {**known, **self.limits}

    @functools.cached_property
    def graph(self) -> tf.types.experimental.ConcreteFunction:
        """The function in core operations, with checked inputs and named outputs; traced once.

        Raises:
            ExportError: if the function does not return a dict of dense tensors.
        """
        with TRACING_LOCK:  # concurrent threads share one trace
            if "graph" not in vars(self):
                vars(self)["graph"] = self._trace()
            return vars(self)["graph"]

    def _trace(self) -> tf.types.experimental.ConcreteFunction:
        function, autograph = self.function, False
        if isinstance(function, tf.types.experimental.PolymorphicFunction):
            function, autograph = function.python_function, True

        def serve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return _named_outputs(self, function(_checked_inputs(self, inputs)))

        specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in self.inputs.items()}
        with core_ops_only():
            return tf.function(serve, autograph=autograph).get_concrete_function(**specs)


def _checked_inputs(signature: Signature, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    # Neither the loader nor the server compares a request with the signature, and a tensor of the wrong rank
    # can abort the whole process inside a convolution. EnsureShape survives the graph optimizer; an Assert on
    # a rank does not, since the rank is known while tracing. The number of rows is not, so that an Assert on
    # it stays.
    checked = {
        name: tf.ensure_shape(inputs[name], spec.shape, name=f"check_{name}") for name, spec in signature.inputs.items()
    }
    checks = [assert_within_limits(name, checked[name], limits) for name, limits in signature.all_limits.items()]
    if len(checked) > 1:
        checks.append(_equal_rows(signature, checked))
    if not checks:
        return checked
    with tf.control_dependencies(checks):
        return {name: tf.identity(value) for name, value in checked.items()}


def _equal_rows(signature: Signature, checked: dict[str, tf.Tensor]) -> tf.Operation:
    names = sorted(checked)
    rows = {name: tf.shape(checked[name])[0] for name in names}
    message = [f"Inputs of signature {signature.name} must have equally many rows. Received:"]
    for name in names:
        message += [f"{name}:", rows[name]]
    equal = tf.reduce_all([tf.equal(rows[names[0]], rows[name]) for name in names[1:]])
    assertion = tf.debugging.Assert(equal, message, name="check_rows")
    return assertion.op if hasattr(assertion, "op") else assertion


def _named_outputs(signature: Signature, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    if not isinstance(outputs, dict) or not outputs:
        raise ExportError(
            f"The function of signature `{signature.name}` must return a dict of named tensors. "
            f"Received: {type(outputs).__name__}."
        )
    for name, value in outputs.items():
        if not tf.is_tensor(value) or isinstance(value, (tf.RaggedTensor, tf.SparseTensor)):
            raise ExportError(
                f"Output `{name}` of signature `{signature.name}` must be a dense tensor. "
                f"Received: {type(value).__name__}. Pad it (`to_tensor()`) inside the graph."
            )
    return {name: tf.identity(value, name=name) for name, value in outputs.items()}


def classify_signature(
    serving: Signature, *, classes: str, scores: str, name: str = "classify", absent: Mapping[str, Any] | None = None
) -> Signature:
    """Make the Classify form of a signature: serialized `tf.Example`s in, `classes` and `scores` out.

    Args:
        serving: the signature that is called; the examples hold its inputs as features.
        classes: the output with the class names, (batch, n) string.
        scores: the output with their scores, (batch, n) float32.
        name: the new signature's name.
        absent: values of inputs, by name, whose features an example may lack.

    Raises:
        ExportError: an input has a variable dimension that is not its only one besides the batch. A list of any length
            is a feature of any length; shorter ones are padded with "" or 0.
    """
    parse = _parser(serving, absent=absent)

    def classify(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        answers = serving.graph(**parse(inputs["inputs"]))
        missing = [key for key in (classes, scores) if key not in answers]
        if missing:
            raise ExportError(
                f"Signature `{serving.name}` has no output `{missing[0]}` for `{name}`. It has: {', '.join(answers)}."
            )
        return {"classes": answers[classes], "scores": answers[scores]}

    return Signature(name, classify, {"inputs": tf.TensorSpec([None], tf.string)}, "classify")


def regress_signature(
    serving: Signature,
    *,
    output: str,
    reasons: str = "",
    name: str = "regress",
    absent: Mapping[str, Any] | None = None,
) -> Signature:
    """Make the Regress form of a signature: serialized `tf.Example`s in, `outputs` out.

    Args:
        serving: the signature that is called; the examples hold its inputs as features.
        output: the output with the numbers, (batch,) float32.
        reasons: the output with the reason why a row cannot be read, (batch,) string, if there is one. A number cannot
            say so: such a request is answered with INVALID_ARGUMENT and the reason.
        name: the new signature's name.
        absent: values of inputs, by name, whose features an example may lack.

    Raises:
        ExportError: as `classify_signature`.
    """
    parse = _parser(serving, absent=absent)

    def regress(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        answers = serving.graph(**parse(inputs["inputs"]))
        with tf.control_dependencies([assert_no_reasons(answers[reasons])] if reasons else []):
            return {"outputs": tf.identity(answers[output])}

    return Signature(name, regress, {"inputs": tf.TensorSpec([None], tf.string)}, "regress")


def examples_signature(
    serving: Signature,
    example: Callable,
    padding: Mapping[str, float],
    name: str = "examples",
    absent: Mapping[str, Any] | None = None,
) -> Signature:
    """Make a signature that takes serialized `tf.Example`s, whose lists may have a different length in each row.

    Args:
        serving: the signature that is called; the examples hold its inputs as features.
        example: maps its inputs to serialized examples, for the requests that it is verified with.
        padding: padding values of numeric inputs by name, if not 0.
        name: the new signature's name.
        absent: values of inputs, by name, whose features an example may lack.

    Raises:
        ExportError: as `classify_signature`.
    """
    parse = _parser(serving, padding, absent)

    def answer(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return serving.graph(**parse(inputs["examples"]))

    spec = {"examples": tf.TensorSpec([None], tf.string)}
    return Signature(name, answer, spec, example=lambda raw: {"examples": example(raw)})


def _parser(
    serving: Signature, padding: Mapping[str, float] | None = None, absent: Mapping[str, Any] | None = None
) -> Callable[[tf.Tensor], dict]:
    """Return a function from serialized examples to a signature's inputs."""
    features = {
        key: _feature(serving.name, key, spec, (padding or {}).get(key, 0), (absent or {}).get(key))
        for key, spec in serving.inputs.items()
    }

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(serialized, features)
        return {key: tf.cast(parsed[key], spec.dtype) if parsed[key].dtype != spec.dtype else parsed[key]
                for key, spec in serving.inputs.items()}  # fmt: skip

    return parse


def _feature(
    signature: str, name: str, spec: tf.TensorSpec, padding: float, absent: Any
) -> tf.io.FixedLenFeature | tf.io.FixedLenSequenceFeature:
    shape = spec.shape[1:]
    if shape.rank == 1 and shape[0] is None:
        dtype = _EXAMPLE_DTYPES.get(spec.dtype, tf.int64)
        return tf.io.FixedLenSequenceFeature(
            [], dtype, allow_missing=True, default_value="" if dtype == tf.string else padding
        )
    if not shape.is_fully_defined():
        raise ExportError(
            f"Input `{name}` of signature `{signature}` has a variable dimension besides the batch ({spec.shape}), "
            "which a serialized tf.Example cannot represent. Remove the classify signature, or fix the dimension."
        )
    return tf.io.FixedLenFeature(shape, _EXAMPLE_DTYPES.get(spec.dtype, tf.int64), absent)
