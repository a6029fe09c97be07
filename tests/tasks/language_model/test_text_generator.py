"""Generated text: what a plain loop over the whole network generates, with options of each row, alone or in a batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.generation.beam_search import compute_log_probs
from dlkit.tasks.language_model.networks import causal_gru, gpt
from dlkit.tasks.language_model.prompt_tokenizer import PromptTokenizer
from dlkit.tasks.language_model.read_windows import cut_windows, embed_texts, score_texts
from dlkit.tasks.language_model.text_generator import TextGenerator
from dlkit.text.subword_tokenizer import END_ID, SubwordTokenizer, make_spellings

SUBWORDS = ["ab", " a", "é"]
SIZE = 259 + len(SUBWORDS)
CONTEXT = 24
PROMPTS = ["ab a", "", "a é ab", "ab" * 8, "x"]
OPTIONS = {
    "max_tokens": [6, 0, 20, 20, 12],
    "temperature": [0.0, 0.0, 0.0, 0.9, 1.5],
    "top_k": [0, 0, 0, 5, 0],
    "top_p": [1.0, 1.0, 1.0, 1.0, 0.8],
    "repetition_penalty": [1.0, 1.0, 1.4, 1.0, 1.2],
    "seed": [0, 0, 0, 7, 8],
}
FLOATS = ("temperature", "top_p", "repetition_penalty")


@pytest.fixture(scope="module", params=[gpt, causal_gru])
def generator(request):
    keras.utils.set_random_seed(3)
    sizes = {"heads": 2, "feedforward_width": 32, "context_length": CONTEXT} if request.param is gpt else {}
    network = request.param(SIZE, width=16, blocks=1, **sizes)
    for weight in network.weights:  # logits that differ from token to token
        if "seed" not in weight.path:
            weight.assign(np.random.default_rng(5).normal(0, 0.5, weight.shape))
    options = {name: values[0] for name, values in OPTIONS.items()}
    return TextGenerator(network, SUBWORDS, True, CONTEXT, {**options, "stop": []})


@pytest.fixture(scope="module")
def tokenizer():
    return SubwordTokenizer(SUBWORDS, CONTEXT, exact=True)


def tensors(options, stop):
    made = {name: tf.constant(each, tf.float32 if name in FLOATS else tf.int32) for name, each in options.items()}
    return {**made, "stop": tf.constant(stop)}


@pytest.fixture(scope="module")
def run(generator, tokenizer):
    layer = PromptTokenizer(tokenizer, CONTEXT)

    @tf.function(reduce_retracing=True)
    def generate(prompts, options):
        made = layer(prompts)
        return generator.generate(made["token_ids"], made["padding_mask"], options)

    def run(prompts, options, stop):
        made = generate(tf.constant(prompts), tensors(options, stop))
        return [{name: values[row].numpy() for name, values in made.items()} for row in range(len(prompts))]

    return run


def logits_of(network, ids):
    """The logits after each of these tokens, by the whole network."""
    every = tf.constant([ids], tf.int32)
    window = {"token_ids": every, "segment_ids": tf.ones_like(every), "positions": tf.range(len(ids))[tf.newaxis]}
    if network not in GRAPHS:
        GRAPHS[network] = tf.function(lambda given: network(given, training=False)["logits"], reduce_retracing=True)
    return GRAPHS[network](window).numpy()[0]


GRAPHS = {}


def plain_greedy(network, tokenizer, prompt, limit, penalty, stop):
    """Greedy text, all of it anew for each token."""
    prompt_ids = tokenizer.tokenize([prompt])[0].numpy().tolist()
    ids, text, spellings = [END_ID, *prompt_ids], b"", make_spellings(SUBWORDS)
    for _ in range(min(limit, CONTEXT - len(ids) + 1)):
        logits = logits_of(network, ids)[-1]
        for token in set(ids[1:]):
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        logits[:2] = -np.inf
        ids.append(int(np.argmax(logits)))
        if ids[-1] == END_ID:
            return text, "stop"
        text += spellings[ids[-1]]
        if stop and stop in text:
            return text.partition(stop)[0], "stop"
    return text, "length"


def test_greedy_rows_are_those_of_a_plain_loop(generator, tokenizer, run):
    first = run(PROMPTS, OPTIONS, [[""]] * 5)
    for row in (0, 1, 2):
        limit, penalty = OPTIONS["max_tokens"][row], OPTIONS["repetition_penalty"][row]
        text, reason = plain_greedy(generator.network, tokenizer, PROMPTS[row], limit, penalty, b"")
        assert decoded(text) == first[row]["text"].decode()
        assert first[row]["finish_reason"].decode() == reason
    assert first[1]["text"] == b""
    assert first[1]["finish_reason"] == b"length"
    whole = run(PROMPTS[:1], part({**OPTIONS, "max_tokens": [20]}, 0), [[""]])[0]["text"]
    stop = whole[4:6]
    options = part({**OPTIONS, "max_tokens": [20]}, 0)
    stopped = run(PROMPTS[:1], options, [[stop]])[0]
    text, reason = plain_greedy(generator.network, tokenizer, PROMPTS[0], 20, 1.0, stop)
    assert (stopped["text"].decode(), stopped["finish_reason"].decode()) == (decoded(text), reason)


def decoded(data):
    """As UTF-8, without a character that is not complete at the end."""
    import codecs

    return codecs.getincrementaldecoder("utf-8")("replace").decode(data)


def part(options, row):
    return {name: [values[row] if len(values) > row else values[0]] for name, values in options.items()}


def test_a_row_alone_is_the_row_in_a_batch(run):
    stop = [["", ""], ["b", ""], ["é", "zz"], ["", "q"], [" a", ""]]
    together = run(PROMPTS, OPTIONS, stop)
    for row, prompt in enumerate(PROMPTS):
        alone = run([prompt], part(OPTIONS, row), [stop[row]])[0]
        assert alone["text"] == together[row]["text"]
        assert alone["finish_reason"] == together[row]["finish_reason"]
        np.testing.assert_allclose(alone["prompt_bits"], together[row]["prompt_bits"], rtol=1e-5)


def test_the_context_ends_generation(run):
    options = {**part(OPTIONS, 0), "max_tokens": [999]}
    made = run(["a" * (CONTEXT - 1)], options, [[""]])[0]  # with the end token before it, as many as fit
    assert made["finish_reason"] == b"length"
    assert len(made["text"]) <= 3  # one token, which may be a byte that is no character


def test_prompt_bits_are_the_score_of_the_prompt(generator, tokenizer, run):
    made = run(PROMPTS, OPTIONS, [[""]] * 5)
    scored = score_texts(tokenizer, generator.decoder, tf.fill([5], ""), tf.constant(PROMPTS), CONTEXT, CONTEXT)
    np.testing.assert_allclose([row["prompt_bits"] for row in made], scored["bits"], rtol=1e-5)
    assert scored["bytes"].numpy().tolist() == [len(prompt.encode()) for prompt in PROMPTS]
    ids = [END_ID, *tokenizer.tokenize([PROMPTS[2]])[0].numpy().tolist()]
    log_probs = compute_log_probs(logits_of(generator.network, ids)).numpy()
    expected = -sum(log_probs[place, token] for place, token in enumerate(ids[1:])) / np.log(2)
    np.testing.assert_allclose(scored["bits"][2], expected, rtol=1e-5)
    np.testing.assert_allclose(scored["perplexity"][2], 2 ** (expected / (len(ids) - 1)), rtol=1e-4)


def test_long_texts_are_scored_in_windows_by_hand(generator, tokenizer):
    text, length, stride = "ab a é x" * 4, 10, 4
    ids = [END_ID, *tokenizer.tokenize([text])[0].numpy().tolist()]
    total, done = 0.0, 1
    for start in range(0, len(ids), stride):
        log_probs = compute_log_probs(logits_of(generator.network, ids[start : start + length])).numpy()
        for place in range(max(done, start + 1), min(start + length + 1, len(ids))):
            total -= log_probs[place - start - 1, ids[place]] / np.log(2)
            done = place + 1
    assert done == len(ids)
    scored = score_texts(tokenizer, generator.decoder, tf.constant(["", "x"]), tf.constant([text, ""]), length, stride)
    np.testing.assert_allclose(scored["bits"], [total, 0.0], rtol=1e-5)
    assert scored["perplexity"].numpy()[1] == 1


@pytest.mark.parametrize(("length", "stride"), [(4, 4), (5, 2), (7, 1), (30, 10)])
def test_every_token_of_a_text_is_scored_once(length, stride):
    prompt = tf.ragged.constant([[3, 4], [], [5], []], tf.int32, 1)
    text = tf.ragged.constant([[*range(10, 25)], [30], [], [*range(40, 44)]], tf.int32, 1)
    windows = cut_windows(prompt, text, length, stride)
    for row, expected in enumerate(text.to_list()):
        scored = windows.next_ids.numpy()[windows.rows.numpy() == row]
        assert scored[scored > 0].tolist() == expected
    reads = windows.token_ids.numpy()[windows.rows.numpy() == 0]
    assert reads[0, :3].tolist() == [END_ID, 3, 4]
    assert reads.shape[1] <= length


def test_embeddings_are_means_of_features_whatever_the_batch(generator, tokenizer):
    texts = ["ab a", "", "é x ab" * 9]
    together = embed_texts(tokenizer, generator.decoder, tf.constant(texts), CONTEXT).numpy()
    for row, text in enumerate(texts):
        ids = np.array([[END_ID, *tokenizer.tokenize([text])[0].numpy()]], np.int32)
        parts = [ids[:, start : start + CONTEXT] for start in range(0, ids.shape[1], CONTEXT)]
        features = [
            generator.decoder.features(
                tf.constant(each), tf.ones_like(each), tf.constant(np.arange(each.shape[1])[None], tf.int32)
            )[0]
            for each in parts
        ]
        np.testing.assert_allclose(together[row], np.concatenate(features).mean(0), atol=1e-5)


def test_prompts_that_are_too_long_are_refused_or_cut_on_the_left(tokenizer):
    prompts = tf.constant(["ab" * (CONTEXT - 1), "ab" * CONTEXT, "x"])
    refused = PromptTokenizer(tokenizer, CONTEXT)(prompts)
    assert [bool(reason) for reason in refused["error"].numpy()] == [False, True, False]
    assert b"24 tokens" in refused["error"].numpy()[1]
    assert refused["truncated"].numpy().tolist() == [False] * 3
    cut = PromptTokenizer(tokenizer, CONTEXT, room=10)(prompts)
    assert cut["error"].numpy().tolist() == [b""] * 3
    assert cut["truncated"].numpy().tolist() == [False, True, False]
    assert cut["padding_mask"].numpy().sum(1).tolist() == [24, 14, 2]
    assert cut["prompt_bytes"].numpy().tolist() == [46, 26, 1]  # of what follows the first token
    assert cut["token_ids"].numpy()[2].tolist() == [0] * 22 + [END_ID, 3 + ord("x")]
