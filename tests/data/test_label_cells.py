"""Cells that hold several labels: each form with the right labels, and what cannot be told is refused."""

import numpy as np
import pytest

from dlkit.columns import Flag, Label, Labels, Text, parse_bool
from dlkit.data.read import read
from dlkit.errors import DataError

SEVERAL = {"text": Text(), "label": Labels()}
ONE = {"text": Text(), "label": Label()}


def labels_of(cells, **options):
    table = read({"text": ["t"] * len(cells), "label": cells}, SEVERAL, **options)
    return [[name.decode() for name in names] for names in table.raw_column("label", Labels())]


@pytest.mark.parametrize(
    "both",
    [
        "['toxic', 'very rude']",
        '["toxic", "very rude"]',
        "['toxic' 'very rude']",  # as NumPy shows it
        "('toxic', 'very rude')",
        "{'toxic', 'very rude'}",
        "{toxic,very rude}",
        "[toxic, very rude]",
        "array(['toxic', 'very rude'], dtype=object)",
        "frozenset({'toxic', 'very rude'})",
        '"toxic", "very rude"',
        "<toxic><very rude>",
        '{"toxic": 1, "mild": 0, "very rude": 1}',
        "{'toxic': True, 'very rude': True}",
        "toxic|very rude",
        "toxic, very rude",
        "toxic; very rude;",
        "toxic\nvery rude",
        "toxic\r\nvery rude",
        "toxic\tvery rude",
        "toxic、very rude",
    ],
)
def test_several_labels_in_a_cell(both):
    assert labels_of([both, "", "toxic"]) == [["toxic", "very rude"], [], ["toxic"]]
    assert [name.decode() for name in Labels().raw(both)] == ["toxic", "very rude"]
    with pytest.raises(DataError, match=r"index 0: .*multi_label=True"):
        read({"text": "abc", "label": [both, "toxic", "very rude"]} | {"text": list("abc")}, ONE)


def test_numbers_and_empty_lists():
    assert labels_of(["[1, 0]", "[3 12]", "[]", "set()", "(2,)"]) == [["1", "0"], ["3", "12"], [], [], ["2"]]


def test_commas_are_part_of_names_where_labels_are_joined_by_bars_or_listed():
    assert labels_of(["Rock, old|Pop", "Rock, old", '["Rock, new"]']) == [
        ["Rock, old", "Pop"],
        ["Rock, old"],
        ["Rock, new"],
    ]


def test_how_labels_are_parted_is_told():
    table = read({"text": ["a", "b"], "label": ["x,y", "x"]}, SEVERAL)
    assert table.remarks == ["column 'label': 1 of 2 cells hold several labels, separated by ,"]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["a;b", "a,c"], "separated by ; and by ,"),
        (["toxic/rude", "toxic"], "index 0: 'toxic/rude' looks like several"),
        (["mild", "toxic & rude", "rude"], "index 1: 'toxic & rude'"),
        (["toxic rude", "rude", "toxic"], "index 0: 'toxic rude'"),
        (["['a', ['b']]", "a"], "index 0: cannot read the list"),
        (["[{'a': 1}]", "a"], "index 0: "),
        (["['a', 'b", "['a]"], "index 1: cannot read the list"),
    ],
)
def test_what_cannot_be_told_is_refused(cells, words):
    with pytest.raises(DataError, match=words.replace("|", r"\|").replace("[", r"\[")):
        labels_of(cells)


def test_names_of_several_words_are_one_label():
    assert labels_of(["very bad", "bad", "R&B"]) == [["very bad"], ["bad"], ["R&B"]]
    table = read({"text": ["a"] * 4, "label": ["New York, NY", "[UNK]", "(other)", "it's"]}, ONE)
    assert len(table) == 4


def test_a_column_of_zeros_and_ones_for_each_label(tmp_path):
    (tmp_path / "a.csv").write_text("text,toxic,rude\na,1,0\nb,0,0\nc,True,yes\n")
    asked = {"label": "toxic, rude"}
    table = read(tmp_path / "a.csv", SEVERAL, rename=asked)
    assert table.columns == {"text": ["a", "b", "c"], "label": [["toxic"], [], ["toxic", "rude"]]}
    columns = {"text": ["a", "b"], "toxic": np.array([0, 1]), "rude": [1.0, False]}
    assert read(columns, SEVERAL, rename=asked).columns["label"] == [["rude"], ["toxic"]]
    (tmp_path / "a.csv").write_text("text,toxic,rude\na,1,0\nb,2,0\n")
    with pytest.raises(DataError, match="line 3, column 'toxic': expected true or false"):
        read(tmp_path / "a.csv", SEVERAL, rename=asked)
    with pytest.raises(DataError, match="NAME=A,B,C"):
        read(tmp_path / "a.csv", SEVERAL)
    assert read({"text": ["a"], "x,y": ["p|q"]}, SEVERAL, rename={"label": "x,y"}).columns["label"] == [["p", "q"]]


def test_truth_values_are_strict():
    assert [parse_bool(value) for value in (True, 1, "True", b"1", "yes", 1.0)] == [True] * 6
    assert [parse_bool(value) for value in (False, 0, "False", b"0", "no", 0.0, np.bool_(False))] == [False] * 7
    assert not Flag().raw("False")
    for value in (None, "", "maybe", 2, -1):
        with pytest.raises(DataError, match="true or false"):
            parse_bool(value)
