"""What a token is, chosen by the script of the texts; and the defaults of presets."""

import dataclasses

import pytest

import dlkit
from dlkit.training.prepare import build_task, encode_rows

THAI = {"text": ["หนังดีมาก", "หนังแย่มาก", "สนุกจริงๆ", "น่าเบื่อ"] * 3, "label": ["pos", "neg"] * 6}
ENGLISH = {"text": ["a good film", "a bad film"] * 6, "label": ["pos", "neg"] * 6}
MIXED = {"text": ["a good film หนังดี", "such a bad film"] * 6, "label": ["pos", "neg"] * 6}
SMALL = {"network": "cnn", "batch_size": 4, "width": 4, "max_tokens": 8}


def prepared(data, capsys, **hparams):
    task = dlkit.SentimentClassifier(**{**SMALL, **hparams})
    rows = task.read(data)
    build_task(task, rows)
    store, _ = encode_rows(task, rows, None)
    return task, store, capsys.readouterr().err


def test_characters_of_a_script_without_spaces(capsys):
    task, store, told = prepared(THAI, capsys)
    assert task.tokenizer_ == "characters"
    assert '100% of the letters belong to scripts without spaces: tokenizer="auto" selected characters' in told
    assert type(task.stages_.preprocess.layers[1]).__name__ == "CharacterTokenizer"
    assert set(store.all()[0]) == {"token_ids", "padding_mask"}  # not what tells what was cut
    assert prepared(THAI, capsys, tokenizer="words")[0].tokenizer_ == "words"


def test_words_of_others(capsys):
    task, _, told = prepared(ENGLISH, capsys)
    assert (task.tokenizer_, told) == ("words", "")
    task, _, told = prepared(MIXED, capsys)
    assert task.tokenizer_ == "words"
    assert 'tokenizer="characters" may work better' in told
    task, _, told = prepared(THAI, capsys, network="mlp")  # a bag of its own
    assert (task.tokenizer_, told) == ("", "")


def test_answers_tell_what_was_cut(capsys):
    for hparams in ({}, {"network": "mlp", "max_tokens": 3}, {"multi_label": True}):
        data = {**ENGLISH, "label": [[label] for label in ENGLISH["label"]]} if "multi_label" in hparams else ENGLISH
        task = prepared(data, capsys, **hparams)[0]
        long = "a good film bad " * 9 if hparams.get("network") != "mlp" else " ".join(map(str, range(200)))
        answers = task.predict(["a good film", long])
        assert [answer["truncated"] for answer in answers] == [False, hparams.get("network") != "mlp"]


def test_the_defaults_of_presets_are_those_that_were_measured():
    tuned = dlkit.SentimentClassifier(network="preset:x")
    assert tuned.epochs == 0 and tuned.default_epochs.choose(100, "tuned") == 3
    measured = {"batch_size": 32, "optimizer": "adamw", "learning_rate": 1e-4, "schedule": "cosine"}
    measured |= {"warmup": 0.1, "weight_decay": 0.01, "clip_norm": 1.0, "dropout": 0.1, "max_tokens": 64}
    assert {name: getattr(tuned, name) for name in measured} == measured
    frozen = dlkit.SentimentClassifier(network="preset:x", freeze="backbone")
    assert frozen.epochs == 0 and frozen.default_epochs.choose(100, "frozen") == 15
    measured = {"learning_rate": 3e-4, "schedule": "cosine", "dropout": 0.0, "batch_size": 64}
    assert {name: getattr(frozen, name) for name in measured} == measured
    partly = dlkit.QuestionAnswerer(network="preset:x", freeze="1")
    assert (partly.learning_rate, partly.batch_size, partly.weight_decay) == (2e-4, 16, 0.01)
    assert partly.default_epochs.choose(100, "tuned") == 2
    assert dlkit.Translator(network="preset:x").learning_rate == 1e-4


def test_hparams_that_were_given_stay():
    given = dlkit.SentimentClassifier(network="preset:x", learning_rate=2e-3, optimizer="adam")
    assert (given.learning_rate, given.optimizer, given.warmup) == (2e-3, "adam", 0.1)
    plain = dlkit.SentimentClassifier()
    assert (plain.learning_rate, plain.optimizer, plain.warmup, plain.dropout) == (2e-3, "adam", 0.0, 0.3)
    # A saved model, and a copy, name all of their hparams.
    copy = dlkit.SentimentClassifier(**{**plain.hparams, "network": "preset:x"})
    assert copy.learning_rate == 2e-3


@pytest.mark.parametrize("task", [dlkit.SentimentClassifier, dlkit.QuestionAnswerer, dlkit.Translator])
def test_help_tells_them(task):
    helps = {field.name: field.metadata["help"] for field in dataclasses.fields(task)}
    assert "Default for presets: `0.000" in helps["learning_rate"]
    assert "preset" not in helps["seed"]
    if task is dlkit.SentimentClassifier:
        assert helps["dropout"].endswith("Default for presets: `0.1` when fine-tuned, `0.0` with a frozen backbone.")
