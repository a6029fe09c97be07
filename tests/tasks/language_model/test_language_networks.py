"""Networks of language models: nothing leaks between documents or from what follows; step by step as in whole."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.language_model.causal_decoder import CausalDecoder
from dlkit.tasks.language_model.networks import causal_gru, gpt

SIZE = 12
NETWORKS = {
    "rotary": lambda: gpt(SIZE, context_length=16, width=16, heads=2, feedforward_width=24, blocks=2),
    "learned": lambda: gpt(
        SIZE, context_length=16, width=16, heads=2, feedforward_width=24, blocks=1, positions="learned"
    ),
    "swiglu": lambda: gpt(
        SIZE, context_length=16, width=16, heads=2, feedforward_width=24, blocks=1, feedforward="swiglu"
    ),
    "gru": lambda: causal_gru(SIZE, width=16, blocks=2),
}


@pytest.fixture(params=NETWORKS, scope="module")
def network(request, build_random_network):
    return build_random_network(NETWORKS[request.param])


def packed(*documents, length=12):
    """A window with these documents, padded after them."""
    window = {name: np.zeros((1, length), np.int32) for name in ("token_ids", "segment_ids", "positions")}
    start = 0
    for number, document in enumerate(documents, 1):
        end = start + len(document)
        for name, values in (("token_ids", document), ("segment_ids", number), ("positions", range(len(document)))):
            window[name][0, start:end] = values
        start = end
    return window


def logits_of(network, window):
    return network(window, training=False)["logits"].numpy()[0]


def test_documents_of_a_window_are_as_each_alone(network):
    documents = [2, 5, 7, 4], [2, 9], [2, 3, 8, 8, 11]
    together, start = logits_of(network, packed(*documents)), 0
    for document in documents:
        alone = logits_of(network, packed(document, length=len(document)))
        np.testing.assert_allclose(together[start : start + len(document)], alone, atol=5e-6)
        start += len(document)
    others = logits_of(network, packed([2, 6, 3, 10], *documents[1:]))
    np.testing.assert_array_equal(others[4:11], together[4:11])
    assert np.abs(others[:4] - together[:4]).max() > 1e-3


def test_a_later_token_changes_no_earlier_logit(network):
    document = [2, 5, 7, 4, 9, 3]
    before = logits_of(network, packed(document))
    for place in range(1, 6):
        changed = [*document[:place], document[place] % 9 + 3, *document[place + 1 :]]
        after = logits_of(network, packed(changed))
        np.testing.assert_array_equal(after[:place], before[:place])
        assert np.abs(after[place] - before[place]).max() > 1e-4


def test_prompts_padded_on_the_left_go_on_as_in_whole(network):
    prompts, following = [[2, 5, 7, 4], [2], [2, 9, 9]], [6, 3, 10]
    longest = max(map(len, prompts))
    ids = np.array([[0] * (longest - len(prompt)) + prompt for prompt in prompts], np.int32)
    mask = (ids > 0).astype(np.int32)
    decoder = CausalDecoder(network)
    features, encoded, cache = decoder.begin(
        tf.constant(ids), tf.constant(mask), tf.cumsum(tf.constant(mask), 1, exclusive=True)
    )
    read = decoder.logits(features).numpy()
    whole = [logits_of(network, packed([*prompt, *following])) for prompt in prompts]
    for row, prompt in enumerate(prompts):
        np.testing.assert_allclose(read[row, -len(prompt) :], whole[row][: len(prompt)], atol=5e-6)
    for step, token in enumerate(following):
        logits, cache = decoder.step(tf.fill([3], token), tf.constant(step), encoded, cache)
        for row, prompt in enumerate(prompts):
            np.testing.assert_allclose(logits[row], whole[row][len(prompt) + step], atol=5e-6)


def test_a_prompt_of_nothing_but_its_first_token_is_read_by_the_step(network):
    decoder = CausalDecoder(network)
    empty = tf.zeros([1, 0], tf.int32)
    _, encoded, cache = decoder.begin(empty, empty, empty)
    logits, _ = decoder.step(tf.constant([2]), tf.constant(0), encoded, cache)
    np.testing.assert_allclose(logits[0], logits_of(network, packed([2]))[0], atol=5e-6)


def test_gradients_reach_every_weight(network):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(packed([2, 5, 7, 4], [2, 9]), training=True)["logits"] ** 2)
    gradients = tape.gradient(loss, network.trainable_weights)
    for weight, gradient in zip(network.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path


def test_a_builder_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="even multiple of `heads`"):
        gpt(SIZE, width=10, heads=4)
    with pytest.raises(ValueError, match="`positions`"):
        gpt(SIZE, positions="none")
    with pytest.raises(ValueError, match="`feedforward`"):
        gpt(SIZE, feedforward="none")
