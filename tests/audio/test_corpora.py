"""Recordings from every source: values, columns, tables with parts of recordings, and the layouts of corpora."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from dlkit.audio.columns import TRANSCRIPT_NAMES, Audio
from dlkit.audio.segment import Segment
from dlkit.audio.wav import read_wav
from dlkit.audio.wav_file import encode_wav, read_wav_header
from dlkit.columns import Label, Text
from dlkit.data.read import read
from dlkit.data.read_options import ReadOptions
from dlkit.data.record_chunks import record_chunks
from dlkit.errors import DataError, UnreadableError
from dlkit.prediction_inputs import DATA, classify_text

SPOKEN = {"audio": Audio(), "text": Text(aliases=TRANSCRIPT_NAMES)}
WORDS = {"audio": Audio(), "label": Label()}
RATE = 8000


def tone(seconds=0.1, rate=RATE):
    return encode_wav((np.arange(round(seconds * rate)) % 100).astype(np.int16), rate)


def fill(folder, *names, content=None):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(tone() if content is None else content.encode())


def refusal(source, columns, **options):
    with pytest.raises(DataError) as caught:
        read(source, columns, **options)
    return str(caught.value)


def samples_of(data):
    return np.round(read_wav(tf.constant(data), 100.0).samples.numpy() * 32768).astype(int).tolist()


def test_values_of_a_recording(tmp_path):
    fill(tmp_path, "a.wav")
    audio = Audio()
    samples = np.array([1, -2, 3], np.int16)
    for value in (tmp_path / "a.wav", str(tmp_path / "a.wav"), tone(), bytearray(tone())):
        assert audio.raw(value) == tone()
    for value in ((samples, RATE), {"array": samples, "sampling_rate": RATE, "path": None}, (samples / 32768, RATE)):
        assert samples_of(audio.raw(value)) == [1, -2, 3]
    assert audio.from_request(audio.to_request(tone())) == tone()
    assert not audio.is_list((samples, RATE))
    assert not audio.is_list(samples)
    assert audio.is_list([tone()])
    assert audio.is_list((tone(), tone()))


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.zeros(3), "Samples need their rate: (samples, rate)."), (3, "expected a recording: a path"), (None, "None")],
)
def test_values_that_are_no_recording(value, message):
    with pytest.raises(DataError) as caught:
        Audio().raw(value)
    assert message in str(caught.value)


FORMATS = ["FLAC PCM_16", "OGG VORBIS", "MP3 MPEG_LAYER_III", "AIFF PCM_24", "RF64 PCM_16", "WAV MS_ADPCM"]


@pytest.mark.parametrize("encoding", FORMATS)
def test_files_of_other_formats_become_wav_files(encoding):
    kind, subtype = encoding.split()
    soundfile = pytest.importorskip("soundfile")
    file, wave = io.BytesIO(), np.sin(np.arange(8000) / 10) / 2
    soundfile.write(file, wave, RATE, format=kind, subtype=subtype)
    header = read_wav_header(raw := Audio().raw(file.getvalue()))
    assert (header.code, header.rate, header.channels, header.bits) == (1, RATE, 1, 16)
    samples = np.array(samples_of(raw)) / 32768
    assert len(samples) >= 8000
    assert np.corrcoef(samples[1000:7000], wave[1000:7000])[0, 1] > 0.9


def test_without_soundfile_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(UnreadableError, match=r"decoding FLAC files needs soundfile: pip install .*\[audio\]"):
        Audio().raw(b"fLaC" + bytes(100))
    assert Audio().raw(tone()) == tone()


def test_files_that_nothing_decodes(tmp_path):
    pytest.importorskip("soundfile")
    with pytest.raises(UnreadableError, match="not a FLAC file that can be decoded"):
        Audio().raw(b"fLaC" + bytes(100))
    assert Audio().raw(b"anything") == b"anything"  # the graph says what is wrong
    with pytest.raises(UnreadableError, match=r"cannot read the recording '.*gone.wav': No such file"):
        Audio().raw(tmp_path / "gone.wav")


def test_files_that_decompress_to_more_than_the_limit(monkeypatch):
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, np.zeros(600_000), RATE, format="FLAC")
    assert len(Audio().raw(file.getvalue())) == 44 + 1_200_000
    monkeypatch.setenv("DLKIT_MAX_UNPACKED", "1MB")
    with pytest.raises(UnreadableError, match="decompresses to more than the limit of 1MB"):
        Audio().raw(file.getvalue())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "audio,text\nsound/a.wav,one\nsound/b.wav,two\n"),
        ("metadata.csv", "file_name,transcription\nsound/a.wav,one\nsound/b.wav,two\n"),
        ("transcripts.tsv", "path\tsentence\nsound/a.wav\tone\nsound/b\ttwo\n"),
        ("manifest.json", '{"audio_filepath": "sound/a.wav", "text": "one", "duration": 0.1}\n'
                          '{"audio_filepath": "sound/b.wav", "text": "two", "duration": 0.1}\n'),
        ("all.jsonl", '{"audio": "sound/a.wav", "text": "one"}\n{"audio": "sound/b.wav", "text": "two"}\n'),
        ("list.json", '[{"audio": "sound/a.wav", "text": "one"}, {"audio": "sound/b.wav", "text": "two"}]'),
    ],
)  # fmt: skip
def test_tables_in_a_folder_and_alone(tmp_path, name, content):
    columns = SPOKEN
    fill(tmp_path, "wavs/sound/b.wav" if name == "transcripts.tsv" else "sound/b.wav", "sound/a.wav")
    (tmp_path / name).write_text(content)
    for source in (tmp_path, tmp_path / name):
        table = read(source, columns)
        assert table.columns["text"] == ["one", "two"]
        assert [path.name for path in table.columns["audio"]] == ["a.wav", "b.wav"]
        assert table.raw(1, columns)["audio"] == tone()


def test_parquet_of_hugging_face_and_a_data_frame(tmp_path):
    rows = {"audio": [{"bytes": tone(), "path": "a.wav"}] * 2, "sentence": ["one", "two"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    table = read(tmp_path / "a.parquet", SPOKEN)
    assert table.raw(1, SPOKEN) == {"audio": tone(), "text": b"two"}
    clip = {"array": np.array([1, 2], np.int16), "sampling_rate": RATE}
    table = read(pd.DataFrame({"audio": [clip], "text": ["one"]}), SPOKEN)
    assert samples_of(table.raw(0, SPOKEN)["audio"]) == [1, 2]


def test_parts_of_recordings(tmp_path):
    fill(tmp_path, "a.wav")  # 800 samples
    rows = [
        {"audio_filepath": "a.wav", "text": "one", "offset": 0.05, "duration": 0.001},
        {"audio_filepath": "a.wav", "text": "two", "offset": 0.0, "duration": 0.1},
        {"audio_filepath": "a.wav", "text": "three", "offset": 0.099, "duration": None},
        {"audio_filepath": "a.wav", "text": "four", "offset": 0.2, "duration": 1.0},
    ]
    (tmp_path / "m.json").write_text("\n".join(map(json.dumps, rows)))
    table = read(tmp_path / "m.json", SPOKEN)
    assert list(table.columns) == ["audio", "text"]
    assert samples_of(table.raw(0, SPOKEN)["audio"]) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert len(samples_of(table.raw(1, SPOKEN)["audio"])) == 800
    assert samples_of(table.raw(2, SPOKEN)["audio"]) == [*range(92, 100)]
    with pytest.raises(UnreadableError, match=r"from second 0.2 to 1.2 is not in the recording .* 0.10 seconds long"):
        table.raw(3, SPOKEN)
    chunks = list(record_chunks(tmp_path / "m.json", {"audio": Audio()}, ReadOptions()))  # as predictions read it
    assert chunks[0].table.columns["audio"][0] == Segment(tmp_path / "a.wav", 0.05, 0.001)
    (tmp_path / "bad.jsonl").write_text('{"audio": "a.wav", "text": "a", "offset": "x"}')
    assert "bad.jsonl, line 1: expected seconds as offset" in refusal(tmp_path / "bad.jsonl", SPOKEN)


def test_parts_of_files_that_are_converted_first(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.flac", (np.arange(800) % 100).astype(np.int16), RATE)
    assert samples_of(Audio().raw(Segment(tmp_path / "a.flac", 0.0501, 0.001))) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_ljspeech(tmp_path):
    fill(tmp_path, "wavs/LJ1.wav", "wavs/LJ2.wav")
    table = 'LJ1|Dr. 2|Doctor two\nLJ2|"Yes|"Yes\nLJ3|No|No\nbroken\n'
    (tmp_path / "metadata.csv").write_text(table)
    for source in (tmp_path, tmp_path / "metadata.csv"):
        read_table = read(source, SPOKEN)
        assert read_table.columns["text"] == ["Doctor two", '"Yes']
        assert read_table.columns["audio"] == [tmp_path / "wavs/LJ1.wav", tmp_path / "wavs/LJ2.wav"]
        (remark,) = read_table.remarks
        assert remark.startswith("2 of 4 recordings skipped:")
        assert "metadata.csv, line 3: there is no " in remark
        assert "metadata.csv, line 4: expected id|text" in remark
    assert "Without `strict` it is skipped" in refusal(tmp_path, SPOKEN, strict=True)
    (chunk,) = record_chunks(tmp_path / "metadata.csv", {"audio": Audio()}, ReadOptions())  # as predictions read it
    assert chunk.table.columns["audio"] == [tmp_path / "wavs/LJ1.wav", tmp_path / "wavs/LJ2.wav"]
    assert chunk.table.where(1).endswith("metadata.csv, line 2") and chunk.table.remarks == [remark]
    with pytest.raises(DataError, match=r"there is no column 'text' for `keep_columns`"):
        next(record_chunks(tmp_path / "metadata.csv", {"audio": Audio()}, ReadOptions(), ["text"]))


def test_librispeech(tmp_path):
    fill(tmp_path, "dev/84/121/84-121-0000.wav", "dev/84/121/84-121-0001.flac", "dev/85/1/85-1-0000.wav")
    fill(tmp_path, "dev/84/121/84-121.trans.txt", content="84-121-0000 GO ON\n84-121-0001 STOP\n84-121-0002 GONE\n")
    fill(tmp_path, "dev/85/1/85-1.trans.txt", content="85-1-0000 YES\n")
    table = read(tmp_path / "dev", SPOKEN)
    assert table.columns["text"] == ["GO ON", "STOP", "YES"]
    assert [file.name for file in table.columns["audio"]] == ["84-121-0000.wav", "84-121-0001.flac", "85-1-0000.wav"]
    assert table.where(2).endswith("85-1.trans.txt, line 1")
    assert "1 of 4 recordings skipped" in table.remarks[0]
    fill(tmp_path, "root/train-clean-100/x", "root/test-clean/x", content="")
    assert "holds the splits 'test-clean', 'train-clean-100'" in refusal(tmp_path / "root", SPOKEN)


def test_kaldi(tmp_path):
    fill(tmp_path, "wav/r1.wav", "wav/r2.wav")
    (tmp_path / "wav.scp").write_text(f"r1 {tmp_path}/wav/r1.wav\nr2 wav/r2.wav\n")
    (tmp_path / "text").write_text("r1 hello there\nr2 good bye\nr9 nobody\n")
    table = read(tmp_path, SPOKEN)
    assert table.columns["text"] == ["hello there", "good bye"]
    assert table.columns["audio"] == [tmp_path / "wav/r1.wav", tmp_path / "wav/r2.wav"]
    assert "r9: no recording" in table.remarks[0]
    (tmp_path / "segments").write_text("u1 r1 0.0 0.05\nu2 r2 0.05 -1\nu3 r2 0.0 0.01\n")
    (tmp_path / "text").write_text("u1 hello\nu2 bye\n")
    table = read(tmp_path, SPOKEN)
    first, second = tmp_path / "wav/r1.wav", tmp_path / "wav/r2.wav"
    assert table.columns["audio"] == [Segment(first, 0.0, 0.05), Segment(second, 0.05)]
    assert "u3: no line in `text`" in table.remarks[0]
    (tmp_path / "text").unlink()
    assert len(read(tmp_path, {"audio": Audio()})) == 3  # predictions need no texts


@pytest.mark.parametrize("line", ["r1 sph2pipe -f wav a.sph |", "r1 data/raw.ark:15", "r1"])
def test_commands_of_kaldi_are_not_run(tmp_path, line):
    (tmp_path / "wav.scp").write_text(f"{line}\n")
    (tmp_path / "text").write_text("r1 hello\n")
    assert "wav.scp, line 1: expected the path of a file" in refusal(tmp_path, SPOKEN)


def test_common_voice(tmp_path):
    fill(tmp_path, "clips/a.wav", "clips/b.wav", "clips/c.wav")
    for name, file in (("train.tsv", "a.wav"), ("test.tsv", "c.wav")):
        (tmp_path / name).write_text(f'client_id\tpath\tsentence\tup_votes\nx\t{file}\t"Hello," he said\t2\n')
    table = read(tmp_path / "train.tsv", SPOKEN)
    assert table.columns["audio"] == [tmp_path / "clips/a.wav"]
    assert table.columns["text"] == ['"Hello," he said']
    assert "holds several tables: 'test.tsv', 'train.tsv'. Specify one of them" in refusal(tmp_path, SPOKEN)


def test_texts_beside_recordings(tmp_path):
    fill(tmp_path, "a.wav", "more/b.wav", "c.wav")
    fill(tmp_path, "a.txt", content="one\n")
    fill(tmp_path, "more/b.lab", content="two")
    fill(tmp_path, "note.pdf", content="x")
    table = read(tmp_path, SPOKEN)
    assert table.columns["text"] == ["one\n", "two"]
    assert "c.wav: no text next to it" in table.remarks[0]
    assert "skipped 1 file (1 .pdf)" in table.remarks[1]


def test_folders_of_words(tmp_path):
    fill(tmp_path, "yes/1.wav", "yes/2.wav", "no/1.flac")
    assert read(tmp_path, WORDS).columns["label"] == ["no", "yes", "yes"]
    fill(tmp_path, "_background_noise_/hum.wav")
    (tmp_path / "testing_list.txt").write_text("yes/2.wav\n")
    table = read(tmp_path, WORDS)
    assert table.columns["label"] == ["no", "yes"]
    assert table.remarks[0].startswith("1 of 3 recordings are left out, because testing_list.txt lists them")
    assert "_background_noise_" in table.remarks[1]
    assert read(tmp_path / "testing_list.txt", WORDS).columns == {"audio": [tmp_path / "yes/2.wav"], "label": ["yes"]}
    assert classify_text(str(tmp_path / "testing_list.txt"), {"audio": Audio()}) == DATA
    (chunk,) = record_chunks(tmp_path / "testing_list.txt", {"audio": Audio()}, ReadOptions())
    assert chunk.table.columns["audio"] == [tmp_path / "yes/2.wav"]


def test_what_a_folder_lacks_is_said(tmp_path):
    fill(tmp_path, "a.wav")
    assert "no texts of recordings found. Expected a table" in refusal(tmp_path, SPOKEN)
    assert read(tmp_path, {"audio": Audio()}).columns["audio"] == [tmp_path / "a.wav"]


def test_files_outside_of_the_folder_are_refused(tmp_path):
    fill(tmp_path, "secret.wav", "data/wavs/x.wav")
    (tmp_path / "data/wav.scp").write_text("r1 ../secret.wav\n")
    (tmp_path / "data/text").write_text("r1 hello\n")
    assert "is outside the data folder" in refusal(tmp_path / "data", SPOKEN)
    (tmp_path / "data/wav.scp").unlink()
    (tmp_path / "data/metadata.csv").write_text("../../secret|a|b\n")
    assert "is outside the data folder" in refusal(tmp_path / "data", SPOKEN)


class SpokenWords(tfds.core.GeneratorBasedBuilder):
    """One recording."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"speech": tfds.features.Audio(sample_rate=RATE), "said": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": iter([(0, {"speech": np.array([1, -2, 3], np.int64), "said": "one"})])}

    def _generate_examples(self):
        return iter(())


def test_tensorflow_datasets(tmp_path):
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    SpokenWords(data_dir=str(tmp_path)).download_and_prepare(download_config=config)
    raw = read("tfds:spoken_words", SPOKEN, data_dir=str(tmp_path)).raw(0, SPOKEN)
    assert raw["text"] == b"one"
    assert samples_of(raw["audio"]) == [1, -2, 3]
    assert read_wav_header(raw["audio"]).rate == RATE


def test_real_prompts(real_data):
    table = read(real_data / "prompts_en/test", SPOKEN)
    assert len(table) == 99
    wav = read_wav(tf.constant(table.raw(0, SPOKEN)["audio"]), 20.0)
    assert (wav.rate, wav.error, table.columns["text"][0]) == (16000, b"", "Activated.")
    assert set(read(real_data / "spoken_digits/test", WORDS).columns["label"]) >= {"zero", "nine"}
