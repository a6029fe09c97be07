"""KerasHub's encoders with random weights: they hear what KerasHub's own models hear, whatever the padding."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.audio.wav_file import encode_wav
from dlkit.errors import DlkitError
from dlkit.tasks.speech_recognition.preset import load_encoder, preset_network

CHARACTERS = 5
LENGTHS = [9000, 4100, 16000, 700]


def make_whisper():
    return keras_hub.models.WhisperBackbone(
        vocabulary_size=11, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32, num_mels=80,
        max_encoder_sequence_length=120, max_decoder_sequence_length=8,
    )  # fmt: skip


def make_moonshine():
    return keras_hub.models.MoonshineBackbone(
        vocabulary_size=11, filter_dim=16, encoder_num_layers=1, decoder_num_layers=1, hidden_dim=16,
        intermediate_dim=32, encoder_num_heads=2, decoder_num_heads=2,
    )  # fmt: skip


BACKBONES = {"whisper": make_whisper, "moonshine": make_moonshine}


@pytest.fixture(scope="module", params=BACKBONES)
def preset(request, tmp_path_factory):
    keras.utils.set_random_seed(9)
    backbone = BACKBONES[request.param]()
    rng = np.random.default_rng(1)
    for weight in backbone.weights:
        if "float" in weight.dtype:
            weight.assign(weight + rng.normal(0, 0.2, weight.shape))
    folder = tmp_path_factory.mktemp(request.param)
    backbone.save_to_preset(str(folder))
    encoder = load_encoder(str(folder), 1.2)
    return request.param, backbone, encoder, preset_network(encoder, CHARACTERS, dropout=0.0)


def clip(length):
    return np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)


def answer(preset, *clips, frames=0):
    """The logits of each clip, from its samples, in a batch padded to at least `frames`."""
    _, _, encoder, network = preset
    longest = max(map(len, clips))
    samples = np.stack([np.pad(each, (0, longest - len(each))) for each in clips])
    features, counts = encoder.features(tf.constant(samples), tf.constant([len(each) for each in clips]))
    missing = max(frames - features.shape[1], 0)
    features = tf.pad(features, [[0, 0], [0, missing], [0, 0]], constant_values=7.0)
    mask = tf.sequence_mask(counts, features.shape[1])
    outputs = network({"features": features, "padding_mask": mask}, training=False)
    return [
        logits[kept] for logits, kept in zip(outputs["logits"].numpy(), outputs["logits_mask"].numpy(), strict=True)
    ]


def test_padding_and_batch_change_nothing(preset):
    clips = [clip(length) for length in LENGTHS]
    alone = [answer(preset, each)[0] for each in clips]
    for frames in (0, 150):
        for one, same in zip(alone, answer(preset, *clips, frames=frames), strict=True):
            assert one.shape == same.shape
            np.testing.assert_allclose(one, same, atol=2e-5)


def test_features_of_whisper_are_those_of_its_converter():
    from dlkit.tasks.speech_recognition.preset_features import WhisperMels
    from dlkit.tasks.speech_recognition.preset_layers import PadWhisperFeatures

    layer = WhisperMels(80, 3000)
    for length in LENGTHS:
        features, counts = layer(tf.constant([clip(length)]), tf.constant([length]))
        whole = PadWhisperFeatures(3000)(features, tf.sequence_mask(counts, features.shape[1]))
        expected = keras_hub.layers.WhisperAudioConverter()(clip(length))
        np.testing.assert_allclose(whole[0], expected, atol=2e-4)


def test_the_encoder_hears_what_kerashub_hears(preset):
    name, backbone, _, network = preset
    samples = clip(384 * 20)
    ids = {"decoder_token_ids": np.zeros((1, 1), np.int32), "decoder_padding_mask": np.ones((1, 1), np.int32)}
    if name == "whisper":
        converted = keras_hub.layers.WhisperAudioConverter()(samples).numpy()[np.newaxis, :120]
        outputs = (len(samples) // 160 + 2) // 2
        expected = backbone({"encoder_features": converted, **ids})["encoder_sequence_output"][:, :outputs]
    else:
        padded = np.pad(samples, (0, 2 * 384))[np.newaxis, :, np.newaxis]
        inputs = {"encoder_input_values": padded, "encoder_padding_mask": np.ones(padded.shape[:2], bool)}
        expected = backbone({**inputs, **ids})["encoder_sequence_output"]
    kernel, bias = network.get_layer("logits").get_weights()
    found = answer(preset, samples)[0]
    assert len(found) == expected.shape[1]
    np.testing.assert_allclose(found, (expected @ kernel + bias)[0], atol=2e-4)


def test_a_saved_network_answers_the_same(preset, tmp_path):
    name, backbone, encoder, network = preset
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    before = answer(preset, clip(5000))[0]
    np.testing.assert_array_equal(before, answer((name, backbone, encoder, loaded), clip(5000))[0])


@pytest.mark.slow
def test_a_preset_is_tuned_and_exported(preset, tmp_path):
    backbone = preset[1]
    backbone.save_to_preset(str(tmp_path / "preset"))
    model = dlkit.SpeechRecognizer(
        network=f"preset:{tmp_path / 'preset'}",
        freeze="backbone",
        max_seconds=1.2,
        epochs=1,
        batch_size=4,
        beam_width=2,
        lm_order=2,
    )
    audio = [encode_wav(clip(length), 16000) for length in (9000, 12000, 16000, 7000)]
    rows = {"audio": audio, "text": ["ab", "ba", "abba", "a"]}
    model.fit(rows, validation=rows, verbose=0)
    answers = model.predict(audio)
    assert [answer["text"] for answer in answers] == [model.predict(each)["text"] for each in audio]
    export = model.export(tmp_path / "exported")  # verified, and searched for nodes that need XLA
    assert (export / "saved_model.pb").is_file()
    model.save(tmp_path / "saved")
    assert dlkit.load(tmp_path / "saved").predict(audio[0])["text"] == answers[0]["text"]


def test_what_is_no_such_preset_is_refused(tmp_path):
    with pytest.raises(DlkitError, match="cannot be loaded"):
        load_encoder(str(tmp_path), 1.0)
    keras_hub.models.BertBackbone(10, 1, 2, 8, 16).save_to_preset(str(tmp_path / "bert"))
    with pytest.raises(DlkitError, match=r"is a BertBackbone\. Expected a Whisper or a Moonshine"):
        load_encoder(str(tmp_path / "bert"), 1.0)
    make_whisper().save_to_preset(str(tmp_path / "whisper"))
    with pytest.raises(DlkitError, match=r"max_seconds.* must be at most 1.2"):
        load_encoder(str(tmp_path / "whisper"), 2.0)
