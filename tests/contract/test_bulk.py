"""A whole folder, answered and written: the answers of `predict`, and a broken file that stops nothing."""

import json

import knowledge
import pytest
from inputs import picture

from dlkit.cli.bulk import answer_folder
from dlkit.columns import Image
from dlkit.errors import DlkitError


@pytest.fixture
def folder(fitted, tmp_path):
    if not any(isinstance(column, Image) for column in fitted.inputs.values()):
        pytest.skip("folders hold images")
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(picture("RGB", (40 + number, 30)))
    (folder / "3.png").write_bytes(b"no image")
    return folder


def test_every_file_has_its_answer(fitted, folder, capsys):
    output = folder.parent / "new" / "answers"
    answer_folder(fitted, folder, output)
    said = capsys.readouterr()
    assert "1 of 4 files left out" in said.err
    assert "3.png" in said.err
    assert "3 answers" in said.out
    expected = [fitted.predict(folder / f"{number}.png") for number in range(3)]
    check = knowledge.of(fitted.task_name()).check_answer_file
    if check:
        check(output, expected)
        return
    written = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["file"] for line in written] == [str(folder / f"{number}.png") for number in range(3)]
    assert [line["label"] for line in written] == [answer["label"] for answer in expected]


def test_an_output_that_exists_is_not_replaced(fitted, folder):
    with pytest.raises(DlkitError, match="exists already"):
        answer_folder(fitted, folder, folder)
