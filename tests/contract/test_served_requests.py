"""What a server answers and an export holds, of every task: strict JSON, refusals with reasons, no training rows."""

import base64
import json
import zipfile

import numpy as np
import pytest
import task_contracts
import tensorflow as tf

from dlkit.examples import EXAMPLE_COUNT
from dlkit.serving import export as export_module
from dlkit.serving.reference_examples import load_reference_examples, split_into_rows
from dlkit.serving.requests import make_rest_exchange

MASKS = ("padding_mask", "there")


def strict(text):
    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_all_json_is_strict(fitted):
    for file in fitted.version.rglob("*.json"):
        strict(file.read_text("utf-8"))
    strict((fitted.folder / "dlkit.json").read_text("utf-8"))
    contract = strict((fitted.version / "assets.extra" / "dlkit.json").read_text("utf-8"))
    served = fitted.served()
    for name, pairs in load_reference_examples(
        fitted.version / "assets.extra" / "dlkit_reference_examples.npz"
    ).items():
        for _, _, inputs, _ in split_into_rows(pairs):
            method = contract["signatures"][name]["method"]
            answers = {key: value.numpy() for key, value in served[name].graph(**_tensors(inputs)).items()}
            if name == "classify":
                answers = {key: answers[key] for key in ("classes", "scores")}
            strict(json.dumps(make_rest_exchange(name, method, inputs, answers)["response"]))


def test_what_cannot_be_meant_is_refused(fitted):
    contract = json.loads((fitted.version / "assets.extra" / "dlkit.json").read_text("utf-8"))
    reference_examples = load_reference_examples(fitted.version / "assets.extra" / "dlkit_reference_examples.npz")
    bad = 0
    for name, signature in fitted.served().items():
        right = reference_examples[name][0][0]
        signature.graph(**_tensors(right))
        facts = contract["signatures"][name]["inputs"]
        wrongs = [
            (key, wrong) for key, value in right.items() for wrong in _beyond(value, facts[key], name == "preprocessed")
        ]
        masks = {*MASKS} - {*task_contracts.load_contract(fitted.task_name()).EMPTY_MASKS}
        wrongs += [(key, np.zeros_like(right[key])) for key in right if key in masks]
        for key, value in wrongs:
            bad += 1
            with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{key}` must"):
                signature.graph(**_tensors({**right, key: value}))
    pictures = any(column.kind == "image" for column in fitted.inputs.values())
    assert bad or pictures  # of most tasks on pictures nothing but files and pixels is asked


@pytest.mark.core
def test_without_examples_no_row_of_the_training_data_is_in_an_export(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(
        export_module, "run_proof", lambda path, libraries=(): {"ok": True, "problems": []}
    )  # proven by `core` tests
    version = fitted.export(tmp_path / "private", examples="synthetic")
    written = b"\0".join(_contents(version))
    known = b"\0".join(_contents(fitted.version))
    data = fitted.read(fitted.samples()["train"]).requests()
    found = missed = 0
    for row in range(min(len(data), 60)):
        raw = data.raw(row, fitted.inputs)
        for name, column in fitted.inputs.items():
            for form in _forms(column.to_request(raw[name])):
                assert form not in written, f"row {row}: {name}"
                found += form in known
                missed += row < EXAMPLE_COUNT
    assert found or not missed  # the usual export has its first rows: they are looked for as they are written
    assert json.loads((version / "assets.extra" / "dlkit.json").read_text("utf-8"))["examples"] == "synthetic inputs"


def _beyond(value, facts, tensors):
    """Values of an input that cannot be suggest."""
    kind, given = value.dtype.kind, [facts[name] for name in ("minimum", "maximum") if name in facts]
    bounds = [facts[name] + step for name, step in (("minimum", -1), ("maximum", 1)) if name in facts]
    wrong = [np.full_like(value, bound) for bound in bounds if kind != "u" or bound >= 0]
    wrong = [made for made in wrong if made.flat[0] not in given]  # rounding may have led back
    if kind == "f" and (tensors or given):
        wrong += [np.full_like(value, number) for number in (np.nan, np.inf)]
    return wrong


def _forms(value):
    """The bytes in which a value of a row, that tells it from others, would stand in a file."""
    if isinstance(value, dict):
        return [value["b64"].encode(), base64.b64decode(value["b64"])]
    if isinstance(value, list) and len(value) > 3:
        return [json.dumps(value)[1:-1].encode()] + ([np.array(value).tobytes()] if type(value[0]) is float else [])
    return [value.encode()] if isinstance(value, str) and len(value) > 12 else []


def _contents(version):
    for file in version.rglob("*"):
        if file.suffix == ".npz":
            with zipfile.ZipFile(file) as archive:
                yield from (archive.read(name) for name in archive.namelist())
        elif file.name == "dlkit.json":
            text = file.read_text("utf-8")
            yield from (text.encode(), json.dumps(json.loads(text), ensure_ascii=False).encode())
        elif file.is_file():
            yield file.read_bytes()


def _tensors(inputs):
    return {name: tf.constant(value) for name, value in inputs.items()}
