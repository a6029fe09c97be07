"""Networks of speech recognition: a clip's answers are its own, whatever its padding and its batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.speech_recognition.frame_gru import FrameGru
from dlkit.tasks.speech_recognition.masked_conv import MaskedConv1D
from dlkit.tasks.speech_recognition.networks import attention, conformer, conv_gru, word_cnn, word_tdnn

MELS, CHARACTERS = 12, 5
NETWORKS = {
    "conv_gru": lambda: conv_gru(MELS, CHARACTERS, width=8, blocks=2),
    "conv_gru_causal": lambda: conv_gru(MELS, CHARACTERS, width=8, blocks=1, stride=2, causal=True),
    "conformer": lambda: conformer(MELS, CHARACTERS, width=8, blocks=2, heads=2, kernel_size=3),
    "attention": lambda: attention(MELS, CHARACTERS, width=8, blocks=1, heads=2, stride=2),
    "word_tdnn": lambda: word_tdnn(MELS, CHARACTERS, width=8),
    "word_cnn": lambda: word_cnn(MELS, CHARACTERS, width=4, blocks=3),
}
LENGTHS = [9, 22, 1, 17]


@pytest.fixture(params=NETWORKS, scope="module")
def network(request, build_random_network):
    return build_random_network(NETWORKS[request.param])


def clips():
    return [np.random.default_rng(length).normal(0, 1, (length, MELS)).astype(np.float32) for length in LENGTHS]


def answer(network, *clips, frames, fill=100.0):
    """The logits of each clip, padded to `frames` with what must not matter."""
    features = np.stack([np.pad(clip, ((0, frames - len(clip)), (0, 0)), constant_values=fill) for clip in clips])
    mask = np.arange(frames) < np.array([[len(clip)] for clip in clips])
    inputs = {"features": features, "padding_mask": mask}
    if "decoder_ids" in network.input:
        inputs["decoder_ids"] = np.tile(np.array([1, 4, 3, 7], np.int32), (len(clips), 1))
    outputs = {name: values.numpy() for name, values in network(inputs, training=False).items()}
    if "logits_mask" not in outputs:
        return list(outputs["logits"])
    answers = [logits[kept] for logits, kept in zip(outputs["logits"], outputs["logits_mask"], strict=True)]
    if "text_logits" in outputs:
        texts = outputs["text_logits"][:, :, :CHARACTERS]  # as many as there are others, to be joined
        return [np.concatenate([one[:, :CHARACTERS], text]) for one, text in zip(answers, texts, strict=True)]
    return answers


def test_padding_and_batch_change_nothing(network):
    alone = [answer(network, clip, frames=len(clip))[0] for clip in clips()]
    for frames in (22, 23, 40):
        together = answer(network, *clips(), frames=frames)
        for one, same in zip(alone, together, strict=True):
            assert one.shape == same.shape
            np.testing.assert_allclose(one, same, atol=1e-5)


def test_what_is_a_frame_does_change_the_answer(network):
    changed = [clip.copy() for clip in clips()]
    for clip in changed:
        clip[-1] += 1.0
    before, after = (answer(network, *each, frames=24) for each in (clips(), changed))
    assert all(np.abs(one - other).max() > 1e-4 for one, other in zip(before, after, strict=True))


def test_a_saved_network_answers_the_same(network, tmp_path):
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    before, after = (answer(each, *clips(), frames=24) for each in (network, loaded))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_convolution_by_hand():
    conv = MaskedConv1D(1, kernel_size=3, strides=2)
    conv.build((None, None, 1))
    conv.kernel.assign(np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1))
    x, mask = np.array([[[1.0], [2.0], [3.0], [7.0]]], np.float32), np.array([[True, True, True, False]])
    assert conv(x, mask)[0, :, 0].numpy().tolist() == [210.0, 32.0]  # centered on frames 0 and 2; frame 3 is padding


def test_a_causal_convolution_ends_with_its_stride():
    conv = MaskedConv1D(1, kernel_size=3, strides=2, causal=True)
    conv.build((None, None, 1))
    conv.kernel.assign(np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1))
    x, mask = np.array([[[1.0], [2.0], [3.0], [4.0]]], np.float32), np.ones((1, 4), bool)
    assert conv(x, mask)[0, :, 0].numpy().tolist() == [210.0, 432.0]


def test_depthwise_filters_are_each_of_one_channel():
    conv = MaskedConv1D(2, kernel_size=3, depthwise=True)
    conv.build((None, None, 2))
    conv.kernel.assign(np.array([[1.0, 0.0], [10.0, 1.0], [100.0, 0.0]]).reshape(3, 1, 2))
    x, mask = np.array([[[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]], np.float32), np.ones((1, 3), bool)
    assert conv(x, mask)[0].numpy().tolist() == [[210.0, 5.0], [321.0, 6.0], [32.0, 7.0]]


def test_the_numbers_of_a_gru_are_those_of_keras():
    peer = keras.layers.Bidirectional(keras.layers.GRU(3, return_sequences=True, use_cudnn=False))
    x = np.random.default_rng(0).normal(0, 1, (2, 6, 4)).astype(np.float32)
    mask = np.arange(6) < np.array([[6], [4]])
    expected = peer(x, mask=tf.constant(mask)).numpy() * mask[..., np.newaxis]
    gru = FrameGru(3, bidirectional=True)
    gru.build(x.shape)
    forward, backward = peer.forward_layer.get_weights(), peer.backward_layer.get_weights()
    kernel, recurrent_kernel, biases = (np.stack(pair) for pair in zip(forward, backward, strict=True))
    gru.set_weights([kernel, recurrent_kernel, biases[:, :1], biases[:, 1:]])
    np.testing.assert_allclose(gru(x, mask), expected, atol=1e-6)


def test_a_reversed_gru_begins_at_the_last_frame_of_the_clip():
    """By hand: without inputs to its gates, half of the state stays, and half is tanh of the frame."""
    gru = FrameGru(1, bidirectional=True)
    gru.build((None, None, 1))
    gru.set_weights([np.array([[[0.0, 0.0, 1.0]]] * 2), np.zeros((2, 1, 3)), np.zeros((2, 1, 3)), np.zeros((2, 1, 3))])
    x, mask = np.array([[[1.0], [2.0], [9.0]]], np.float32), np.array([[True, True, False]])
    one, two = np.tanh(1.0) / 2, np.tanh(2.0) / 2
    np.testing.assert_allclose(gru(x, mask)[0], [[one, one + two / 2], [one / 2 + two, two], [0, 0]], atol=1e-6)
