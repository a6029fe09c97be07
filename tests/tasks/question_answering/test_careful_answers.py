"""Questions that are cut or empty, answers that are too long, requests out of range, Unicode forms."""

import unicodedata

import pytest

import dlkit
from dlkit.errors import DataError
from dlkit.training.encode import encode_table
from dlkit.training.prepare import build_task

SMALL = {"network": "transformer", "embedding": 8, "blocks": 1, "window": 40, "overlap": 8, "max_answer": 4}
CONTEXT = "Zoé lives in a very small and old and quiet town."
TOWN = "a very small and old"  # five tokens
ROWS = [
    {"question": "Who lives?", "context": CONTEXT, "answers": ["Zoé"]},
    {"question": "Where?", "context": CONTEXT, "answers": [TOWN]},
    {"question": "Where is it?", "context": CONTEXT, "answers": [TOWN, "old"]},
    {"question": "What else?", "context": CONTEXT, "answers": []},
]


def prepared(rows=ROWS):
    task = dlkit.QuestionAnswerer(**SMALL, max_question=6, top_k=2)
    known = task.read(rows)
    build_task(task, known)
    return task, known, *encode_table(task, known.encoded(), known.windows_per_row)


@pytest.fixture(scope="module")
def model():
    return prepared([row for row in ROWS if row["answers"]])[0]


def test_answers_beyond_max_answer_are_counted():
    _, rows, store, _ = prepared()
    (remark,) = rows.remarks(store)
    assert remark.startswith("of 3 questions with an answer, 1 have none of at most `max_answer` (4) tokens")
    _, rows, store, _ = prepared(ROWS[::3])
    assert rows.remarks(store) == []


def test_a_question_that_is_cut(model):
    long = "Who lives in this town?"
    asked = [{"question": question, "context": CONTEXT} for question in ("Who lives?", long, long + " Who?")]
    answers = model.predict(asked)
    assert [answer["truncated"] for answer in answers] == [False, False, True]
    assert [bool(answer["truncated"]) for answer in model.call_signature("ask", asked)] == [False, False, True]


@pytest.mark.parametrize("nothing", ["", " ", "\n\t", "\u3000\u200b"])
def test_nothing_asked_or_nothing_read_is_not_answered(nothing, model):
    expected = {"text": "", "start": -1, "end": -1, "texts": [], "starts": [], "ends": [], "scores": []}
    for row in ({"question": nothing, "context": CONTEXT}, {"question": "Who?", "context": nothing}):
        answer = model.predict(row)
        assert {name: answer[name] for name in expected} == expected


def test_a_row_without_a_question_is_left_out_and_named():
    _, _, store, skipped = prepared([*ROWS, {"question": " ", "context": CONTEXT, "answers": ["Zoé"]}])
    assert store.rows == 4
    assert "or the question is empty" in skipped[0]


def test_max_answer_above_its_range_is_clipped_and_below_refused(model):
    row = {"question": "Who lives?", "context": CONTEXT}
    asked = model.call_signature("ask", [{**row, "max_answer": limit} for limit in (1, 4, 99)])
    spans = [(bytes(answer["text"]), int(answer["start"])) for answer in asked]
    assert spans[1] == spans[2]
    assert spans[0][0]
    for limit in (0, -5):
        with pytest.raises(DataError, match=f"`max_answer` must be at least 1. Received: {limit}, in row 0"):
            model.call_signature("ask", [{**row, "max_answer": limit}])


def test_a_span_is_the_text_s_own_in_any_form_of_unicode(model):
    apart = unicodedata.normalize("NFD", CONTEXT)
    composed, spelled = model.predict([{"question": "Who lives?", "context": text} for text in (CONTEXT, apart)])
    assert spelled["score"] == pytest.approx(composed["score"], rel=1e-4)
    for text, begin, end, same in zip(
        spelled["texts"], spelled["starts"], spelled["ends"], composed["texts"], strict=True
    ):
        assert apart[begin:end] == text
        assert unicodedata.normalize("NFC", text) == same
