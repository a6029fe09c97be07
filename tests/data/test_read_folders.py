"""Folders of files."""

import pytest

from dlkit.columns import Image, Label, Labels, Text
from dlkit.data.read import read
from dlkit.errors import DataError

PHOTOS = {"image": Image(), "label": Label()}
REVIEWS = {"text": Text(), "label": Label()}


def fill(folder, *names, content=b"x"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def refusal(source, columns, **options):
    with pytest.raises(DataError) as caught:
        read(source, columns, **options)
    return str(caught.value)


def test_class_folders_of_images(tmp_path):
    fill(tmp_path, "dog/b.PNG", "dog/a.jpg", "cat/2019/x.jpeg", ".git/y.png", "dog/.hidden.png")
    table = read(tmp_path, PHOTOS)
    assert not table.remarks
    assert table.columns["label"] == ["cat", "dog", "dog"]
    assert table.columns["image"] == [tmp_path / name for name in ("cat/2019/x.jpeg", "dog/a.jpg", "dog/b.PNG")]
    assert table.where(1) == str(tmp_path / "dog/a.jpg")


def test_other_files_are_counted(tmp_path):
    fill(tmp_path, "cat/a.png", "cat/a.heic", "cat/b.heic", "Thumbs.db", "notes")
    table = read(tmp_path, PHOTOS)
    assert len(table) == 1
    (remark,) = table.remarks
    assert remark.startswith("skipped 4 files (2 .heic, 1 .db, 1 without suffix)")


def test_class_folders_of_texts(tmp_path):
    fill(tmp_path, "pos/1.txt", content="\ufeffcafé".encode())
    fill(tmp_path, "neg/1.txt", content=b"")
    table = read(tmp_path, REVIEWS)
    assert table.columns == {"text": ["", "café"], "label": ["neg", "pos"]}


def test_flat_folder_without_a_label(tmp_path):
    fill(tmp_path, "b.png", "a.jpg", "more/c.gif")
    assert read(tmp_path, {"image": Image()}).columns["image"] == [
        tmp_path / n for n in ("a.jpg", "b.png", "more/c.gif")
    ]


def test_linked_folder_that_leads_back(tmp_path):
    fill(tmp_path, "cat/a.png")
    (tmp_path / "cat/again").symlink_to(tmp_path / "cat")
    assert len(read(tmp_path, PHOTOS)) == 1


@pytest.mark.parametrize("column", ["image", "file_name"])
@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv"])
def test_table_beside_the_images(tmp_path, name, column):
    fill(tmp_path, "img/1.png", "img/2.png")
    fill(tmp_path, name, content=f"{column},label\nimg/2.png,cat\n".encode())
    table = read(tmp_path, PHOTOS)
    assert table.row(0) == {"image": tmp_path / "img/2.png", "label": "cat"}
    assert table.where(0) == f"{tmp_path}/{name}, line 2"


@pytest.mark.parametrize(
    ("names", "columns", "words"),
    [
        (["a.png", "b.png"], PHOTOS, ["no class folders", "2 images", "CLASS/FILE.jpg"]),
        ([".keep"], PHOTOS, ["no class folders", "no images"]),
        (["cat/a.png", "dog/.keep"], PHOTOS, ["class folder", "dog", "holds no images"]),
        (
            ["cat/a.heic"],
            PHOTOS,
            ["holds no images", ".jpg, .jpeg, .png, .bmp, .gif, .webp, .tif, .tiff, .avif", "only 1 file (1 .heic)"],
        ),
        (
            ["train/cat/a.png", "test/cat/a.png"],
            PHOTOS,
            ["holds splits, not classes: 'test', 'train'", "Specify one of them: ", "/train."],
        ),
        (["a.txt"], {"image": Image()}, ["holds no images", "1 .txt"]),
        (["cat/a.png"], REVIEWS, ["holds no texts (.txt)", "1 .png"]),
        (["cat/a.png"], {"image": Image(), "labels": Labels()}, ["a single label", "labels.csv"]),
        (["cat/a.png"], {"image": Image(), "text": Text()}, ["one image or text per row", "'image', 'text'"]),
        (["labels.csv", "metadata.csv"], PHOTOS, ["several tables", "'labels.csv', 'metadata.csv'"]),
    ],
)
def test_refused_folder(tmp_path, names, columns, words):
    fill(tmp_path, *names)
    message = refusal(tmp_path, columns)
    for word in [*words, str(tmp_path)]:
        assert word in message


def test_text_file_that_is_not_utf8(tmp_path):
    fill(tmp_path, "pos/1.txt", content=b"good\ncaf\xe9")
    message = refusal(tmp_path, REVIEWS)
    assert "none of its 1 files can be read" in message
    fill(tmp_path, "neg/1.txt", "neg/2.txt", content=b"bad")
    table = read(tmp_path, REVIEWS)
    assert table.columns == {"text": ["bad", "bad"], "label": ["neg", "neg"]}
    assert [table.where(row) for row in range(2)] == [str(tmp_path / "neg" / name) for name in ("1.txt", "2.txt")]
    (remark,) = table.remarks
    assert remark.startswith("1 of 3 files skipped: ")
    for message in (remark, refusal(tmp_path, REVIEWS, strict=True)):
        assert "pos/1.txt, line 2" in message
        assert "not UTF-8" in message


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["train/a/1.png", "val/a/1.png", "unlabelled/1.png"], "/train. If"),
        (["test/1.png", "cat/1.png"], "Specify the one to use."),
        (["images/1.png", "masks/1.png"], "Expected "),
        (["labels/1.png", "cat/1.png"], "Expected "),
    ],
)
def test_folders_of_splits_or_kinds_are_no_classes(tmp_path, names, hint):
    fill(tmp_path, *names)
    message = refusal(tmp_path, PHOTOS)
    assert "not classes" in message
    assert hint in message
    assert "/test." not in message
