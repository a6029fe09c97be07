"""Predictions for a folder of images in COCO's result format."""

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
    """Write predictions in COCO's result format, a list of detections.

    Args:
        task: the fitted task.
        answers: path of each image, and its prediction.
        folder: folder of the images. Ids are taken from COCO annotations in it or next to it, else count from 1.
        output: json file to write.
    """
    images, categories = _read_coco_ids(folder)
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


def _read_coco_ids(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ids by file name and by category from COCO annotations in a folder or next to it, if any."""
    parent = folder.absolute().parent
    own = parent / "annotations" / f"instances_{folder.absolute().name}.json"  # beside those of other folders
    file = find_coco(folder) or (own if own.is_file() else find_coco(parent))
    data = read_json_file(file, str(file)) if file else {"images": [], "categories": []}
    images = {Path(image["file_name"]).name: image["id"] for image in data["images"]}
    return images, {category["name"]: category["id"] for category in data["categories"]}
