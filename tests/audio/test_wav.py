"""WAV files of every encoding against soundfile, and files that are cut, streamed, damaged or no WAV files."""

import io
import json
import struct
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from dlkit.audio.read_audio import ReadAudio
from dlkit.audio.wav import read_wav
from dlkit.audio.wav_file import encode_wav, read_wav_header, write_wav
from dlkit.errors import DataError

soundfile = pytest.importorskip("soundfile")
RATE = 16000
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def reader():
    """Samples, rate, seconds and error of one file, from a graph."""
    specification = tf.TensorSpec([], tf.string)
    graph = tf.function(lambda data: read_wav(data, 2.0), autograph=False).get_concrete_function(specification)
    return lambda data: [value.numpy() for value in graph(tf.constant(data))]


def write(samples, rate=RATE, kind="WAV", **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **options)
    return file.getvalue()


def noise(count=1000, channels=1):
    return np.clip(RANDOM.normal(0, 0.3, (count, channels)), -1, 1)


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def wav_of(*chunks, size=None):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def fmt(code=1, channels=1, rate=RATE, bits=16, block=None):
    block = channels * bits // 8 if block is None else block
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits))


SAMPLES = np.array([0, 1, -32768, 32767, -5], np.int16)
DATA = SAMPLES.astype("<i2").tobytes()


@pytest.mark.parametrize("channels", [1, 2, 7])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("encoding", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"])
def test_every_encoding_is_read_as_soundfile_reads_it(reader, kind, encoding, channels):
    data = write(noise(channels=channels), kind=kind, subtype=encoding)
    expected = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0].mean(axis=1)
    samples, rate, seconds, error = reader(data)
    assert error == b""
    assert (rate, seconds) == (RATE, np.float32(1000 / RATE))
    np.testing.assert_allclose(samples, expected, rtol=0, atol=2e-7)
    header = read_wav_header(data)
    assert (header.channels, header.rate) == (channels, RATE)
    assert header.seconds == 1000 / RATE


@pytest.mark.parametrize("encoding", ["ALAW", "ULAW"])
def test_every_byte_of_logarithmic_encodings(reader, encoding):
    code = {"ALAW": 6, "ULAW": 7}[encoding]
    data = write_wav(bytes(range(256)), code, RATE, 1, 8)
    np.testing.assert_array_equal(reader(data)[0], soundfile.read(io.BytesIO(data), dtype="float32")[0])


@pytest.mark.parametrize(
    "data",
    [
        wav_of(fmt(), chunk(b"data", DATA)),
        wav_of(chunk(b"LIST", b"odd"), fmt(), chunk(b"fact", b"1234"), chunk(b"data", DATA), chunk(b"id3 ", b"abc")),
        wav_of(chunk(b"data", DATA), chunk(b"junk", b"x"), fmt()),
        wav_of(fmt(), b"data\0\0\0\0" + DATA, size=0),
        wav_of(fmt(), b"data\0\0\0\0" + DATA, size=36),
        wav_of(fmt(), b"data\xff\xff\xff\xff" + DATA, size=0xFFFFFFFF),
        wav_of(fmt(), chunk(b"data", DATA + bytes(100)))[: -100],
        wav_of(fmt(), chunk(b"data", DATA + b"\1")),
        encode_wav(SAMPLES, RATE),
        encode_wav(np.stack([SAMPLES, SAMPLES], 1), RATE),
        encode_wav(SAMPLES / np.float64(32768), RATE),
        encode_wav(SAMPLES.astype(np.int32) * 65536, RATE),
    ],
    ids=[
        "plain", "other chunks", "sound first", "streamed with 0", "streamed by Python", "streamed with 0xFFFFFFFF",
        "cut", "half a sample more", "int16", "stereo", "floats", "int32",
    ],
)  # fmt: skip
def test_unusual_files_give_the_same_samples(reader, data):
    samples, rate, _, error = reader(data)
    assert (rate, error) == (RATE, b"")
    np.testing.assert_array_equal(samples, SAMPLES / np.float32(32768))
    header = read_wav_header(data)
    assert header.size // header.block == len(SAMPLES)


