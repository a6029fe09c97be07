"""The translator: what it learns from, what it says, and that every way of writing is the same once exported."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.lazy import keras
from dlkit.padding import trim
from dlkit.tasks.translation.metrics import score_translations
from dlkit.tasks.translation.sample import make_sentences
from dlkit.training.prepare import build_task, encode_rows

SMALL = {"width": 16, "blocks": 1, "vocabulary_size": 400, "max_tokens": 24, "batch_size": 16, "epochs": 1}
TEXTS = ["The house is white.", "", "Where is the key, Pedro? " * 9, "¿שלום? 你好"]


def fitted(rows=64, **hparams):
    task = dlkit.Translator(**{**SMALL, **hparams})
    train = make_sentences()["train"]
    task.fit({name: values[:rows] for name, values in train.items()}, verbose=0)
    return task


@pytest.fixture(scope="module")
def model():
    return fitted()


def store_of(**hparams):
    task = dlkit.Translator(**{**SMALL, **hparams})
    rows = task.read(make_sentences()["train"])
    build_task(task, rows)
    return task, encode_rows(task, rows, None)[0], rows


def test_the_sample_is_of_distinct_pairs():
    parts = make_sentences()
    pairs = {name: set(zip(part["source"], part["target"], strict=True)) for name, part in parts.items()}
    assert {name: len(part) for name, part in pairs.items()} == {"train": 305, "validation": 40, "test": 40}
    assert all(not pairs[one] & pairs[other] for one, other in itertools.combinations(pairs, 2))
    assert all(len(part["source"]) == len(pairs[name]) for name, part in parts.items())


def test_what_is_learned_is_one_step_behind_what_is_written():
    _, store, rows = store_of(max_tokens=16)
    tensors, targets = store.all()
    decoder, labels = tensors["decoder_ids"], targets["logits"]
    np.testing.assert_array_equal(decoder[:, 1:], np.where(labels == 2, 0, labels)[:, :-1])
    assert (decoder[:, 0] == 1).all()
    cut = labels[:, -1] == 0
    full = (decoder > 0).all(1)
    assert (cut & full).any(), "no target was cut: the check sees nothing"
    assert ((labels == 2).sum(1) == np.where(cut & full, 0, 1)).all()  # what was cut did not end there
    (remark,) = rows.remarks(store)
    assert remark.endswith(f"; {(cut & full).sum()} targets are truncated")


def test_batches_are_cut_to_their_longest_row():
    task, store, _ = store_of()
    tensors, targets = store.all()
    part = {name: tf.constant(values[:8]) for name, values in tensors.items()}
    trimmed = trim(part, task.padding)
    for name, ids in (("token_ids", tensors["token_ids"]), ("decoder_ids", targets["logits"])):
        longest = (ids[:8] > 0).sum(1).max()
        assert longest <= trimmed[name].shape[1] < longest + 4
    assert trimmed["padding_mask"].shape == trimmed["token_ids"].shape
    loss, network = task.loss()["logits"], task.stages_.network
    whole = loss(targets["logits"][:8], network(part)["logits"])
    np.testing.assert_allclose(loss(targets["logits"][:8], network(trimmed)["logits"]), whole, rtol=1e-5)


def test_answers_and_their_flag(model):
    answers = model.predict(TEXTS)
    assert [answer["truncated"] for answer in answers] == [False, False, True, False]
    assert all(0 < answer["score"] <= 1 for answer in answers)
    assert all(isinstance(answer["translation"], str) for answer in answers)


def test_options_of_each_request(model):
    usual = model.predict(TEXTS)
    assert [answer["translation"] for answer in model.generate(TEXTS)] == [answer["translation"] for answer in usual]
    drawn = model.generate(TEXTS[:1] * 8, temperature=2.0, seed=list(range(8)), max_tokens=6)
    assert len({answer["translation"] for answer in drawn}) > 1
    (again,) = model.generate(TEXTS[:1], temperature=2.0, seed=3, max_tokens=6)
    assert again["translation"] == drawn[3]["translation"]
    assert again["score"] == pytest.approx(drawn[3]["score"], rel=1e-4)
    mixed = model.generate(TEXTS, beam_width=[1, 2, 3, 4], max_tokens=[3, 24, 9, 99])
    alone = [model.generate([text], beam_width=beams, max_tokens=limit)[0]
             for text, beams, limit in zip(TEXTS, (1, 2, 3, 4), (3, 24, 9, 99), strict=True)]  # fmt: skip
    assert [each["translation"] for each in mixed] == [each["translation"] for each in alone]
    with pytest.raises(dlkit.DlkitError, match="Did you mean 'beam_width'"):
        model.generate(TEXTS, beam_widht=2)
    with pytest.raises(dlkit.DlkitError, match="one per text, 4"):
        model.generate(TEXTS, seed=[1, 2])


@pytest.fixture(scope="module")
def version(model, tmp_path_factory):
    return model.export(tmp_path_factory.mktemp("served") / "translation")


MODES = {
    "greedy": {"beam_width": 1},
    "beams": {"beam_width": 4, "length_penalty": 0.6},
    "sampling": {"temperature": 1.2, "top_k": 30, "top_p": 0.95, "seed": 11},
    "mixed": {"beam_width": [1, 5, 2, 1], "temperature": [0.0, 0.0, 0.9, 1.5], "seed": [0, 0, 5, 6]},
}


@pytest.mark.parametrize("mode", MODES)
def test_every_way_of_writing_is_the_same_through_the_servers_loader(mode, model, version, cload, tmp_path):
    expected = model.generate(TEXTS, max_tokens=12, **MODES[mode])
    usual = {"max_tokens": 12, "beam_width": 4, "length_penalty": 1.0, "temperature": 0.0, "top_k": 0, "top_p": 1.0}
    options = {**usual, "seed": 0, **MODES[mode]}
    arguments = []
    for name, value in options.items():
        kind = np.float32 if name in ("length_penalty", "temperature", "top_p") else np.int32
        np.save(tmp_path / f"{name}.npy", np.array(value if isinstance(value, list) else [value] * 4, kind))
        arguments.append(f"{name}=npy:{tmp_path / name}.npy")
    for row, text in enumerate(TEXTS):
        (tmp_path / str(row)).write_text(text)
        arguments.append(f"source=@{tmp_path / str(row)}")
    done = subprocess.run([cload, version, "generate", *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    served = json.loads(done.stdout)
    assert served["translation"] == [answer["translation"] for answer in expected]
    np.testing.assert_allclose(served["score"], [answer["score"] for answer in expected], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("hparams", [{"network": "gru", "attention": "bahdanau"}, {"positions": "relative"}])
def test_other_networks_save_load_and_answer(hparams, tmp_path):
    task = fitted(**hparams)
    task.save(tmp_path / "m")
    assert dlkit.load(tmp_path / "m").predict(TEXTS) == task.predict(TEXTS)
    task.export(tmp_path / "served")  # raises unless a process without dlkit gives predict's answers


def bart(folder):
    """A Bart of a few thousand weights, with the bytes and a few subwords as its vocabulary."""
    import keras_hub

    from dlkit.text.subword_preset import make_byte_decoder

    subwords = ["<s>", "<pad>", "</s>", "<unk>", *make_byte_decoder(), "Ġt", "he", "Ġthe"]
    merges = ["Ġ t", "h e", "Ġt he"]
    tokenizer = keras_hub.models.BartTokenizer({subword: i for i, subword in enumerate(subwords)}, merges)
    backbone = keras_hub.models.BartBackbone(len(subwords), 2, 2, 16, 24, dropout=0.0, max_sequence_length=24)
    backbone.save_to_preset(folder)
    tokenizer.save_to_preset(folder)


def t5(folder):
    """A T5 of a few thousand weights."""
    import io

    import keras_hub

    sentencepiece = pytest.importorskip("sentencepiece")
    proto = io.BytesIO()
    sample = make_sentences()["train"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sample["source"] + sample["target"]),
        model_writer=proto,
        vocab_size=200,
        model_type="UNIGRAM",
        bos_id=-1,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        pad_piece="<pad>",
        eos_piece="</s>",
        unk_piece="<unk>",
        minloglevel=2,
    )
    keras_hub.models.T5Tokenizer(proto.getvalue()).save_to_preset(folder)
    backbone = keras_hub.models.T5Backbone(204, 2, 2, 16, 24, dropout=0.0)
    backbone.save_to_preset(folder)


@pytest.mark.slow
@pytest.mark.parametrize("make", [bart, t5])
def test_a_preset_trains_saves_exports_and_writes_what_its_network_says(make, tmp_path):
    keras.utils.set_random_seed(0)
    make(tmp_path / "preset")
    task = fitted(network=f"preset:{tmp_path / 'preset'}", rows=40)
    task.save(tmp_path / "m")
    assert dlkit.load(tmp_path / "m").predict(TEXTS) == task.predict(TEXTS)
    task.export(tmp_path / "served")
    from dlkit.tasks.translation.incremental_decoder import make_incremental_decoder

    made = task.stages_.preprocess({"source": tf.constant(["The key.", "Where is the old house?"])})
    ids = tf.constant(np.random.default_rng(0).integers(3, 150, (2, 6)), tf.int32)
    ids = tf.concat([[[1], [1]], ids], 1)
    inputs = {"token_ids": made["token_ids"], "padding_mask": made["padding_mask"], "decoder_ids": ids}
    whole = task.stages_.network(inputs, training=False)["logits"]
    decoder = make_incremental_decoder(task.stages_.network, 24)
    encoded, cache = decoder.begin(made["token_ids"], made["padding_mask"], 1)
    for place in range(7):
        logits, cache = decoder.step(ids[:, place], tf.constant(place), encoded, cache)
        np.testing.assert_allclose(logits, whole[:, place], atol=2e-5)
    texts = task.stages_.postprocess({"generated_ids": made["token_ids"]})["translation"]
    assert [text.decode() for text in texts.numpy()] == ["The key.", "Where is the old house?"]


def test_a_preset_of_another_kind_is_refused(tmp_path):
    import keras_hub

    (tmp_path / "x").mkdir()
    with pytest.raises(dlkit.DlkitError, match="cannot be loaded"):
        fitted(network=f"preset:{tmp_path / 'x'}")
    backbone = keras_hub.models.BertBackbone(30, 1, 1, 8, 8)
    backbone.save_to_preset(tmp_path / "bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    keras_hub.models.BertTokenizer(words).save_to_preset(tmp_path / "bert")
    with pytest.raises(dlkit.DlkitError, match="Expected a Bart or a T5"):
        fitted(network=f"preset:{tmp_path / 'bert'}")


def test_scores_are_those_of_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu")
    references = ["El gato duerme en la casa roja.", "No sé nada de eso."]
    hypotheses = ["El gato está en la casa roja.", "No sé nada de eso."]
    metrics = score_translations(
        *([text.encode() for text in texts] for texts in (references, hypotheses, ["The cat", "I know"]))
    )
    assert metrics["bleu"] == sacrebleu.corpus_bleu(hypotheses, [references]).score
    assert metrics["chrf"] == sacrebleu.corpus_chrf(hypotheses, [references]).score
    assert metrics["baseline_chrf"] == sacrebleu.corpus_chrf(["The cat", "I know"], [references]).score
    assert "tok:13a" in metrics["signatures"]["bleu"]
    perfect = score_translations(*([text.encode() for text in references] for _ in range(3)))
    assert perfect["bleu"] == pytest.approx(100)


def test_scoring_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(dlkit.DlkitError, match=r"dlkit-keras\[translation\]"):
        score_translations([b"a"], [b"a"], [b"a"])


def test_pairs_that_teach_nothing_are_told_and_left_out():
    train = {name: values[:40] for name, values in make_sentences()["train"].items()}
    train = {name: [*values, "", values[0]] for name, values in train.items()}
    task = dlkit.Translator(**SMALL)
    task.fit(train, verbose=0)
    said = task.report_["remarks"]
    assert said.count("1 of 42 pairs with an empty side: dropped") == 1
    assert said.count("1 of 42 pairs that are duplicates: dropped") == 1
    assert task.fingerprint_["rows"] == 36  # of 40, a tenth held out
