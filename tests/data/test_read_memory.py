"""Python objects as sources, without TensorFlow."""

import pathlib
import subprocess
import sys

import numpy as np
import pandas
import pytest

import dlkit
from dlkit.columns import Image, Label, Labels, Text
from dlkit.data.header import header_of
from dlkit.data.read import read
from dlkit.errors import DataError

REVIEWS = {"text": Text(), "label": Label()}
PHOTOS = {"image": Image(), "label": Label()}
PAIRS = {"first": Text(), "second": Text(), "label": Label()}


def refusal(source, columns=REVIEWS, **options):
    with pytest.raises(DataError) as caught:
        read(source, columns, **options)
    return str(caught.value)


def test_data_frame_with_an_index_of_its_own():
    frame = pandas.DataFrame({"review": ["a", "b"], "label": [1, 0]}, index=[7, 3])
    table = read(frame, REVIEWS, rename={"text": "review"})
    assert table.columns == {"text": ["a", "b"], "label": [1, 0]}
    assert table.where(1) == "the DataFrame, index 3"


@pytest.mark.parametrize("hole", [None, float("nan"), pandas.NA])
def test_data_frame_with_a_hole(hole):
    frame = pandas.DataFrame({"text": ["a", hole], "label": ["x", "y"]}, dtype=object)
    assert "index 1: the text in column 'text' is empty" in refusal(frame)


def test_dict_of_columns_and_list_of_dicts():
    expected = {"text": ["a", "b"], "label": ["x", "y"]}
    assert read(expected, REVIEWS).columns == expected
    rows = [{"text": "a", "label": "x", "id": 1}, {"text": "b", "label": "y"}]
    table = read(rows, REVIEWS)
    assert table.columns == expected
    assert table.where(1) == "the list of rows, index 1"


def test_arrays():
    x = np.zeros((3, 4, 4), np.uint8)
    table = read((x, np.array([[2], [0], [1]])), PHOTOS)  # as Keras's cifar10 gives labels
    assert [Label().raw(value) for value in table.columns["label"]] == [b"2", b"0", b"1"]
    assert table.row(0)["image"].shape == (4, 4)
    assert table.where(2) == "the arrays, index 2"
    assert list(read((x, None), {"image": Image()}).columns) == ["image"]
    assert list(read((x, [0, 1, 2]), {"image": Image()}).columns) == ["image"]


def test_arrays_of_several_inputs_and_labels():
    table = read(({"first": ["a"], "second": ["b"]}, pandas.Series(["x"], index=[9])), PAIRS)
    assert table.row(0) == {"first": "a", "second": "b", "label": "x"}
    frame = pandas.DataFrame({"first": ["a"], "second": ["b"]})
    assert read((frame, ["x"]), PAIRS).row(0) == table.row(0)
    many = read((["a", "b"], np.array([[1, 0, 1], [0, 0, 0]])), {"text": Text(), "labels": Labels()})
    assert many.columns["labels"] == [["0", "2"], []]


@pytest.mark.parametrize(
    ("source", "columns", "words"),
    [
        ((["a"], ["x", "y"]), REVIEWS, ["same length", "text: 1, label: 2"]),
        (([], []), REVIEWS, ["no rows"]),
        ((["a"], None), REVIEWS, ["missing 'label'"]),
        ((["a"],), REVIEWS, ["(x, y)", "a tuple of 1"]),
        ((["a"], ["x"]), PAIRS, ["a single y cannot provide 2 columns: 'second', 'label'"]),
        (({"txt": ["a"]}, ["x"]), REVIEWS, ["no column 'text'", "Did you mean 'txt'?"]),
        (({"first": ["a"]}, ["x"]), PAIRS, ["2 columns: 'second', 'label'"]),
        ((["a"], np.eye(1, 3)), REVIEWS, ["one label per row", "argmax"]),
        ((["a"], [[0, 2]]), {"text": Text(), "labels": Labels()}, []),
        ((["a"], np.array([[0, 2]])), {"text": Text(), "labels": Labels()}, ["zeros and ones"]),
        (({"text": iter("ab")}, ["x"]), REVIEWS, ["'text' must be a list or an array"]),
        ({"text": "a", "label": "b"}, REVIEWS, ["'text' must be a list or an array", "Received: str"]),
        ({"text": ["a"], "label": [np.float32("nan")]}, REVIEWS, ["index 0", "'label' is empty"]),
        ("good " * 100, REVIEWS, ["there is no", "..."]),
        ("a\0b", REVIEWS, ["there is no"]),
        ({"text": ["a"], "label": [" "]}, REVIEWS, ["index 0", "'label' is empty"]),
        ([{"text": "a", "label": 1}, {"text": "b"}], REVIEWS, ["index 1", "no 'label'"]),
        ([], REVIEWS, ["no rows"]),
        ([{"text": "a", "label": 1}, "b"], REVIEWS, ["index 1", "expected an object"]),
        (7, REVIEWS, ["type int", "a folder", "tfds:NAME", "(x, y)"]),
        ("", REVIEWS, ["is empty", "a folder"]),
    ],
)
def test_refused_object(source, columns, words):
    if not words:  # a list of class numbers is one; only an array is zeros and ones
        assert len(read(source, columns)) == 1
        return
    message = refusal(source, columns)
    for word in words:
        assert word in message


def test_reading_imports_no_tensorflow(tmp_path):
    np.savez(tmp_path / "a.npz", text=np.array(["a"]), label=[1])
    (tmp_path / "a.csv").write_text("text,label\na,b\n")
    code = (
        "import sys\nfrom dlkit.columns import Label, Text\nfrom dlkit.data.read import read\n"
        "for name in ('a.csv', 'a.npz'):\n    read(name, {'text': Text(), 'label': Label()})\n"
        "read((['a'], ['b']), {'text': Text(), 'label': Label()})\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    root = pathlib.Path(dlkit.__file__).parents[1]
    code = f"import sys\nsys.path.insert(0, {str(root)!r})\n{code}"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


def test_tables_of_arrow_and_polars():
    import pyarrow

    table = pyarrow.table({"review": ["a", "b"], "label": [1, 0]})
    tables = [table, table.to_batches()[0]]
    try:
        import polars
    except ImportError:
        pass
    else:
        tables.append(polars.from_arrow(table))
        with pytest.raises(DataError, match="collect"):
            read(tables[-1].lazy(), REVIEWS)
    for source in tables:
        assert read(source, REVIEWS, rename={"text": "review"}).columns == {"text": ["a", "b"], "label": [1, 0]}
        assert header_of(source) == ["review", "label"]


def test_a_named_index_holds_a_column():
    frame = pandas.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}).set_index("text")
    assert read(frame, REVIEWS).columns["text"] == ["a", "b"]
