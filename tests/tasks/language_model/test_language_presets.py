"""Causal backbones of KerasHub with random weights: step by step as in whole, saved exactly, adapted by LoRA."""

import io

import keras
import numpy as np
import pytest

import dlkit
from dlkit.lazy import tf
from dlkit.tasks.language_model.causal_decoder import make_decoder
from dlkit.tasks.language_model.preset import language_model_preset
from dlkit.text.subword_preset import make_byte_decoder
from dlkit.text.subword_tokenizer import END_ID, SubwordDetokenizer

CONTEXT = 32
TEXTS = ["the end", "", "She was at the end of it."]
SIZES = {"num_layers": 2, "num_query_heads": 2, "num_key_value_heads": 1, "hidden_dim": 16, "intermediate_dim": 32}


def bytes_and(*special):
    """The vocabulary and the merges of a byte-pair encoding of a few subwords."""
    subwords = [*special, *make_byte_decoder(), "Ġt", "he", "Ġthe"]
    return {subword: number for number, subword in enumerate(subwords)}, ["Ġ t", "h e", "Ġt he"]


def sentence_piece(**options):
    sentencepiece = pytest.importorskip("sentencepiece")
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["she was at the end of the day", "the quick brown fox"] * 3),
        model_writer=proto,
        vocab_size=320,
        hard_vocab_limit=False,
        model_type="BPE",
        byte_fallback=True,
        minloglevel=2,
        **options,
    )
    return proto.getvalue()


def gpt2(hub):
    vocabulary, merges = bytes_and("!", "<|endoftext|>")
    del vocabulary["!"]
    vocabulary = {subword: number for number, subword in enumerate(vocabulary)}
    return hub.GPT2Tokenizer(vocabulary, merges), hub.GPT2Backbone(len(vocabulary), 2, 2, 16, 32, 0.0, CONTEXT)


def qwen(hub):
    vocabulary, merges = bytes_and("<|endoftext|>", "<|im_end|>")
    return hub.QwenTokenizer(vocabulary, merges), hub.QwenBackbone(vocabulary_size=len(vocabulary), **SIZES)


def llama(hub):
    tokenizer = hub.LlamaTokenizer(sentence_piece(unk_id=0, bos_id=1, eos_id=2, pad_id=-1))
    return tokenizer, hub.LlamaBackbone(vocabulary_size=tokenizer.vocabulary_size(), **SIZES)


def gemma(hub):
    pieces = {"pad_piece": "<pad>", "eos_piece": "<eos>", "bos_piece": "<bos>", "unk_piece": "<unk>"}
    turns = ["<start_of_turn>", "<end_of_turn>"]
    proto = sentence_piece(pad_id=0, eos_id=1, bos_id=2, unk_id=3, user_defined_symbols=turns, **pieces)
    tokenizer = hub.GemmaTokenizer(proto)
    return tokenizer, hub.GemmaBackbone(vocabulary_size=tokenizer.vocabulary_size(), head_dim=8, **SIZES)


@pytest.fixture
def preset(request, tmp_path):
    """The folder of a preset with random weights."""
    import keras_hub

    keras.utils.set_random_seed(1)
    tokenizer, backbone = request.param(keras_hub.models)
    backbone.save_to_preset(tmp_path / "preset")
    tokenizer.save_to_preset(tmp_path / "preset")
    return f"preset:{tmp_path / 'preset'}"


def made(preset, **hparams):
    return dlkit.LanguageModel(
        network=preset, context_length=CONTEXT, max_tokens=6, learning_rate=1e-2, seed=7, **{"epochs": 2, **hparams}
    )


def documents(rows=24):
    return {"text": [text[:60] for text in dlkit.LanguageModel.samples()["train"]["text"][:rows]]}


def slow(*makes):
    return [pytest.param(make, marks=pytest.mark.slow) for make in makes]


