"""The hold-out split, and the sample sets that come with the package."""

import collections
import sys
import types

import numpy as np
import pytest

import dlkit
from dlkit.columns import Image, Label, Labels, Text
from dlkit.data.read import read
from dlkit.data.split import split
from dlkit.data.table import Table
from dlkit.errors import DataError, DlkitError
from dlkit.rows import Rows
from dlkit.tasks.image_segmentation.columns import Mask
from dlkit.tasks.image_segmentation.mask_rows import MaskRows
from dlkit.tasks.object_detection.columns import BoxLabels, CrowdBoxes
from dlkit.tasks.sentiment.sample import load_reviews
from dlkit.vision.digits import digits


def table(labels, name="label"):
    return Table("rows", {"id": list(range(len(labels))), name: labels}, lambda row: f"rows, index {row}")


def test_split_keeps_proportions_and_order():
    whole = table(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    rest, held = split(whole, 0.2, seed=3)
    assert collections.Counter(held.columns["label"]) == {"a": 12, "b": 6, "c": 2}
    ids = rest.columns["id"], held.columns["id"]
    assert sorted(ids[0] + ids[1]) == list(range(100))
    assert all(part == sorted(part) for part in ids)
    assert held.where(0) == f"rows, index {ids[1][0]}"


def test_split_depends_on_the_seed_alone():
    whole = table(["a", "b"] * 20)
    first, again, other = (split(whole, 0.3, seed=seed)[1].columns["id"] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    # Known rows: a change of the order between releases would mix held-out rows into training.
    assert split(table(list("aabb")), 0.5, seed=0)[1].columns["id"] == [0, 2]


def test_split_of_rare_and_missing_labels():
    rest, held = split(table(["a"] * 9 + ["rare"]), 0.3, seed=0)
    assert len(held) == 3
    assert "rare" in rest.columns["label"]
    assert len(split(table(list("abcdefghij")), 0.3, seed=0)[1]) == 3  # nothing occurs twice
    assert len(split(table(list("abababab"), name="x"), 0.25, seed=0)[1]) == 2
    assert sorted(split(table(list("abababab"), name="x"), 0.25, seed=0, by="x")[1].columns["x"]) == [
        "a",
        "b",
    ]
    rest, held = split(table([*"aabcdefgh"]), 0.5, seed=0)  # of the one pair, one
    assert held.columns["label"] == ["a"]
    many = [name for name in map(str, range(50)) for _ in range(2)]
    rest, held = split(table(many), 0.1, seed=0)
    assert len(held) == 10
    assert set(rest.columns["label"]) == set(many)
    assert [len(part) for part in split(table(["a", "a"]), 0.01, seed=0)] == [1, 1]


@pytest.mark.parametrize(
    ("target", "values"),
    [
        (
            {"boxes": CrowdBoxes(), "labels": BoxLabels()},
            {"boxes": [[], [[0, 0, 1, 1]]] * 20, "labels": [[], ["a"]] * 20},
        ),
        ({"boxes": CrowdBoxes(), "labels": BoxLabels()}, {"boxes": [np.zeros((0, 4))] * 40, "labels": [[]] * 40}),
        ({"mask": Mask()}, {"mask": [np.zeros((2, 2), int)] * 4 + [np.full((2, 2), n) for n in range(36)]}),
        ({"mask": Mask()}, {"mask": [f"{n}.png" for n in range(40)]}),
    ],
)
def test_rows_are_held_out_without_regard_to_boxes_and_masks(target, values):
    task = types.SimpleNamespace(seed=5, target=target)
    whole = Table("rows", {"id": list(range(40)), **values}, lambda row: f"rows, index {row}", ("a", "b"))
    rest, held = (rows.table for rows in Rows(task, whole).hold_out(0.25))
    # As if there were no target at all: values that happen to be alike draw no others into their part.
    _, drawn = split(Table("rows", {"id": list(range(40))}, whole.where), 0.25, seed=5)
    assert held.columns["id"] == drawn.columns["id"]
    assert sorted(rest.columns["id"] + held.columns["id"]) == list(range(40))
    assert held.classes == rest.classes == ("a", "b")


def rows_of(target, kind=Rows, classes=(), **values):
    task = types.SimpleNamespace(seed=0, target=target)
    length = len(next(iter(values.values())))
    columns = {"id": list(range(length)), **values}
    return kind(task, Table("rows", columns, lambda row: f"rows, index {row}", classes))


def boxed(*labels):
    return {"boxes": [[[0, 0, 1, 1]] * len(names) for names in labels], "labels": list(labels)}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("rows", "rare"),
    [
        (rows_of({"label": Label()}, label=["a"] * 9 + ["b"]), ["b"]),
        (rows_of({"label": Labels()}, label=[["a", str(n)] for n in range(10)]), list("0123456789")),
        (rows_of({"label": Labels()}, label=[f"a|{n}" for n in range(10)]), list("0123456789")),
        (rows_of({"boxes": CrowdBoxes(), "labels": BoxLabels()}, **boxed(*[["a"]] * 9, ["a", "b"])), ["b"]),
        (
            rows_of(
                {"mask": Mask()}, MaskRows, ("sky", "sea", "sun"),
                mask=[np.full((2, 2), 0)] * 8 + [np.array([[0, 1]]), np.array([[2, 255]])],
            ),
            ["sea", "sun"],
        ),
        (rows_of({"mask": Mask()}, MaskRows, mask=[np.full((2, 2), 0)] * 9 + [np.array([[0, 7]])]), ["7"]),
    ],
)  # fmt: skip
def test_the_only_examples_of_a_class_stay_in_training(rows, rare, seed):
    rows.task.seed = seed
    for share in (0.1, 0.5, 0.9):
        rest, held = rows.hold_out(share)
        left = {name for row in range(len(rest)) for name in rest.classes_of(row)}
        assert left == {name for row in range(len(rows)) for name in rows.classes_of(row)} >= set(rare)
        ids = rest.table.columns["id"], held.table.columns["id"] if held else []
        assert sorted(ids[0] + ids[1]) == list(range(10))
        assert all(part == sorted(part) for part in ids)


def test_rows_that_stay_in_training_are_said():
    rows = rows_of({"boxes": CrowdBoxes(), "labels": BoxLabels()}, **boxed(["a", "b"], ["a", "c"], ["a"], ["a"]))
    rows.task.seed = next(seed for seed in range(99) if split(rows.table, 0.5, seed)[1].columns["id"] == [0, 1])
    rest, held = rows.hold_out(0.5)
    assert held is None  # both are the only examples of a class
    assert rest.table.remarks == ("2 rows are not held out, as each is the only training example of its class: b, c",)
    rows.task.seed = next(seed for seed in range(99) if split(rows.table, 0.5, seed)[1].columns["id"] == [2, 3])
    assert rows.hold_out(0.5)[0].table.remarks == ()


def test_a_test_part_takes_no_class_from_training():
    source = {"label": ["a", "b", "a"], "text": ["x", "y", "z"]}
    for seed in range(9):
        rest, held = dlkit.split(source, dlkit.SentimentClassifier(seed=seed))
        assert set(rest.columns["label"]) == {"a", "b"}
        assert len(held) == 1
    with pytest.raises(DataError, match="each row is the only example of its class"):
        dlkit.split({"label": ["a", "b"], "text": ["x", "y"]}, dlkit.SentimentClassifier())


def test_a_row_that_cannot_be_read_is_an_example_of_nothing():
    rows = rows_of({"mask": Mask()}, MaskRows, mask=["gone.png"] * 10)
    assert list(rows.classes_of(0)) == []
    assert [len(part) for part in rows.hold_out(0.2)] == [8, 2]


@pytest.mark.parametrize("share", [0.0, 1.0, -1, float("nan")])
def test_split_refuses(share):
    with pytest.raises(DataError, match="between 0 and 1"):
        split(table(["a", "b"]), share, seed=0)
    with pytest.raises(DataError, match="1 row"):
        split(table(["a"]), 0.5, seed=0)
    with pytest.raises(DataError, match="no column 'x'"):
        split(table(["a", "b"]), 0.5, seed=0, by="x")


def test_digits():
    splits = digits()
    tables = {name: read(source, {"image": Image(), "label": Label()}) for name, source in splits.items()}
    assert {name: len(part) for name, part in tables.items()} == {
        "train": 1078,
        "validation": 360,
        "test": 359,
    }
    images = np.concatenate([source["image"] for source in splits.values()])
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert all(set(source["label"]) == set("0123456789") for source in splits.values())
    again = digits()
    assert all((again[name]["image"] == splits[name]["image"]).all() for name in splits)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DlkitError, match=r'pip install "dlkit-keras\[samples\]"'):
        digits()


def test_reviews():
    splits = load_reviews()
    tables = {name: read(source, {"text": Text(), "label": Label()}) for name, source in splits.items()}
    assert {name: len(part) for name, part in tables.items()} == {"train": 320, "validation": 80, "test": 80}
    for part in tables.values():
        assert part.columns["label"].count("positive") * 2 == len(part)
    texts = [text for part in tables.values() for text in part.columns["text"]]
    assert len(set(texts)) == 480
    assert all(6 <= len(text.split()) <= 30 for text in texts)
    assert any("café" in text for text in texts)


def test_reviews_can_be_learned():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    splits = load_reviews()
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10))
    model.fit(splits["train"]["text"], splits["train"]["label"])
    assert model.score(splits["test"]["text"], splits["test"]["label"]) >= 0.85
