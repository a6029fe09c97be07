"""Answers put where they stand: nearest places, other units, blanks, Unicode forms; each counted."""

import unicodedata

import pytest

from dlkit.tasks.question_answering.repair_answers import repair_answers

TEXT = "😀😀 Paris is é big. Not Paris, but Paris 🗼 Paris."
PLACES = [3, 23, 34, 42]
UNITS = {
    "UTF-16 units": lambda place: len(TEXT[:place].encode("utf-16-le")) // 2,
    "bytes": lambda place: len(TEXT[:place].encode()),
}


def repaired(answers, context=TEXT):
    ((placed,), remarks) = repair_answers([(answers, context)])
    return placed, remarks


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("place", PLACES)
def test_offsets_in_other_units(unit, place):
    placed, (remark,) = repaired([("Paris", UNITS[unit](place))])
    assert placed == [("Paris", place)]
    assert remark == f"offsets of 1 of 1 answers count {unit}, and were converted to characters"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("off", [-2, -1, 1])  # 2 more is what UTF-16 units say
def test_the_nearest_place(place, off):
    placed, (remark,) = repaired([("Paris", known + off if known == place else known) for known in PLACES])
    assert placed == [("Paris", known) for known in PLACES]
    assert remark.startswith("1 of 4 answers were not at their offset")
    placed, (remark,) = repaired([("Paris", known + off) for known in PLACES])  # what others count fits some of them
    assert placed == [("Paris", known) for known in PLACES]
    assert remark.startswith("4 of 4 answers were not at their offset")


def test_the_units_are_those_of_the_whole_source():
    either = ([("a", 6)], "😀😀 aaaa aaaa")  # an "a" stands where characters say, and where UTF-16 units do
    units = [([("Paris", UNITS["UTF-16 units"](place))], TEXT) for place in PLACES]
    assert repair_answers([*units, either])[0][-1] == [("a", 4)]
    characters = [([("Paris", place)], TEXT) for place in PLACES]
    assert repair_answers([*characters, either]) == ([[("Paris", place)] for place in PLACES] + [[("a", 6)]], [])
    other = ([("Paris", 23)], TEXT)  # one that counts characters all the same
    assert repair_answers([*units, other])[0][-1] == [("Paris", 23)]


def test_blanks_around_an_answer():
    placed, remarks = repaired([(" Paris\n", 22), ("  big", 13), (" ", 3)])
    assert placed == [("Paris", 23), ("big", 14)]
    assert remarks[0] == "1 answers are blank: they count as no answer"
    assert remarks[1] == "2 of 2 answers had surrounding whitespace, which was removed"
    assert len(remarks) == 3  # the second one stood a character further


@pytest.mark.parametrize(
    ("answer", "context", "expected"),
    [
        (("e\u0301", 0), "un été", ("é", 3)),
        (("é", 4), "un e\u0301te\u0301", ("e\u0301", 3)),
        (("한국", 3), unicodedata.normalize("NFD", "xx 한국 말"), (unicodedata.normalize("NFD", "한국"), 3)),
        (("e", 0), "e\u0301", ("e", 0)),  # as it stands, if it does
        (("한", 0), unicodedata.normalize("NFD", "하나"), ("한", -1)),
    ],
)
def test_another_form_of_unicode(answer, context, expected):
    placed, remarks = repaired([answer], context)
    assert placed == [expected]
    assert any("another Unicode form" in remark for remark in remarks) == (expected[0] != answer[0])


def test_what_has_no_place():
    placed, (moved, lost) = repaired([("Paris", -1), ("Rome", 3), ("big", -1)])
    assert placed == [("Paris", -1), ("Rome", -1), ("big", 14)]
    assert moved.startswith("1 of 3")
    assert lost.startswith("2 of 3")