def test_an_empty_sound_before_other_chunks_is_not_taken_for_a_stream(reader):
    data = wav_of(fmt(), chunk(b"data", b""), chunk(b"LIST", b"abcdefgh"))
    assert reader(data)[3] == b"no audio: the WAV file has no samples"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a WAV file (0 bytes)"),
        (b"RIFF", "not a WAV file (4 bytes)"),
        (b"hello, world", "not a WAV file (12 bytes)"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "not a WAV file (16 bytes)"),
        (b"fLaC" + bytes(40), "FLAC, not a WAV file (44 bytes)"),
        (b"\0\0\0\x20ftypM4A " + bytes(40), "MPEG-4, not a WAV file (52 bytes)"),
        (wav_of(chunk(b"data", DATA)), "a damaged WAV file: it has no chunk 'fmt '"),
        (wav_of(fmt()), "a damaged WAV file: it has no chunk 'data'"),
        (wav_of(fmt(2, bits=4), chunk(b"data", DATA)), "unsupported WAV encoding 2 with 4 bits"),
        (wav_of(fmt(channels=0), chunk(b"data", DATA)), "0 channels, allowed: 1 to 64"),
        (wav_of(fmt(channels=65), chunk(b"data", DATA)), "65 channels, allowed: 1 to 64"),
        (wav_of(fmt(rate=0), chunk(b"data", DATA)), "0 samples per second, allowed: 1000 to 384000"),
        (wav_of(fmt(block=3), chunk(b"data", DATA)), "a damaged WAV file: blocks of 3 bytes, expected 2"),
        (wav_of(fmt(), chunk(b"data", b"")), "no audio: the WAV file has no samples"),
        (wav_of(fmt(), chunk(b"data", b"\1")), "no audio: the WAV file has no samples"),
        (encode_wav(np.zeros(40000), RATE), "2.50 seconds, allowed: 2"),
        (encode_wav([0, np.nan, np.inf, 1e30, 1], RATE), "3 samples are not finite, or far beyond full scale"),
    ],
)
def test_what_cannot_be_read_is_said(reader, data, message):
    samples, rate, seconds, error = reader(data)
    assert error.decode() == message
    assert (len(samples), rate, seconds) == (0, 1000, 0)


def test_a_clip_of_the_longest_duration_is_read(reader):
    assert reader(encode_wav(np.zeros(2 * RATE), RATE))[3] == b""


def damaged_files():
    """Truncated files, files with random bytes in their header, and random bytes: 600 of them."""
    files = [write(noise(50, 2), subtype=encoding) for encoding in ("PCM_16", "PCM_24", "DOUBLE", "ULAW")]
    for data in files[:4]:
        files += [data[:end] for end in range(0, 60, 3)]
        for _ in range(120):
            changed = bytearray(data)
            for place in RANDOM.integers(0, 60, RANDOM.integers(1, 6)):
                changed[place] = RANDOM.choice([0, 1, 255, RANDOM.integers(256)])
            files.append(bytes(changed))
    return [*files, *(b"RIFF" + RANDOM.bytes(4) + b"WAVE" + RANDOM.bytes(200) for _ in range(36))]


def test_damaged_files_are_answered_each_by_itself():
    files = damaged_files()
    specification = tf.TensorSpec([None], tf.string)
    read = tf.function(ReadAudio(RATE, 2.0), autograph=False).get_concrete_function(specification)
    together = read(tf.constant(files))
    assert np.isfinite(together["samples"]).all()
    errors, lengths = together["error"].numpy(), together["lengths"].numpy()
    assert 100 < sum(error != b"" for error in errors) < 600
    assert all((length == 0) == (error != b"") for length, error in zip(lengths, errors, strict=True))
    for row in range(0, len(files), 25):
        alone = read(tf.constant([files[row]]))
        assert alone["error"].numpy()[0] == errors[row]
        np.testing.assert_array_equal(alone["samples"][0, : lengths[row]], together["samples"][row, : lengths[row]])


class Served(tf.Module):
    def __init__(self):
        self.layer = ReadAudio(RATE, 2.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="audio")], autograph=False)
    def __call__(self, audio):
        return self.layer(audio)


def test_damaged_files_in_the_loader_of_the_server(cload, tmp_path):
    module = Served()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.__call__)
    files = [write(noise(50)), *damaged_files()[::30]]
    rows = []
    for number, data in enumerate(files):
        (tmp_path / f"{number}.wav").write_bytes(data)
        rows.append(f"audio=@{tmp_path / f'{number}.wav'}")
    command = [cload, tmp_path / "1", "serving_default", *rows]
    answers = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [error.encode() for error in answers["error"]] == module(tf.constant(files))["error"].numpy().tolist()
    assert answers["error"][0] == ""


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(10, np.int64), RATE, "Received: int64"),
        (np.zeros((2, 1000)), RATE, "Transpose them: samples.T"),
        (np.zeros((2, 2, 2)), RATE, "Received: shape (2, 2, 2)"),
        (np.zeros(10), 16000.5, "the sample rate must be an integer from 1000 to 384000, in Hz. Received: 16000.5."),
        (np.zeros(10), 8, "Received: 8."),
    ],
)
def test_arrays_that_are_no_samples(samples, rate, message):
    with pytest.raises(DataError) as caught:
        encode_wav(samples, rate)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (SAMPLES, SAMPLES / 32768),
        (np.stack([SAMPLES, SAMPLES[::-1]], 1), np.stack([SAMPLES, SAMPLES[::-1]], 1) / 32768),
        (np.array([0.25, -1.5, 1], np.float64), [0.25, -1.5, 1]),
        (np.array([0, 128, 255], np.uint8), [-1, 0, 127 / 128]),
    ],
)
def test_written_files_are_read_by_soundfile(samples, expected):
    read, rate = soundfile.read(io.BytesIO(encode_wav(samples, 8000)), dtype="float64")
    assert rate == 8000
    np.testing.assert_array_equal(read, expected)
