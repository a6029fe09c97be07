import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.sentiment.attention_pooling import AttentionPooling
from dlkit.tasks.sentiment.cnn import text_cnn
from dlkit.tasks.sentiment.mlp import WeightedEmbeddingBag, text_mlp
from dlkit.tasks.sentiment.rnn import text_rnn
from dlkit.tasks.sentiment.transformer import text_transformer

NETWORKS = {
    "mlp": lambda n: text_mlp(n, 20, 3, width=8, hidden_widths=(5,)),
    "linear": lambda n: text_mlp(n, 20, 3, width=0),
    "cnn": lambda n: text_cnn(n, 20, 3, width=8, filters=6, kernel_sizes=(2, 3, 4)),
    "lstm": lambda n: text_rnn(n, 20, 3, cell="lstm", width=8, rnn_units=6, attention_width=4),
    "gru": lambda n: text_rnn(n, 20, 3, width=8, rnn_units=6, attention_width=4, blocks=2),
    "transformer": lambda n: text_transformer(n, 20, 3, width=8, heads=2, feedforward_width=12, blocks=1),
}


def rows(lengths, max_tokens, padding_id=0):
    """Random ids with rows of these lengths; `padding_id` where masked, which exact masks never see."""
    random = np.random.default_rng(0)
    token_ids = random.integers(1, 20, (len(lengths), max_tokens)).astype("int32")
    padding_mask = np.arange(max_tokens) < np.array(lengths)[:, None]
    return {"token_ids": np.where(padding_mask, token_ids, padding_id), "padding_mask": padding_mask}


def widened(inputs, max_tokens, padding_id):
    more = ((0, 0), (0, max_tokens - inputs["token_ids"].shape[1]))
    token_ids = np.pad(inputs["token_ids"], more, constant_values=padding_id)
    return {"token_ids": token_ids, "padding_mask": np.pad(inputs["padding_mask"], more)}


def built(name, max_tokens):
    keras.utils.set_random_seed(1)
    model = NETWORKS[name](max_tokens)
    for weight in model.weights:  # biases and zero starts too, so that nothing hides a leak
        if "seed" not in weight.path:
            weight.assign(np.random.default_rng(2).normal(0, 0.5, weight.shape))
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_and_other_rows_change_nothing(name):
    short, long = built(name, 7), built(name, 12)
    long.set_weights(short.get_weights())
    inputs = rows([7, 1, 4, 0], 7)
    logits = short(inputs)["logits"].numpy()
    assert logits.shape == (4, 3)
    assert np.isfinite(logits).all()
    assert np.ptp(logits[:3], axis=0).min() > 1e-3  # the texts matter at all
    np.testing.assert_allclose(long(widened(inputs, 12, 0))["logits"], logits, atol=2e-6)
    # Whatever ids stand under the padding.
    np.testing.assert_allclose(long(widened(inputs, 12, 9))["logits"], logits, atol=2e-6)
    for row in range(4):
        alone = {key: value[row : row + 1] for key, value in inputs.items()}
        np.testing.assert_allclose(short(alone)["logits"][0], logits[row], atol=2e-6)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ("lstm", "gru", "transformer") else name
        for name in NETWORKS
    ],
)
def test_learns_saves_and_exports(name, tmp_path):
    keras.utils.set_random_seed(1)
    model = NETWORKS[name](6)
    inputs = rows([6, 2, 4, 0, 5, 3], 6)
    label = (inputs["token_ids"] == 3).any(1).astype("int32")
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    dataset = tf.data.Dataset.from_tensors((inputs, {"logits": label})).repeat(25)
    history = model.fit(dataset, epochs=2, verbose=0).history["loss"]
    assert history[-1] < history[0]
    expected = model(inputs)["logits"].numpy()
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(inputs)["logits"], expected)
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved").signatures["serving_default"]
    np.testing.assert_allclose(
        served(**{key: tf.constant(value) for key, value in inputs.items()})["logits"], expected, atol=1e-6
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_stay_float32_in_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        logits = NETWORKS[name](6)(rows([6, 0], 6))["logits"]
    finally:
        keras.config.set_dtype_policy("float32")
    assert logits.dtype == tf.float32
    assert np.isfinite(logits).all()


def test_attention_pooling_by_hand():
    pooling = AttentionPooling(1)
    inputs = np.array([[[1.0], [2.0], [50.0]], [[3.0], [4.0], [5.0]]], "float32")
    mask = np.array([[True, True, False], [False, False, False]])
    pooling(inputs, padding_mask=mask)
    pooling.set_weights([np.ones((1, 1)), np.zeros(1), np.ones((1, 1))])
    scores = np.exp(np.tanh([1.0, 2.0]))
    expected = [[(scores * [1.0, 2.0]).sum() / scores.sum()], [0.0]]
    np.testing.assert_allclose(pooling(inputs, padding_mask=mask), expected, rtol=1e-5)


def test_weighted_bag_by_hand():
    bag = WeightedEmbeddingBag(4, 2)
    token_ids = np.array([[2, 3, 1], [1, 1, 1]])
    mask = np.array([[True, True, False], [False, False, False]])
    bag(token_ids, mask)
    bag.embeddings.assign([[9, 9], [9, 9], [1, 0], [0, 2]])
    bag.token_weights.assign([7, 7, 3, 4])
    np.testing.assert_allclose(bag(token_ids, mask), [[3 / 5, 4 * 2 / 5], [0, 0]], rtol=1e-6)


def test_fixed_weights_reach_the_bag_and_stay_fixed():
    weights = np.arange(20, dtype="float32")
    model = text_mlp(5, 20, 2, width=4, token_weights=weights)
    np.testing.assert_array_equal(model.get_layer("bag").token_weights, weights)
    assert len(model.trainable_weights) == 3


def test_unknown_cell_lists_the_choices():
    with pytest.raises(ValueError, match=r"one of lstm, gru\. Received: cell='rnn'"):
        text_rnn(4, 20, 2, cell="rnn")
