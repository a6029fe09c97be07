"""A saved model that others wrote: whatever is wrong in it is one error that names the folder."""

import json
import shutil
import time
import zipfile
from pathlib import Path

import pytest

import dlkit
from dlkit.errors import DlkitError


@pytest.fixture
def model(text_model, tmp_path):
    return Path(shutil.copytree(text_model, tmp_path / "model"))


def stages_of(model):
    return next(model.glob("stages-*"))


def changed(model, **fields):
    """The index with fields, or attributes of `fitted`, set anew; `...` takes one away."""
    index = json.loads((model / "dlkit.json").read_text())
    for name, value in fields.items():
        part = index if name in index or not name.endswith("_") else index["fitted"]
        part.pop(name, None)
        if value is not ...:
            part[name] = value
    (model / "dlkit.json").write_text(json.dumps(index))
    return model


def refusal(model):
    start = time.perf_counter()
    with pytest.raises(DlkitError) as raised:
        dlkit.load(model)
    assert time.perf_counter() - start < 20
    assert str(model) in str(raised.value) and "\n" not in str(raised.value)
    return str(raised.value)


def test_it_is_read_as_it_is(model):
    assert dlkit.load(model).labels_ == ["neg", "pos"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stages": "/etc"}, "'stages' is not the name of a folder in it: '/etc'"),
        ({"stages": "../model/stages-00000000"}, "'stages' is not the name of a folder in it"),
        ({"stages": 7}, "'stages' is of the type int, not str"),
        ({"stages": ...}, "there is no 'stages'"),
        ({"names": ["preprocess", "network", "../../x"]}, "'names' are not preprocess, network, postprocess"),
        ({"names": ["preprocess"]}, "'names' are not"),
        ({"names": [[], {}, None]}, "'names' are not"),
        ({"names": "network"}, "'names' is of the type str, not list"),
        ({"format": "1"}, "'format' is of the type str, not int"),
        ({"format": True}, "'format' is of the type bool, not int"),
        ({"finished": "yes"}, "'finished' is of the type str, not bool"),
        ({"finished": ...}, "there is no 'finished'"),
        ({"dlkit": None}, "'dlkit' is of the type NoneType, not str"),
        ({"task": ["sentiment"]}, "'task' is of the type list, not str"),
        ({"hparams": []}, "'hparams' is of the type list, not dict"),
        ({"fitted": 3}, "'fitted' is of the type int, not dict"),
        ({"labels_": "negative"}, "'labels_' is a text, not a list"),
        ({"labels_": [1, 2]}, "'labels_' holds a value that is not a string"),
        ({"labels_": {"a": 1}}, "'labels_' is an object, not a list"),
        ({"header_": [None]}, "'header_' holds a value that is not a string"),
        ({"history_": []}, "'history_' is a list, not an object"),
        ({"best_epoch_": 1}, "'best_epoch_' is a number, not an object"),
        ({"unknown_": 1}, "'fitted' has 'unknown_', which this task does not learn"),
        ({"stages_": 1}, "'fitted' has 'stages_', which this task does not learn"),
        ({"__class__": 1}, ""),
    ],
)
def test_an_index_of_other_values_is_refused(model, fields, said):
    if "__class__" in fields:
        index = json.loads((model / "dlkit.json").read_text())
        index["fitted"] |= {"predict": 1}
        (model / "dlkit.json").write_text(json.dumps(index))
        said = "'fitted' has 'predict', which this task does not learn"
    else:
        changed(model, **fields)
    assert said in refusal(model)


@pytest.mark.parametrize("task", ["../evil", "", "os", "sentiment.task"])
def test_tasks_that_there_are_not(model, task):
    changed(model, task=task)
    with pytest.raises(DlkitError, match="there is no task"):
        dlkit.load(model)


@pytest.mark.parametrize(
    "hparams", [{"epochs": "many"}, {"none": 1}, {"__init__": 1}, {"batch_size": [1]}, {"network": None}]
)
def test_hparams_of_other_values_are_refused(model, hparams):
    index = json.loads((model / "dlkit.json").read_text())
    changed(model, hparams={**index["hparams"], **hparams})
    assert next(iter(hparams)) in refusal(model)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", "7", '{"format": ' + "9" * 5000 + "}", "\xff"])
def test_an_index_that_is_none(model, text):
    (model / "dlkit.json").write_text(text, "latin1")
    assert "not what `save` writes (" in refusal(model)


def test_stages_that_were_exchanged(model, image_model):
    """One for another of the same model, and those of another model, which keras itself can load."""
    stages, others = stages_of(model), stages_of(image_model)
    kept = (stages / "network.keras").read_bytes()
    shutil.copy(stages / "postprocess.keras", stages / "network.keras")
    assert "which no earlier stage produces" in refusal(model)
    shutil.copy(others / "network.keras", stages / "network.keras")
    assert "which no earlier stage produces" in refusal(model)
    (stages / "network.keras").write_bytes(kept)
    shutil.copy(others / "postprocess.keras", stages / "postprocess.keras")
    refusal(model)


def rewritten(file, change, name="config.json"):
    with zipfile.ZipFile(file) as archive:
        held = {entry: archive.read(entry) for entry in archive.namelist()}
    held[name] = change(held[name])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in held.items():
            archive.writestr(entry, data)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"class_name": "Functional"', b'"class_name": "Unheard"'),
        lambda data: data.replace(b'"class_name": "Dense"', b'"class_name": "system"').replace(
            b'"module": "keras.layers"', b'"module": "os"'
        ),
        lambda data: b"[" * 100_000,
        lambda data: b"",
        lambda data: b"[]",
        lambda data: data.replace(b'"units": ', b'"units": -'),
        lambda data: data.replace(b'"units": ', b'"units": 3'),
    ],
)
def test_stages_of_unknown_classes_and_odd_values(model, change):
    rewritten(stages_of(model) / "network.keras", change)
    assert "not what `save` writes (" in refusal(model)


def test_a_stage_that_unpacks_to_much(model, monkeypatch):
    rewritten(stages_of(model) / "network.keras", lambda data: data + b" " * 2**22)
    monkeypatch.setenv("DLKIT_MAX_UNPACKED", "3MB")
    assert "network.keras decompresses to more than the limit of 3MB" in refusal(model)


def test_large_weights_that_are_not_packed_are_no_fault(model, monkeypatch):
    rewritten(stages_of(model) / "network.keras", lambda data: data)
    with zipfile.ZipFile(stages_of(model) / "network.keras", "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("more", b" " * 2**22)
    monkeypatch.setenv("DLKIT_MAX_UNPACKED", "3MB")
    assert dlkit.load(model).labels_ == ["neg", "pos"]
