"""Texts that a decoder writes: what the network that was trained says, of each clip by itself."""

import keras
import numpy as np
import pytest

from dlkit.tasks.speech_recognition.networks import attention
from dlkit.tasks.speech_recognition.write_text import TextWriter

MELS, FRAMES, LONGEST = 6, 20, 5
LENGTHS = [20, 5, 1]


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(3)
    model = attention(MELS, 5, width=16, blocks=1, heads=2)
    rng = np.random.default_rng(4)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return model


def clips():
    features = np.random.default_rng(0).normal(0, 1, (len(LENGTHS), FRAMES, MELS)).astype(np.float32)
    mask = np.arange(FRAMES) < np.array(LENGTHS)[:, np.newaxis]
    return features * mask[..., np.newaxis], mask


def texts_of(outputs):
    return [ids[: list(ids).index(2)] if 2 in ids else ids[ids > 0] for ids in outputs["generated_ids"].numpy()]


def follow(network, features, mask, limit):
    """Greedy decoding by hand: the whole network again for each character."""
    ids = [1]
    while len(ids) <= limit:
        inputs = {"features": features[np.newaxis], "padding_mask": mask[np.newaxis]}
        logits = network({**inputs, "decoder_ids": np.array([ids], np.int32)})["text_logits"][0, -1].numpy()
        logits[:2] = -np.inf
        ids.append(int(np.argmax(logits)))
        if ids[-1] == 2:
            break
    return [each for each in ids[1:] if each != 2]


def test_greedy_texts_are_those_of_the_whole_network(network):
    features, mask = clips()
    written = texts_of(TextWriter(network, max_characters=LONGEST)(features, mask))
    for text, clip, kept, frames in zip(written, features, mask, LENGTHS, strict=True):
        limit = min(LONGEST + 1, -(-frames // 4) + 1)
        assert list(text) == follow(network, clip, kept, limit)
    assert len({tuple(text) for text in written}) > 1


@pytest.mark.parametrize("beam_width", [1, 3])
def test_a_clip_alone_has_the_text_that_it_has_in_a_batch(network, beam_width):
    features, mask = clips()
    writer = TextWriter(network, max_characters=LONGEST, beam_width=beam_width)
    together = writer(features, mask)
    for row, frames in enumerate(LENGTHS):
        alone = writer(features[row : row + 1, :frames], mask[row : row + 1, :frames])
        np.testing.assert_array_equal(texts_of(alone)[0], texts_of(together)[row])
        np.testing.assert_allclose(alone["score"][0], together["score"][row], rtol=1e-4)


def test_silence_has_no_text(network):
    features, mask = clips()
    features[1] = 0
    outputs = TextWriter(network, max_characters=LONGEST, beam_width=2)(features, mask)
    assert len(texts_of(outputs)[1]) == 0 and float(outputs["score"][1]) == 1.0


def test_a_saved_writer_writes_the_same(network, tmp_path):
    features, mask = clips()
    inputs = [keras.Input((None, MELS)), keras.Input((None,), dtype="bool")]
    model = keras.Model(inputs, TextWriter(network, max_characters=LONGEST)(*inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    before, after = texts_of(model([features, mask])), texts_of(loaded([features, mask]))
    assert [list(text) for text in before] == [list(text) for text in after]
