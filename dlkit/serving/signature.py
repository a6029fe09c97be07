"""Signatures: what a client may ask of a served model, with every input's shape checked inside the graph."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import tensorflow as tf

from dlkit.columns import Column
from dlkit.errors import ExportError
from dlkit.limits import Limits, assert_within_limits
from dlkit.serving.core_ops import core_ops_only
from dlkit.serving.lint import REST_DTYPES
from dlkit.tracing import TRACING_LOCK

METHODS = ("predict", "classify")
_EXAMPLE_DTYPES = {tf.string: tf.string, tf.float32: tf.float32, tf.float64: tf.float32}  # the rest: int64


@dataclass(frozen=True)
class Signature:
    """One named entry of a SavedModel.

    Attributes:
        name: what a request calls it; `serving_default` is what it gets without a name.
        function: named input tensors -> named output tensors. A plain callable is traced as it stands; of a
            `tf.function` the Python function is traced anew, because an old trace keeps its XLA nodes.
        inputs: name -> specification, with a free first dimension: `tf.TensorSpec([None, 28, 28, 1],
            tf.uint8)`.
        method: `predict`, or `classify`, which `classify_signature` builds.
        example: from the raw inputs of rows to this signature's, for the real requests that it is proven with.
        columns: the kinds of its inputs, where `Task.call_signature` is to make requests of it.
        limits: what values of its inputs can be meant, by name, beside those that `columns` know; others are answered
            with INVALID_ARGUMENT.

    Raises:
        ExportError: for an input that a server cannot batch or that has no form in JSON.
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
        """What the values of its inputs can be, by name."""
        known = {name: column.limits for name, column in self.columns.items() if column.limits}
        return {**known, **self.limits}

    @functools.cached_property
    def graph(self) -> tf.types.experimental.ConcreteFunction:
        """The function in core operations, with its inputs checked at the entrance and its outputs named; traced once.

        Raises:
            ExportError: if the function does not return a dict of dense tensors.
        """
        with TRACING_LOCK:  # threads that want it at once get the one that the first of them traces
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


def classify_signature(serving: Signature, *, classes: str, scores: str, name: str = "classify") -> Signature:
    """The Classify form of a signature: serialized `tf.Example` in, `classes` and `scores` out.

    Args:
        serving: the signature whose function answers, and whose inputs the examples hold as features of their
            names.
        classes: the output with the class names, (batch, n) string.
        scores: the output with their scores, (batch, n) float32.
        name: the new signature's name.

    Raises:
        ExportError: if an input has a free dimension that is not its only one beside the batch. A list of any
            length is a feature of any length; shorter ones are padded with "" or 0.
    """
    parse = _parser(serving)

    def classify(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        answers = serving.graph(**parse(inputs["inputs"]))
        missing = [key for key in (classes, scores) if key not in answers]
        if missing:
            raise ExportError(
                f"Signature `{serving.name}` has no output `{missing[0]}` for `{name}`. It has: {', '.join(answers)}."
            )
        return {"classes": answers[classes], "scores": answers[scores]}

    return Signature(name, classify, {"inputs": tf.TensorSpec([None], tf.string)}, "classify")


def examples_signature(
    serving: Signature, example: Callable, padding: Mapping[str, float], name: str = "examples"
) -> Signature:
    """A signature in the form of serialized `tf.Example`s, whose lists may be of another length in each row.

    Args:
        serving: the signature whose function answers, and whose inputs the examples hold as features of their names.
        example: from its inputs to serialized examples, for the real requests.
        padding: of numeric inputs, what shorter lists are padded with, if not 0.
        name: the new signature's name.

    Raises:
        ExportError: as of `classify_signature`.
    """
    parse = _parser(serving, padding)

    def answer(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return serving.graph(**parse(inputs["examples"]))

    spec = {"examples": tf.TensorSpec([None], tf.string)}
    return Signature(name, answer, spec, example=lambda raw: {"examples": example(raw)})


def _parser(serving: Signature, padding: Mapping[str, float] | None = None) -> Callable[[tf.Tensor], dict]:
    """From serialized examples to a signature's inputs."""
    features = {key: _feature(serving.name, key, spec, (padding or {}).get(key, 0))
                for key, spec in serving.inputs.items()}  # fmt: skip

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(serialized, features)
        return {key: tf.cast(parsed[key], spec.dtype) if parsed[key].dtype != spec.dtype else parsed[key]
                for key, spec in serving.inputs.items()}  # fmt: skip

    return parse


def _feature(
    signature: str, name: str, spec: tf.TensorSpec, padding: float
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
    return tf.io.FixedLenFeature(shape, _EXAMPLE_DTYPES.get(spec.dtype, tf.int64))
