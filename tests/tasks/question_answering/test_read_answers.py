"""Questions with answers from every source, and offsets put right."""

import json

import pandas as pd
import pytest

from dlkit.columns import Text
from dlkit.data.read import read
from dlkit.errors import DataError
from dlkit.tasks.question_answering.columns import Answers, Context, QuestionId
from dlkit.tasks.question_answering.predictions import write_predictions
from dlkit.tasks.question_answering.task import ContextRows

COLUMNS = {"question": Text(), "context": Context(), "answers": Answers()}
CONTEXT = "Zoë owns the café. The café opens at 7."
ROW = {"question": "Who?", "context": CONTEXT}


def answers_of(source, **options):
    return read(source, COLUMNS, **options).columns["answers"]


def squad(tmp_path, *questions):
    paragraphs = [{"context": CONTEXT, "qas": list(questions)}]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    return path


def test_squad_of_both_versions(tmp_path):
    first = {"id": "a", "question": "Who?", "answers": [{"text": "Zoë", "answer_start": 0}] * 2}
    second = {"id": "b", "question": "Why?", "is_impossible": True, "answers": [], "plausible_answers": [{"text": "7"}]}
    table = read(squad(tmp_path, first, second), COLUMNS)
    assert table.columns["question"] == ["Who?", "Why?"]
    assert table.columns["answers"] == [[("Zoë", 0), ("Zoë", 0)], []]
    assert table.where(1).endswith("question b")
    assert table.remarks == []
    assert read(squad(tmp_path, first), {name: COLUMNS[name] for name in ("question", "context")}).row(0) == ROW


def test_what_is_no_squad_is_named(tmp_path):
    with pytest.raises(DataError, match=r"article 1, paragraph 1: expected `question`, a str. Received: nothing"):
        read(squad(tmp_path, {"answers": []}), COLUMNS)
    path = tmp_path / "a.json"
    path.write_text('{"rows": []}')
    with pytest.raises(DataError, match="a list of articles in `data`"):
        read(path, COLUMNS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Zoë", [("Zoë", 0)]),
        (["Zoë", "café."], [("Zoë", 0), ("café.", 13)]),
        ([["Zoë", 0]], [("Zoë", 0)]),
        ({"text": ["Zoë"], "answer_start": [0]}, [("Zoë", 0)]),
        ([{"text": "7", "answer_start": 37}], [("7", 37)]),
        ({"text": [], "answer_start": []}, []),
        ([], []),
        ("", []),
        (None, []),
    ],
)
def test_forms_of_answers(tmp_path, value, expected):
    assert answers_of([{**ROW, "answers": value}]) == [expected]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**ROW, "answers": value}) + "\n")
    assert answers_of(path) == [expected]


def test_csv_and_frames_with_one_answer_a_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f'question,context,answer,answer_start\nWho?,"{CONTEXT}",Zoë,0\nWhat?,"{CONTEXT}",café,23\n')
    assert answers_of(path) == [[("Zoë", 0)], [("café", 23)]]
    path.write_text(f'question,context,answers\nWho?,"{CONTEXT}",Zoë\nWhy?,"{CONTEXT}",\n')
    assert answers_of(path) == [[("Zoë", 0)], []]
    frame = pd.DataFrame([{**ROW, "answers": [("Zoë", 0)]}])
    assert answers_of(frame) == [[("Zoë", 0)]]


def test_offsets_are_put_right_where_the_text_stands_next_to_them():
    given = [("Zoë", 5), ("café", 0), ("café", 22), ("tea", 3)]
    table = read([{**ROW, "answers": given}], COLUMNS)
    assert dict(table.columns["answers"][0])["Zoë"] == 0
    assert sorted(table.columns["answers"][0]) == [("Zoë", 0), ("café", 13), ("café", 23), ("tea", -1)]
    assert [remark.split(" answers ")[0] for remark in table.remarks] == ["3 of 4", "1 of 4"]
    assert table.take([0]).remarks == table.remarks


def test_the_most_frequent_answer_comes_first():
    given = [("owns", 4), ("Zoë", 0), ("Zoë", 0), ("7", 37)]
    assert answers_of([{**ROW, "answers": given}])[0] == [("Zoë", 0), ("Zoë", 0), ("owns", 4), ("7", 37)]


@pytest.mark.parametrize("value", [5, [5], [("a", "b", "c")], {"text": 3}])
def test_what_is_no_answer_is_refused_by_its_row(value):
    with pytest.raises(DataError, match="index 0, column 'answers'"):
        answers_of([{**ROW, "answers": value}])


def test_is_impossible_is_a_truth_value(tmp_path):
    for given, answers in (
        ("False", [("Rome", 13)]),
        (0, [("Rome", 13)]),
        (None, [("Rome", 13)]),
        ("true", []),
        (1, []),
    ):
        question = {"id": "q", "question": "Where?", "is_impossible": given,
                    "answers": [{"text": "Rome", "answer_start": 13}]}  # fmt: skip
        paragraph = {"context": "Ann lives in Rome.", "qas": [question]}
        (tmp_path / "a.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]}))
        assert read(tmp_path / "a.json", COLUMNS).columns["answers"] == [answers]
    question["is_impossible"] = "perhaps"
    (tmp_path / "a.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]}))
    with pytest.raises(DataError, match="question q, `is_impossible`: expected true or false"):
        read(tmp_path / "a.json", COLUMNS)


def test_ids_come_from_the_data_and_squads_file_goes_by_them(tmp_path):
    columns = {**COLUMNS, "id": QuestionId(optional=True)}
    first = {"id": "a", "question": "Who?", "answers": [{"text": "Zoë", "answer_start": 0}]}
    table = read(squad(tmp_path, first, {**first, "id": "b"}), columns)
    assert table.raw_column("id", columns["id"]) == [b"a", b"b"]
    rows = {"question": ["Who?"] * 3, "context": [CONTEXT] * 3, "answers": ["Zoë"] * 3, "id": [7, None, float("nan")]}
    assert read(rows, columns).raw_column("id", columns["id"]) == [b"7", b"", b""]
    pair = ({name: rows[name] for name in ("question", "context")}, rows["answers"])  # y is the answers, as ever
    assert read(pair, columns).columns["answers"] == [[("Zoë", 0)]] * 3

    made = ContextRows(None, table).with_errors(
        0, {"answers": [[b"Zo\xc3\xab", b"0"]], "id": b"a"}, {"text": "the Zoë", "score": 0.5}
    )
    assert made == [
        {"id": "a", "true_answers": ["Zoë"], "text": "the Zoë", "score": 0.5, "exact_match": 1.0, "f1": 1.0}
    ]
    path = tmp_path / "predictions.json"
    write_predictions(path, [{"row_ids": "1", "id": "a", "text": "Zoë"}, {"row_ids": "2", "id": "b", "text": ""}])
    assert json.loads(path.read_text("utf-8")) == {"a": "Zoë", "b": ""}
    for wrong, words in ((None, "2 has no `id`"), ("a", "2 questions have the id 'a'")):
        with pytest.raises(DataError, match=words):
            write_predictions(
                path, [{"row_ids": "1", "id": "a", "text": ""}, {"row_ids": "2", "id": wrong, "text": ""}]
            )