@pytest.mark.parametrize("preset", [gpt2, *slow(qwen, llama, gemma)], indirect=True)
def test_a_preset_reads_step_by_step_as_in_whole(preset):
    network, tokenizer = language_model_preset(preset.removeprefix("preset:"), CONTEXT)
    tokens = tokenizer.tokenize([TEXTS[2]])
    assert SubwordDetokenizer(tokenizer.subwords, byte_ids=False, exact=True)(tokens.to_tensor()) == TEXTS[2]
    ids = tf.concat([[[END_ID]], tokens.to_tensor()], 1)
    steps = ids.shape[1]
    window = {"token_ids": ids, "segment_ids": tf.ones_like(ids), "positions": tf.range(steps)[tf.newaxis]}
    whole = network(window, training=False)["logits"]
    decoder = make_decoder(network, CONTEXT)
    for read in (0, 5):  # of the prompt
        features, encoded, cache = decoder.begin(
            ids[:, :read], tf.ones([1, read], tf.int32), tf.range(read)[tf.newaxis]
        )
        np.testing.assert_allclose(decoder.logits(features), whole[:, :read], atol=1e-5)
        for place in range(read, min(read + 4, steps)):
            logits, cache = decoder.step(ids[:, place], tf.constant(place - read), encoded, cache)
            np.testing.assert_allclose(logits, whole[:, place], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("preset", [gpt2, llama], indirect=True)
def test_a_preset_answers_each_row_as_alone(preset):
    task = made(preset, epochs=1)
    task.fit(documents(), verbose=0, strategy="one")
    together = task.predict(TEXTS)
    assert together == [task.predict(text) for text in TEXTS]
    scored = task.call_signature("score", [{"text": text} for text in TEXTS])
    np.testing.assert_allclose([row["bits"] for row in scored], [row["prompt_bits"] for row in together], rtol=1e-5)
    assert [row["bytes"] for row in scored] == [len(text) for text in TEXTS]


@pytest.mark.slow
@pytest.mark.parametrize("preset", [gpt2, gemma], indirect=True)
@pytest.mark.parametrize("rank", [0, 2])
def test_a_preset_is_saved_and_exported_as_it_is(preset, rank, tmp_path):
    task = made(preset, lora_rank=rank, epochs=1)
    task.fit(documents(), verbose=0, strategy="one")
    task.save(tmp_path / "m")
    assert dlkit.load(tmp_path / "m").predict(TEXTS) == task.predict(TEXTS)
    task.export(tmp_path / "served")


class Stop(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if self.model.optimizer.iterations.numpy() == 3:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("preset", [gpt2], indirect=True)
def test_low_rank_adaptation_trains_nothing_else_and_resumes_exactly(preset, tmp_path):
    options = {"lora_rank": 2, "batch_size": 8}
    whole = made(preset, **options)
    whole.fit(documents(), verbose=0, strategy="one")
    kernels = [weight.path for weight in whole.stages_.network.trainable_weights]
    assert kernels
    assert all("lora" in path or "bias" in path for path in kernels)
    with pytest.raises(KeyboardInterrupt):
        made(preset, **options).fit(
            documents(), verbose=0, strategy="one", save=tmp_path / "m", checkpoint_every=1, callbacks=[Stop()]
        )
    resumed = made(preset, **options)
    resumed.fit(documents(), verbose=0, strategy="one", save=tmp_path / "m", resume=True)
    assert resumed.history_ == whole.history_
    for left, right in zip(whole.stages_.network.variables, resumed.stages_.network.variables, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_preset_of_another_kind_is_refused(tmp_path):
    import keras_hub

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    keras_hub.models.BertBackbone(30, 1, 1, 8, 8).save_to_preset(tmp_path / "bert")
    keras_hub.models.BertTokenizer(words).save_to_preset(tmp_path / "bert")
    with pytest.raises(dlkit.DlkitError, match="Expected a causal one"):
        made(f"preset:{tmp_path / 'bert'}").fit(documents(), verbose=0, strategy="one")
