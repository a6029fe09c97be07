"""Answers to a folder of images in COCO's form of results."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit.data.bytes import read_json_file
from dlkit.vision.coco import find_coco

if TYPE_CHECKING:
    from dlkit.tasks.object_detection.task import ObjectDetector


def write_coco_results(
    task: ObjectDetector, answers: Iterable[tuple[str, dict[str, Any]]], folder: Path, output: Path
) -> None:
    """COCO's results: a list of detections. The ids are those of the folder's annotations, else count from 1."""
    images, categories = _ids(folder)
    results = []
    for path, answer in answers:
        image = images.setdefault(Path(path).name, len(images) + 1)
        for box, label, score in zip(answer["boxes"], answer["labels"], answer["scores"], strict=True):
            top, left, bottom, right = box
            category = categories.get(label, task.labels_.index(label) + 1)
            results.append(
                {
                    "image_id": image,
                    "file_name": Path(path).name,
                    "category_id": category,
                    "category": label,
                    "bbox": [left, top, right - left, bottom - top],
                    "score": score,
                }
            )
    output.write_text(json.dumps(results))


def _ids(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ids by file name and by category, of COCO annotations in a folder or beside it; none where there are none."""
    file = find_coco(folder) or find_coco(folder.absolute().parent)
    data = read_json_file(file, str(file)) if file else {"images": [], "categories": []}
    images = {Path(image["file_name"]).name: image["id"] for image in data["images"]}
    return images, {category["name"]: category["id"] for category in data["categories"]}
