"""A whole folder, answered and written: the answers of `predict`, and a broken file that stops nothing."""

import json

import numpy as np
import pytest
from test_edges import picture

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
    if fitted.task_name() == "object_detection":
        check_coco_results(json.loads(output.read_text()), expected)
    elif fitted.task_name() == "image_segmentation":
        from dlkit.tasks.image_segmentation.mask_png import decode_mask

        for number, answer in enumerate(expected):
            np.testing.assert_array_equal(decode_mask((output / f"{number}.png").read_bytes()), answer["mask"])
    else:
        written = [json.loads(line) for line in output.read_text().splitlines()]
        assert [line["file"] for line in written] == [str(folder / f"{number}.png") for number in range(3)]
        assert [line["label"] for line in written] == [answer["label"] for answer in expected]


def check_coco_results(results, expected):
    for number, answer in enumerate(expected):
        own = [result for result in results if result["file_name"] == f"{number}.png"]
        assert {result["image_id"] for result in own} <= {number + 1}
        assert [result["category"] for result in own] == answer["labels"]
        for result, (top, left, bottom, right) in zip(own, answer["boxes"], strict=True):
            np.testing.assert_allclose(result["bbox"], [left, top, right - left, bottom - top], atol=0.05)


def test_an_output_that_exists_is_not_replaced(fitted, folder):
    with pytest.raises(DlkitError, match="exists already"):
        answer_folder(fitted, folder, folder)
