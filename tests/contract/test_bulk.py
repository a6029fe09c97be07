"""Whole sources, answered and written: the answers of `predict`, and a bad row that costs only itself."""

import json

import pytest
import task_contracts
from edge_inputs import encode_noise

from dlkit.columns import EncodedFile, Image, Text
from dlkit.errors import DlkitError


@pytest.fixture
def folder(fitted, tmp_path):
    if not any(isinstance(column, Image) for column in fitted.inputs.values()):
        pytest.skip("folders hold images")
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(encode_noise("RGB", (40 + number, 30)))
    (folder / "3.png").write_bytes(b"no image")
    return folder


def test_every_file_has_its_answer(fitted, folder):
    output = folder.parent / "new" / "answers"
    told = fitted.predict_to(folder, output, verbose=False)
    assert (told["rows"], told["predicted"], told["bad"]) == (4, 3, 1)
    assert "3.png" in told["reasons"][0]
    expected = [fitted.predict(folder / f"{number}.png") for number in range(3)]
    check = task_contracts.load_contract(fitted.task_name()).check_prediction_file
    if check:
        check(output, expected)
        return
    written = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["file"] for line in written] == [str(folder / f"{number}.png") for number in range(3)]
    assert [line["label"] for line in written] == [answer["label"] for answer in expected]


def test_an_output_that_exists_is_not_replaced(fitted, folder):
    output = folder.parent / "answers"
    output.write_text("mine")
    with pytest.raises(DlkitError, match="already exists"):
        fitted.predict_to(folder, output)
    assert output.read_text() == "mine"


def test_a_table_of_requests_has_a_row_of_answers_for_each(fitted, tmp_path):
    """Of whatever inputs a task has: the rows that its exports are shown, with one that it must refuse."""
    columns = [*fitted.inputs.values(), *fitted.answer.values()]
    if not fitted.rows.by_record or any(isinstance(column, EncodedFile) for column in columns):
        pytest.skip("its rows are no records of tables of texts")
    rows = [dict(row) for row in fitted.examples_[:3]]
    texts = [name for name, column in fitted.inputs.items() if isinstance(column, Text)]
    lines = [json.dumps({**row, "id": number}) for number, row in enumerate(rows)]
    bad = {**rows[0], texts[0]: 3} if texts else "no row"
    lines.insert(1, json.dumps(bad))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    told = fitted.predict_to(tmp_path / "rows.jsonl", tmp_path / "answers.jsonl", keep_columns="id", verbose=False)
    assert (told["rows"], told["bad"]) == (4, 1)
    written = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    ids = [line.pop("id") for line in written]
    assert ids == [0, None, 1, 2]
    assert set(written.pop(1).values()) == {None}
    expected = fitted.predict(rows)
    assert [list(line) for line in written] == [list(answer) for answer in expected]
    for line, answer in zip(written, expected, strict=True):
        for name, value in line.items():  # of a batch of another size
            assert value == answer[name] or pytest.approx(answer[name], rel=1e-4, abs=1e-5) == value
    (side,) = (json.loads(line) for line in (tmp_path / "answers.bad.jsonl").read_text().splitlines())
    assert (side["row"], side["location"]) == (2, f"{tmp_path / 'rows.jsonl'}, line 2")
