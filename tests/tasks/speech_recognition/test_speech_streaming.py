"""Recognition of a stream: in whatever chunks a recording comes, its answer is that for the whole."""

import io
import wave

import keras
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.tasks.speech_recognition.networks import conv_gru
from dlkit.tasks.speech_recognition.stream_state import StateLayout, StreamState, append
from dlkit.tasks.speech_recognition.streaming import Chunk
from dlkit.tasks.speech_recognition.streaming_network import StreamingNetwork
from dlkit.training.prepare import build_task

MELS = 6


@pytest.fixture(scope="module", params=[1, 2, 4])
def network(request):
    keras.utils.set_random_seed(5)
    model = conv_gru(MELS, 4, width=8, blocks=2, stride=request.param, causal=True)
    rng = np.random.default_rng(6)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return model


def test_chunks_of_frames_give_the_logits_of_the_whole(network):
    """Two clips at once, which get different numbers of frames in each chunk."""
    lengths = [37, 22]
    features = np.random.default_rng(1).normal(0, 1, (2, 37, MELS)).astype(np.float32)
    mask = np.arange(37) < np.array(lengths)[:, np.newaxis]
    whole = network({"features": features, "padding_mask": mask}, training=False)
    stream = StreamingNetwork(network)
    state, found = tf.zeros([2, stream.numbers]), [[], []]
    given = np.zeros(2, int)
    for first, second in ((8, 0), (0, 4), (12, 12), (4, 4), (37 - 24, 2)):
        counts = np.array([first, second])
        frames = max(-(-counts.max() // stream.stride) * stream.stride, stream.stride)
        chunk = np.full((2, frames, MELS), 50.0, np.float32)  # what is no frame of the chunk must not matter
        for row, count in enumerate(counts):
            chunk[row, :count] = features[row, given[row] : given[row] + count]
        logits, state = stream.step(chunk, np.arange(frames) < counts[:, np.newaxis], state)
        for row, count in enumerate(counts):
            found[row].append(logits[row, : -(-count // stream.stride)].numpy())
        given += counts
    for row in range(2):
        expected = whole["logits"].numpy()[row][whole["logits_mask"].numpy()[row]]
        np.testing.assert_allclose(np.concatenate(found[row]), expected, atol=1e-5)


LAYOUT = StateLayout(model=77, numbers=2, classes=3, most_rest=5)


def make_state():
    return StreamState(
        peak=tf.constant([0.5, 0.25]),
        samples=tf.constant([5_000_000, 7]),
        network=tf.constant([[1.0, 2.0], [3.0, 4.0]]),
        rest=tf.constant([[5.0, 6.0], [7.0, 99.0]]),
        rest_count=tf.constant([2, 1]),
        logits=tf.reshape(tf.range(12.0), [2, 2, 3]),
        logits_count=tf.constant([0, 2]),
    )


def test_a_state_is_read_as_it_was_written():
    packed = LAYOUT.pack(make_state())
    assert packed.shape == (2, 6 + 2 + 1 + 6)
    for padding in (0, 3):  # what a server pads it with
        state, is_valid = LAYOUT.unpack(tf.pad(packed, [[0, 0], [0, padding]]))
        assert is_valid.numpy().tolist() == [True, True]
        assert state.samples.numpy().tolist() == [5_000_000, 7]
        assert state.rest.numpy().tolist() == [[5, 6], [7, 0]]
        assert state.logits.numpy().tolist() == [[[0, 0, 0], [0, 0, 0]], [[6, 7, 8], [9, 10, 11]]]
        for name in ("peak", "network", "rest_count", "logits_count"):
            np.testing.assert_array_equal(getattr(state, name), getattr(make_state(), name))


@pytest.mark.parametrize("place, value", [(0, 78), (0, np.nan), (2, -1), (4, 6), (5, 2), (5, 1e30), (5, np.inf)])
def test_what_is_no_state_is_told(place, value):
    packed = LAYOUT.pack(make_state()).numpy()
    packed[0, place] = value
    if place == 5 and value == 2:
        packed = packed[:, :12]  # as many numbers as the first state needs with one output, not with two
        assert LAYOUT.unpack(packed)[1].numpy().tolist() == [False, False]
        return
    state, is_valid = LAYOUT.unpack(packed)
    assert is_valid.numpy().tolist() == [False, True]
    assert state.samples.numpy().tolist() == [0, 7]


def test_nothing_and_zeros_begin_a_stream():
    for packed in (tf.zeros([2, 0]), tf.zeros([2, 40])):
        state, is_valid = LAYOUT.unpack(packed)
        assert is_valid.numpy().all()
        assert state.rest.shape[1] == 0 and state.logits.shape == (2, 0, 3)


def test_rows_are_joined_by_their_counts():
    joined, counts = append(
        tf.constant([[1.0, 2.0], [3.0, 9.0]]), tf.constant([2, 1]), tf.constant([[4.0], [5.0]]), tf.constant([0, 1])
    )
    assert joined.numpy().tolist() == [[1, 2], [3, 5]] and counts.numpy().tolist() == [2, 2]


@pytest.fixture(scope="module")
def model():
    """Built and not trained, with weights that hear many things."""
    hparams = {"width": 16, "blocks": 1, "mels": 16, "stride": 4, "beam_width": 3, "lm_order": 2}
    task = dlkit.SpeechRecognizer(streaming=True, **hparams)
    build_task(task, task.read({name: values[:24] for name, values in task.samples()["train"].items()}))
    rng = np.random.default_rng(3)
    for weight in task.stages_.network.trainable_weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return task


@pytest.fixture(scope="module")
def clips():
    return dlkit.SpeechRecognizer.samples()["test"]["audio"][:3]


def samples_of(clip):
    with wave.open(io.BytesIO(clip)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def same(one, other):
    assert [one[name] for name in ("text", "words", "starts", "ends")] == [
        other[name] for name in ("text", "words", "starts", "ends")
    ]
    assert one["seconds"] == pytest.approx(other["seconds"])
    assert one["score"] == pytest.approx(other["score"], rel=1e-3)


@pytest.mark.parametrize("size", [701, 3000, 100_000])
def test_a_stream_ends_with_the_answer_for_the_whole(model, clips, size):
    for clip in clips[: 1 if size < 1000 else 3]:
        samples, whole = samples_of(clip), model.predict(clip)
        answers = list(model.stream(samples[start : start + size] for start in range(0, len(samples), size)))
        assert len(answers) == -(-len(samples) // size)
        same(answers[-1], whole)
        assert whole["text"]
        assert all(answer["words"] == [] for answer in answers[:-1])
        times = [answer["seconds"] for answer in answers]
        assert times == sorted(times) and times[0] == pytest.approx(min(size, len(samples)) / 8000)


def test_floats_are_the_integers_that_they_were():
    samples = np.array([-32768, -5, 0, 1, 32767], np.int16)
    assert Chunk().raw(samples.astype(np.float32) / 32768) == Chunk().raw(samples) == samples.tobytes()
    assert Chunk().raw(np.array([2.0, -2.0, np.nan])) == np.array([32767, -32768, 0], np.int16).tobytes()


def test_streams_of_a_batch_do_not_touch(model, clips):
    """A server merges requests for chunks of different streams, at different places."""
    one, other = (samples_of(clip) for clip in clips[:2])
    states, asked = [[], []], []
    for row, samples in enumerate((one, other)):
        for start in (0, 2000):
            chunk = samples[start : start + 2000]
            request = {"chunk": chunk, "state": states[row]}
            asked.append((request, model.call_signature("stream", [request])[0]))
            states[row] = asked[-1][1]["state"]
    asked.append(({"chunk": other[4000:], "state": states[1], "is_last": True}, None))
    asked[-1] = asked[-1][0], model.call_signature("stream", [asked[-1][0]])[0]
    together = model.call_signature("stream", [request for request, _ in asked])
    for answer, (_, alone) in zip(together, asked, strict=True):
        assert answer["text"] == alone["text"] and answer["error"] == b""
        size = min(len(answer["state"]), len(alone["state"]))
        np.testing.assert_allclose(answer["state"][:size], alone["state"][:size], atol=1e-4)
        assert not answer["state"][size:].any() and not alone["state"][size:].any()


def test_what_cannot_be_read_is_an_error_of_its_row(model, clips):
    good = samples_of(clips[0])[:4000]
    answers = model.served()["stream"].graph(
        chunk=tf.constant([good.tobytes(), b"odd", good.tobytes(), bytes(2 * 31 * 8000)]),
        state=tf.constant([[0.0, 0.0], [0.0, 0.0], [3.0, 1.0], [0.0, 0.0]]),
        is_last=tf.constant([False, True, False, True]),
    )
    errors = [error.decode() for error in answers["error"].numpy()]
    assert errors[0] == "" and "even number of bytes" in errors[1]
    assert "no state" in errors[2] and errors[3] == "longer than 30 seconds"
    assert [state.any() for state in answers["state"].numpy()] == [True, False, False, False]
    assert not answers["seconds"].numpy()[1:].any()
    with pytest.raises(DataError, match="even number of bytes"):
        list(model.stream([good, b"odd"]))
    with pytest.raises(DataError, match="expected a chunk"):
        list(model.stream([3.5]))


def test_silence_and_nothing_have_no_text(model):
    assert list(model.stream([]))[-1]["text"] == ""
    answers = list(model.stream([np.zeros(5000, np.float32), np.zeros(300, np.float32)]))
    assert [answer["text"] for answer in answers] == ["", ""]


def test_only_a_model_for_streams_reads_them():
    with pytest.raises(HparamError, match="needs the network conv_gru"):
        dlkit.SpeechRecognizer(streaming=True, network="conformer")
    with pytest.raises(HparamError, match='needs precision="float32"'):
        dlkit.SpeechRecognizer(streaming=True, precision="mixed_bfloat16")
    with pytest.raises(DlkitError, match="streaming=True"):
        next(dlkit.SpeechRecognizer().stream([]))
