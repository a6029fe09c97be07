"""Signatures: what they refuse to be built of, and what they refuse to be asked."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.errors import ExportError
from dlkit.serving.lint import lint_signature
from dlkit.serving.requests import make_classify_examples
from dlkit.serving.signature import Signature, classify_signature, regress_signature


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (tf.TensorSpec([3]), "first dimension is None"),
        (tf.TensorSpec([]), "first dimension is None"),
        (tf.TensorSpec(None), "first dimension is None"),
        (tf.TensorSpec([None], tf.bfloat16), "JSON"),
    ],
)
def test_an_input_must_be_batchable_and_have_a_form_in_json(spec, message):
    with pytest.raises(ExportError, match=message):
        Signature("s", lambda x: x, {"x": spec})


def test_an_unknown_method_is_named():
    with pytest.raises(ExportError, match=r"predict, classify, regress.*'guess'"):
        Signature("s", lambda x: x, {"x": tf.TensorSpec([None])}, "guess")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x["x"], "dict of named tensors"),
        (lambda x: {"y": tf.RaggedTensor.from_tensor(x["x"])}, "`y`.*dense"),
    ],
)
def test_outputs_must_be_named_dense_tensors(function, message):
    with pytest.raises(ExportError, match=message):
        _ = Signature("s", function, {"x": tf.TensorSpec([None, 2])}).graph


def test_regress_takes_examples_that_may_lack_what_has_a_value_for_it():
    specs = {"x": tf.TensorSpec([None]), "name": tf.TensorSpec([None], tf.string)}
    serving = Signature("s", lambda given: {"y": given["x"] + tf.strings.to_number(given["name"])}, specs)
    regress = regress_signature(serving, output="y", absent={"x": 5.0})
    examples = [tf.train.Example() for _ in range(2)]
    for example, name in zip(examples, (b"1", b"2"), strict=True):
        example.features.feature["name"].bytes_list.value.append(name)
    examples[0].features.feature["x"].float_list.value.append(0.5)
    made = regress.graph(inputs=tf.constant([example.SerializeToString() for example in examples]))
    assert made["outputs"].numpy().tolist() == [1.5, 7.0]
    examples[0].features.feature.pop("name")
    with pytest.raises(tf.errors.InvalidArgumentError, match="name"):
        regress.graph(inputs=tf.constant([examples[0].SerializeToString()]))


@pytest.mark.parametrize(
    ("outputs", "message"), [({"y": [None]}, "one output `outputs`"), ({"outputs": [None, 2]}, "float32 of rank 2")]
)
def test_lint_finds_what_no_regress_request_could_read(outputs, message):
    from tensorflow.core.protobuf import meta_graph_pb2

    signature = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/regress")
    for side, tensors, kind in (
        (signature.inputs, {"inputs": [None]}, tf.string),
        (signature.outputs, outputs, tf.float32),
    ):
        for name, shape in tensors.items():
            side[name].dtype = kind.as_datatype_enum
            side[name].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    assert any(message in problem for problem in lint_signature("regress", signature))


def test_a_traced_function_is_traced_anew():
    calls = []

    @tf.function
    def function(inputs):
        calls.append(1)
        return {"y": inputs["x"]}

    function({"x": tf.ones([2])})
    _ = Signature("s", function, {"x": tf.TensorSpec([None])}).graph
    assert len(calls) == 2


def test_a_signature_is_traced_once_for_all_that_answer():
    calls = []

    def answer(given):
        calls.append(1)
        return {"labels": given["x"][:, tf.newaxis], "scores": tf.ones([tf.size(given["x"]), 1])}

    serving = Signature("serving_default", answer, {"x": tf.TensorSpec([None], tf.string)})
    assert serving.graph is serving.graph
    _ = classify_signature(serving, classes="labels", scores="scores").graph
    assert len(calls) == 1


def test_classify_reads_examples_of_each_dtype():
    inputs = {
        "image": tf.TensorSpec([None, 2, 2], tf.uint8),
        "weight": tf.TensorSpec([None], tf.float32),
        "text": tf.TensorSpec([None], tf.string),
        "flag": tf.TensorSpec([None], tf.bool),
    }

    def answer(given):
        assert {key: value.dtype for key, value in given.items()} == {k: s.dtype for k, s in inputs.items()}
        total = tf.reduce_sum(tf.cast(given["image"], tf.float32), [1, 2]) * given["weight"]
        text = tf.stack([given["text"], tf.as_string(given["flag"])], 1)
        return {"labels": text, "scores": tf.stack([total, total], 1)}

    row = {
        "image": np.uint8([[[1, 2], [3, 255]]]),
        "weight": np.float32([0.5]),
        "text": np.array(["ä"], object),
        "flag": np.array([True]),
    }
    answers = {"labels": np.array([["ä", "true"]], object), "scores": np.float32([[130.5, 130.5]])}
    signature = classify_signature(Signature("s", answer, inputs), classes="labels", scores="scores")
    (examples, expected), *_ = make_classify_examples([(row, answers)], classes="labels", scores="scores")
    got = signature.graph(inputs=tf.constant(examples["inputs"]))
    assert got["classes"].numpy().tolist() == [["ä".encode(), b"true"]]
    np.testing.assert_array_equal(got["scores"], expected["scores"])


def test_classify_reads_lists_of_any_length():
    inputs = {"ids": tf.TensorSpec([None, None], tf.string), "values": tf.TensorSpec([None, None], tf.float32)}

    def answer(given):
        return {"labels": given["ids"], "scores": tf.reduce_sum(given["values"], 1, keepdims=True)}

    signature = classify_signature(Signature("s", answer, inputs), classes="labels", scores="scores")
    rows = [([b"a", b"b"], [1.0]), ([b"c"], [2.0, 3.0])]
    examples = [
        make_classify_examples(
            [({"ids": np.array([ids], object), "values": np.float32([values])}, {"labels": None, "scores": None})],
            classes="labels",
            scores="scores",
        )[0][0]["inputs"][0]
        for ids, values in rows
    ]
    got = signature.graph(inputs=tf.constant(examples))
    assert got["classes"].numpy().tolist() == [[b"a", b"b"], [b"c", b""]]
    assert got["scores"].numpy().tolist() == [[1.0], [5.0]]


def test_classify_needs_fixed_lengths_and_its_outputs():
    free = Signature("s", lambda x: x, {"x": tf.TensorSpec([None, None, 2])})
    with pytest.raises(ExportError, match="variable dimension"):
        classify_signature(free, classes="labels", scores="scores")
    other = Signature("s", lambda x: {"y": x["x"]}, {"x": tf.TensorSpec([None])})
    with pytest.raises(ExportError, match=r"no output `labels`.*It has: y"):
        _ = classify_signature(other, classes="labels", scores="y").graph
