"""TFDS and tf.data as sources. The data set is made here: no network."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from dlkit.columns import Image, Label, Labels, Text
from dlkit.data.read import read
from dlkit.errors import DataError

PHOTOS = {"image": Image(), "label": Label()}
REVIEWS = {"text": Text(), "label": Label()}
PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


class TinyZoo(tfds.core.GeneratorBasedBuilder):
    """Four pictures of two animals, with a caption, a hidden label and tags."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "picture": tfds.features.Image(shape=(4, 4, 3), encoding_format="png"),
            "animal": tfds.features.ClassLabel(names=["cat", "dog"]),
            "caption": tfds.features.Text(),
            "title": tfds.features.Text(),
            "number": np.int64,
            "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=["red", "round"])),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4, 0), "test": self._generate_examples(2, -2)}

    def _generate_examples(self, count, shift=0):
        for row in range(count):
            yield (
                row,
                {
                    "picture": PICTURE + row,
                    "animal": -1 if shift else row % 2,
                    "caption": f"caption {row}",
                    "title": "x",
                    "number": row,
                    "tags": [0, 1][: row % 3],
                },
            )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    TinyZoo(data_dir=folder).download_and_prepare(download_config=config)
    return folder


def refusal(source, columns=REVIEWS, **options):
    with pytest.raises(DataError) as caught:
        read(source, columns, **options)
    return str(caught.value)


def test_tfds_by_kind(prepared):
    table = read("tfds:tiny_zoo", PHOTOS, data_dir=prepared)
    assert len(table) == 4
    assert sorted(table.columns["label"]) == ["cat", "cat", "dog", "dog"]
    assert all(value.startswith(b"\x89PNG") for value in table.columns["image"])
    pictures = sorted(int(tf.io.decode_png(value)[0, 0, 0]) for value in table.columns["image"])
    assert pictures == [0, 1, 2, 3]
    assert table.where(1) == "tfds:tiny_zoo, record 2"


def test_tfds_by_name_split_version_and_tags(prepared):
    columns = {"text": Text(), "labels": Labels()}
    table = read("tfds:tiny_zoo:1.0.0:train[:50%]", columns, rename={"text": "caption"}, data_dir=prepared)
    assert len(table) == 2
    for text, labels in zip(table.columns["text"], table.columns["labels"], strict=True):
        assert labels == ["red", "round"][: int(text.split()[-1]) % 3]
    number = read("tfds:tiny_zoo", {"number": Label()}, data_dir=prepared).columns["number"]
    assert sorted(number) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "tfds:tiny_zoo",
            ["no column 'text'", "'caption'", 'columns={"text"'],
        ),  # two texts: the user must say
        ("tfds:tiny_zoo:trian", ["no split 'trian'", "Did you mean 'train'?"]),
        ("tfds:tiny_zoo:train[:x%]", ["cannot read the split"]),
        ("tfds:tiny_zo", ["no data set 'tiny_zo'", "Did you mean 'tiny_zoo'?"]),
        (
            "tfds:imdb_reviews",
            ["not prepared", "download_and_prepare()", "tfds.builder('imdb_reviews', data_dir="],
        ),
        ("tfds:", ["tfds:NAME"]),
    ],
)
def test_refused_tfds(prepared, source, words):
    message = refusal(source, data_dir=prepared)
    for word in words:
        assert word in message
    if "not prepared" in message:
        assert f"is not prepared in {prepared}" in message


def test_tfds_hidden_labels(prepared):
    assert "has no label (-1)" in refusal("tfds:tiny_zoo:test", PHOTOS, data_dir=prepared)


@pytest.mark.parametrize("batch", [0, 2])
def test_tf_dataset_of_pairs(batch):
    data = tf.data.Dataset.from_tensor_slices((np.stack([PICTURE] * 3), [5, 6, 7]))
    table = read(data.batch(batch) if batch else data, PHOTOS)
    assert [Label().raw(value) for value in table.columns["label"]] == [b"5", b"6", b"7"]
    np.testing.assert_array_equal(table.row(2)["image"], PICTURE)


@pytest.mark.parametrize("batch", [0, 2])
def test_tf_dataset_of_dicts(batch):
    data = tf.data.Dataset.from_tensor_slices(({"review": ["a", "b", "c"], "id": [1, 2, 3]}, [0, 1, 0]))
    data = data.batch(batch, drop_remainder=False) if batch else data
    table = read(data, REVIEWS, rename={"text": "review"})
    assert table.columns["text"] == [b"a", b"b", b"c"]
    flat = read(data.map(lambda x, y: {**x, "label": y}), REVIEWS, rename={"text": "review"})
    assert [int(value) for value in flat.columns["label"]] == [0, 1, 0]


def test_tf_dataset_of_features_alone_and_many_hot():
    data = tf.data.Dataset.from_tensor_slices(["a", "b"])
    assert read(data, {"text": Text()}).columns["text"] == [b"a", b"b"]
    data = tf.data.Dataset.from_tensor_slices((["a", "b"], [[1.0, 1.0], [0.0, 1.0]])).batch(2)
    assert read(data, {"text": Text(), "labels": Labels()}).columns["labels"] == [["0", "1"], ["1"]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda data: data.repeat(), ["never ends", ".take("]),
        (lambda data: data.take(0), ["no rows"]),
        (lambda data: data.map(lambda x, y: x), ["missing 'label'"]),
        (lambda data: data.map(lambda x, y: (x, y, 1.0)), ["a tuple of 3", "sample weights"]),
        (lambda data: data.map(lambda x, y: ({"txt": x}, y)), ["no column 'text'", "'txt'"]),
        (lambda data: data.map(lambda x, y: (x, [y])), ["one row or a batch", "label: (1,) int32"]),
        (lambda data: data.map(lambda x, y: (x, {"label": {"a": y}})), ["dense tensor"]),
    ],
)
def test_refused_tf_dataset(make, words):
    message = refusal(make(tf.data.Dataset.from_tensor_slices((["a", "b"], [0, 1]))))
    for word in words:
        assert word in message


def test_a_dataset_of_unknown_size_is_read_up_to_max_rows():
    def rows():
        for number in range(10**9):
            yield f"t{number}", number % 2

    spec = (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32))
    endless = tf.data.Dataset.from_generator(rows, output_signature=spec)
    for dataset in (endless, endless.batch(3)):
        table = read(dataset, REVIEWS, max_rows=10)
        assert len(table) == 10
        assert len(table.raw_column("text", Text())) == 10
        (remark,) = table.remarks
        assert "more than 10 rows: the remaining rows were not read" in remark
        assert "has an unknown size" in refusal(dataset, max_rows=10, strict=True)
    assert read(endless.take(10), REVIEWS, max_rows=10).remarks == []
