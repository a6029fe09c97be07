"""Networks that write: no leak, the same token by token as in whole, and the search finds what a plain one finds."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.generation.beam_search import compute_log_probs
from dlkit.generation.sample_tokens import Sampling, draw_uniforms, sample_tokens
from dlkit.layers.relative_position_bias import RelativePositionBias
from dlkit.tasks.translation.incremental_decoder import make_incremental_decoder
from dlkit.tasks.translation.networks import translation_gru, translation_transformer
from dlkit.tasks.translation.token_generator import TokenGenerator
from dlkit.text.subword_tokenizer import END_ID, START_ID

SIZE = 12
NETWORKS = {
    "sinusoidal": lambda: translation_transformer(SIZE, width=16, heads=2, feedforward_width=24, blocks=2),
    "relative": lambda: translation_transformer(
        SIZE, width=16, heads=2, feedforward_width=24, blocks=2, positions="relative"
    ),
    "luong": lambda: translation_gru(SIZE, width=16, blocks=2, attention="luong"),
    "bahdanau": lambda: translation_gru(SIZE, width=16, blocks=1, attention="bahdanau"),
}


def quick(*names):
    """Runs a long check of all networks for some of them in `make test`."""
    slow = (pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS if name not in names)
    return pytest.mark.parametrize("network", [*names, *slow], indirect=True)


@pytest.fixture(params=NETWORKS)
def network(request, build_random_network):
    return build_random_network(NETWORKS[request.param])


def inputs(seed=0, rows=3, read=6, written=7):
    random = np.random.default_rng(seed)
    mask = np.arange(read) < random.integers(2, read + 1, rows)[:, None]
    mask[0] = True
    return {
        "token_ids": np.where(mask, random.integers(3, SIZE, (rows, read)), 0).astype(np.int32),
        "padding_mask": mask,
        "decoder_ids": np.concatenate([np.full((rows, 1), START_ID), random.integers(3, SIZE, (rows, written - 1))], 1),
    }


def logits_of(network, given):
    return network(given, training=False)["logits"].numpy()


def test_a_later_token_changes_no_earlier_logit(network):
    given = inputs()
    before = logits_of(network, given)
    for place in range(1, 7):
        changed = {**given, "decoder_ids": given["decoder_ids"].copy()}
        changed["decoder_ids"][:, place] = (changed["decoder_ids"][:, place] - 2) % (SIZE - 3) + 3
        after = logits_of(network, changed)
        np.testing.assert_array_equal(after[:, :place], before[:, :place])
        assert np.abs(after[:, place] - before[:, place]).max() > 1e-4


def test_padding_and_other_rows_change_nothing(network):
    given = inputs()
    before = logits_of(network, given)
    hidden = np.where(given["padding_mask"], given["token_ids"], 5)
    np.testing.assert_allclose(logits_of(network, {**given, "token_ids": hidden}), before, atol=2e-6)
    wider = {
        **given,
        "token_ids": np.pad(given["token_ids"], [(0, 0), (0, 4)], constant_values=7),
        "padding_mask": np.pad(given["padding_mask"], [(0, 0), (0, 4)]),
    }
    np.testing.assert_allclose(logits_of(network, wider), before, atol=5e-6)
    for row in range(3):
        alone = {name: value[row : row + 1] for name, value in given.items()}
        np.testing.assert_allclose(logits_of(network, alone)[0], before[row], atol=5e-6)


def test_the_source_matters(network):
    given = inputs()
    other = {**given, "token_ids": np.where(given["padding_mask"], 3 + (given["token_ids"] - 2) % 9, 0)}
    assert np.abs(logits_of(network, given) - logits_of(network, other)).max() > 1e-3


@pytest.mark.parametrize("beams", [1, 3])
def test_token_by_token_gives_the_logits_of_the_whole(network, beams):
    given = inputs()
    whole = logits_of(network, given)
    decoder = make_incremental_decoder(network, 7)
    encoded, cache = decoder.begin(tf.constant(given["token_ids"]), tf.constant(given["padding_mask"]), beams)
    for place in range(7):
        ids = tf.constant(np.repeat(given["decoder_ids"][:, place], beams), tf.int32)
        logits, cache = decoder.step(ids, tf.constant(place), encoded, cache)
        np.testing.assert_allclose(logits, np.repeat(whole[:, place], beams, axis=0), atol=5e-6)


def test_gradients_reach_every_weight(network):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(inputs(), training=True)["logits"] ** 2)
    gradients = tape.gradient(loss, network.trainable_weights)
    for weight, gradient in zip(network.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path


def log_probs_of(network):
    """A function from a row and beginnings of one length to the log-probabilities after each of their tokens."""
    run = tf.function(lambda given: compute_log_probs(network(given, training=False)["logits"]), reduce_retracing=True)

    def log_probs(given, row, beginnings):
        ids = tf.constant([[START_ID, *tokens] for tokens in beginnings], tf.int32)
        one = {name: np.repeat(given[name][[row]], len(beginnings), axis=0) for name in ("token_ids", "padding_mask")}
        return run({**{name: tf.constant(value) for name, value in one.items()}, "decoder_ids": ids}).numpy()

    return log_probs


def plain_search(log_probs, given, row, width, penalty, limit):
    """Beam search over lists, all of it anew for each token."""
    live, done = [([], 0.0)], []
    for step in range(limit):
        grown = [
            ([*tokens, token], before + log_prob)
            for (tokens, before), after in zip(
                live, log_probs(given, row, [tokens for tokens, _ in live])[:, -1], strict=True
            )
            for token, log_prob in enumerate(after)
        ]
        grown = sorted(grown, key=lambda pair: -pair[1])[: 2 * width]
        length = ((5 + step + 1) / 6) ** penalty
        done += [(tokens, lp / length) for tokens, lp in grown[:width] if tokens[-1] == END_ID and np.isfinite(lp)]
        live = [pair for pair in grown if pair[0][-1] != END_ID][:width]
        if len(done) >= width:
            break
    return max(done, key=lambda pair: pair[1])[0] if done else live[0][0]


def written_rows(made):
    rows = made["generated_ids"].numpy()
    return [row[: np.argmax(row == 0)].tolist() if (row == 0).any() else row.tolist() for row in rows]


@quick("relative", "luong")
@pytest.mark.parametrize(
    ("width", "penalty"),
    [(1, 1.0), (3, 0.6), pytest.param(2, 0.0, marks=pytest.mark.slow), pytest.param(4, 1.0, marks=pytest.mark.slow)],
)
def test_what_is_written_is_what_a_plain_search_finds(network, width, penalty):
    given = inputs(seed=3, rows=4)
    generator = TokenGenerator(network, 9, width, penalty)
    made = tf.function(generator.call)(tf.constant(given["token_ids"]), tf.constant(given["padding_mask"]))
    answers = written_rows(made)
    log_probs = log_probs_of(network)
    assert answers == [plain_search(log_probs, given, row, width, penalty, 9) for row in range(4)]
    for row, tokens in enumerate(answers):
        each = log_probs(given, row, [tokens[:-1]])[0][np.arange(len(tokens)), tokens]
        np.testing.assert_allclose(made["score"][row], np.exp(each.mean()), rtol=1e-4)


def controls(rows, **given):
    usual = {"max_tokens": [9] * rows, "beam_width": [1] * rows, "length_penalty": [1.0] * rows}
    kinds = {"max_tokens": tf.int32, "beam_width": tf.int32, "length_penalty": tf.float32}
    return {name: tf.constant(given.get(name, value), kinds[name]) for name, value in usual.items()}


def draw(temperature, top_k=None, top_p=None, seed=None):
    rows = len(temperature)
    return Sampling(
        tf.constant(temperature, tf.float32),
        tf.constant(top_k or [0] * rows),
        tf.constant(top_p or [1.0] * rows),
        tf.constant(seed or [0] * rows),
        tf.ones([rows]),
    )


@quick("sinusoidal")
def test_each_row_has_its_own_options_whatever_its_batch(network):
    given = inputs(seed=5, rows=6)
    generator = TokenGenerator(network, 9)
    asked = controls(6, max_tokens=[9, 9, 3, 9, 9, 1], beam_width=[1, 4, 2, 1, 3, 4])
    drawn = draw([0, 0, 0, 0.9, 1.5, 0], [0, 0, 0, 5, 0, 0], [1, 1, 1, 1, 0.9, 1], [0, 0, 0, 7, 8, 0])

    @tf.function
    def run(token_ids, mask, asked, drawn):
        return generator.generate(token_ids, mask, **asked, sampling=drawn)

    ids, mask = tf.constant(given["token_ids"]), tf.constant(given["padding_mask"])
    together = written_rows(run(ids, mask, asked, drawn))
    for row in range(6):
        part = slice(row, row + 1)
        one = tf.nest.map_structure(lambda value, part=part: value[part], (ids, mask, asked, drawn))
        assert written_rows(run(*one))[0] == together[row]
    log_probs = log_probs_of(network)
    for row, width, limit in [(0, 1, 9), (1, 4, 9), (2, 2, 3), (5, 4, 1)]:
        assert together[row] == plain_search(log_probs, given, row, width, 1.0, limit)


def test_the_same_seed_draws_the_same_and_others_draw_by_probability():
    network = NETWORKS["sinusoidal"]()
    given = inputs(rows=1)
    rows = 400
    ids, mask = (tf.repeat(given[name], rows, axis=0) for name in ("token_ids", "padding_mask"))
    generator = TokenGenerator(network, 1)
    drawn = draw([2.0] * rows, seed=list(range(rows)))
    first = generator.generate(ids, mask, **controls(rows), sampling=drawn)["generated_ids"].numpy()[:, 0]
    again = generator.generate(ids, mask, **controls(rows), sampling=drawn)["generated_ids"].numpy()[:, 0]
    np.testing.assert_array_equal(first, again)
    logs = (
        compute_log_probs(network({**given, "decoder_ids": np.array([[START_ID]])}, training=False)["logits"])[0, 0]
        / 2.0
    )
    wanted = tf.nn.softmax(logs).numpy()
    np.testing.assert_allclose(np.bincount(first, minlength=SIZE) / rows, wanted, atol=0.08)


def test_drawing_keeps_what_is_asked_for():
    logs = tf.math.log(tf.constant([[[0.5, 0.3, 0.15, 0.05]]]))
    chances = np.linspace(0, 0.999, 50)

    def drawn(top_k, top_p):
        rows = len(chances)
        left = sample_tokens(
            tf.repeat(logs, rows, axis=0),
            tf.ones(rows),
            tf.fill([rows], top_k),
            tf.fill([rows], top_p),
            tf.constant(chances, tf.float32),
        )
        assert (np.isfinite(left).sum(2) == 1).all()
        return np.argmax(left, 2)[:, 0].tolist()

    assert set(drawn(0, 1.0)) == {0, 1, 2, 3}
    assert set(drawn(2, 1.0)) == {0, 1}
    assert set(drawn(0, 0.9)) == {0, 1, 2}
    assert set(drawn(0, 0.0)) == {0}
    assert set(drawn(1, 1.0)) == {0}
    assert drawn(2, 1.0).count(0) == pytest.approx(50 * 0.5 / 0.8, abs=1)
    plain = sample_tokens(logs, tf.zeros(1), tf.constant([0]), tf.ones(1), tf.zeros(1))
    np.testing.assert_array_equal(plain, logs)


def test_chances_come_from_the_seed_alone():
    together = draw_uniforms(tf.constant([3, 4, 3]), 5).numpy()
    np.testing.assert_array_equal(together[0], together[2])
    np.testing.assert_array_equal(together[1], draw_uniforms(tf.constant([4]), 5).numpy()[0])
    assert len(np.unique(together[:2])) == 10
    assert draw_uniforms(tf.constant([], tf.int32), 5).shape == (0, 5)


def t5_bucket(distance, bidirectional, buckets=32, farthest=128):
    """Of one relative position, key minus query, as the code of T5 has it."""
    found, distance = 0, -distance
    if bidirectional:
        buckets //= 2
        found += buckets * (distance < 0)
        distance = abs(distance)
    distance = max(distance, 0)
    if distance < buckets // 2:
        return found + distance
    wide = np.log(distance / (buckets // 2)) / np.log(farthest / (buckets // 2)) * (buckets - buckets // 2)
    return found + min(buckets // 2 + int(wide), buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_are_those_of_t5(bidirectional):
    layer = RelativePositionBias(2, bidirectional)
    distances = np.array([d for d in range(-300, 300) if abs(d) not in (16, 32, 64, 128)])  # where rounding decides
    expected = [t5_bucket(-int(distance), bidirectional) for distance in distances]
    assert layer.bucket(tf.constant(distances, tf.int32)).numpy().tolist() == expected


def test_a_builder_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="multiple of `heads`"):
        translation_transformer(SIZE, width=10, heads=4)
    with pytest.raises(ValueError, match="`positions`"):
        translation_transformer(SIZE, positions="none")
    with pytest.raises(ValueError, match="`attention`"):
        translation_gru(SIZE, attention="none")


def test_all_answers_of_a_tiny_network_are_found_by_a_wide_beam():
    """With as many beams as there are beginnings, the search is exhaustive."""
    keras.utils.set_random_seed(3)
    network = translation_transformer(5, width=8, heads=2, feedforward_width=8, blocks=1)
    given = {"token_ids": np.array([[3, 4, 2]]), "padding_mask": np.ones((1, 3), bool)}

    def log_prob(tokens):
        ids = np.array([[START_ID, *tokens[:-1]]])
        logs = compute_log_probs(network({**given, "decoder_ids": ids}, training=False)["logits"]).numpy()[0]
        return sum(logs[place, token] for place, token in enumerate(tokens))

    whole = [[*tokens, END_ID] for length in range(3) for tokens in itertools.product([3, 4], repeat=length)]
    best = max(whole, key=log_prob)
    made = TokenGenerator(network, 3, 8, 0.0)(
        tf.constant(given["token_ids"], tf.int32), tf.constant(given["padding_mask"])
    )
    assert written_rows(made)[0] == best
