"""Question answering: long texts, no answer, what is dropped, cached features of frozen blocks."""

import random

import numpy as np
import pytest

import dlkit
from dlkit.errors import HparamError
from dlkit.lazy import tf
from dlkit.padding import row_lengths
from dlkit.tasks.question_answering.sample import passages
from dlkit.training.encode import encode_table
from dlkit.training.prepare import build_task

SMALL = {"embedding": 16, "units": 8, "epochs": 1, "window": 80, "max_question": 12, "overlap": 20, "max_answer": 8}


def colours(count, seed=0, *, unanswerable=False, padding=0):
    """Who has which colour: the simplest questions there are, in texts of any length."""
    rng, rows = random.Random(seed), {"question": [], "context": [], "answers": []}
    names, shades = (
        ["Ann", "Ben", "Cid", "Dot", "Eve", "Fay", "Gus", "Hal"],
        ["red", "blue", "green", "black", "white", "pink", "grey", "brown"],
    )
    for number in range(count):
        said = [f"{name} has {shade}." for name, shade in zip(rng.sample(names, 4), rng.sample(shades, 4), strict=True)]
        fill = [f"word{rng.randrange(50)}" for _ in range(padding)]
        cut = rng.randrange(padding + 1)
        text = " ".join([*fill[:cut], *said, *fill[cut:]])
        name, _, shade = rng.choice(said).rstrip(".").split()
        if unanswerable and number % 2:
            name = next(other for other in names if other not in text)
        rows["question"].append(f"What has {name}?")
        rows["context"].append(text)
        rows["answers"].append([(shade, text.index(f"{name} has {shade}") + len(name) + 5)] if name in text else [])
    return rows


def fitted(rows, **hparams):
    task = dlkit.QuestionAnswerer(
        **{**SMALL, "embedding": 32, "units": 24, "batch_size": 16, "dropout": 0.0, **hparams}
    )
    task.fit(rows, verbose=0, strategy="one")
    return task


@pytest.mark.slow
def test_long_texts_are_read_to_their_end():
    task = fitted(colours(400, padding=120), epochs=8, learning_rate=5e-3)
    test = colours(60, seed=1, padding=300)
    assert task.evaluate(test)["exact_match"] > 0.8
    late = [row for row in range(60) if test["answers"][row][0][1] > len(test["context"][row]) / 2]
    rows = [{name: test[name][row] for name in ("question", "context")} for row in late]
    for row, answer in zip(rows, task.predict(rows), strict=True):
        for text, begin, end in zip(answer["texts"], answer["starts"], answer["ends"], strict=True):
            assert row["context"][begin:end] == text
    assert any(answer["start"] > 1000 for answer in task.predict(rows))


@pytest.mark.slow
def test_questions_without_an_answer():
    task = fitted(colours(500, unanswerable=True), epochs=10, learning_rate=5e-3)
    metrics = task.evaluate(colours(80, seed=1, unanswerable=True))
    assert metrics["unanswerable_accuracy"] > 0.7
    assert metrics["answerable_f1"] > 0.7
    row = {"question": "What has Zed?", "context": "Ann has red. Ben has blue."}
    raw = {name: tf.constant([value]) for name, value in row.items()}
    ask = next(signature for signature in task.signatures() if signature.name == "ask").function
    options = {"max_answer": tf.constant([8]), "threshold": tf.constant([0.0])}
    assert ask({**raw, **options})["text"].numpy().tolist() == [b""]
    never = ask({**raw, **options, "threshold": tf.constant([1.1])})
    assert never["text"][0] == never["texts"][0, 0] != b""


def prepared(rows, **hparams):
    task = dlkit.QuestionAnswerer(**{**SMALL, **hparams})
    known = task.read(rows)
    build_task(task, known)
    return task, *encode_table(task, known.encoded(), known.windows_per_row)


def test_rows_whose_answers_cannot_be_found_are_left_out_and_named():
    rows = colours(6)
    rows["answers"][2] = [("no such text", 3)]
    rows["answers"][4] = [(rows["answers"][4][0][0], 1)]  # moved to where it stands
    _, store, skipped = prepared(rows)
    assert store.rows == 5
    assert store.source_rows == [0, 1, 3, 4, 5]
    assert len(skipped) == 1
    assert "index 2: none of the answers can be learned" in skipped[0]


def test_long_texts_are_trained_on_with_a_window_that_lacks_the_answer():
    task, store, _ = prepared(colours(10, padding=200))
    assert store.rows == 20
    assert store.source_rows == [row for row in range(10) for _ in range(2)]
    targets = store.all()[1]["start_logits"]
    assert ((targets[::2, 0] == 0) != (targets[1::2, 0] == 0)).all()  # of two windows one has it
    assert (row_lengths(store, task.padding) <= SMALL["window"]).all()


def test_hparams_that_do_not_fit():
    with pytest.raises(HparamError, match="at most half of `overlap`"):
        dlkit.QuestionAnswerer(max_answer=40)
    with pytest.raises(HparamError, match="a number of blocks"):
        dlkit.QuestionAnswerer(network="preset:x", freeze="embedding")
    with pytest.raises(dlkit.DlkitError, match="must leave twice the overlap"):
        dlkit.QuestionAnswerer(window=100).fit(colours(40), verbose=0)


@pytest.mark.slow
def test_cached_features_of_frozen_blocks_are_the_network_s_own(minilm):
    few = {name: values[:8] for name, values in passages()["train"].items()}
    whole, store, _ = prepared(few, network=minilm, window=128, dropout=0.0)
    cut, cached, _ = prepared(few, network=minilm, window=128, dropout=0.0, freeze="2")
    features = cached.all()[0]
    assert features["features"].dtype == np.float16
    assert features["features"].shape == (8, 128, 384)
    assert len(cut.stages_.network.trainable_variables) < len(whole.stages_.network.trainable_variables)
    for name in ("start_logits", "end_logits"):
        for source, target in zip(
            whole.stages_.network.get_layer(name).weights, cut.stages_.network.get_layer(name).weights, strict=True
        ):
            target.assign(source)
    mask = features["padding_mask"]
    own = cut.stages_.network(features, training=False)["start_logits"].numpy()
    theirs = whole.stages_.network(store.all()[0], training=False)["start_logits"].numpy()
    np.testing.assert_allclose(own[mask], theirs[mask], atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["", "4", "backbone"])
def test_a_bert_is_tuned_and_exported(freeze, minilm, tmp_path):
    few = {name: values[:64] for name, values in passages()["train"].items()}
    task = fitted(few, network=minilm, window=128, freeze=freeze)
    assert task.export(tmp_path / "answers").name == "1"
