"""The sample of digits on photographs: boxes and masks that fit the ink, and parts that share nothing."""

import itertools
import sys

import numpy as np
import pytest

from dlkit.columns import Image, Labels
from dlkit.data.read import read
from dlkit.errors import DlkitError
from dlkit.tasks.image_segmentation.columns import Mask
from dlkit.tasks.image_segmentation.mask_rows import check_masks
from dlkit.tasks.object_detection.columns import CrowdBoxes
from dlkit.vision import scenes as module
from dlkit.vision.scenes import detection_sample, scenes, segmentation_sample


@pytest.fixture(scope="module")
def drawn():
    return {part: scenes(80, part=part) for part in ("train", "validation", "test")}


def test_boxes_are_exact_around_the_ink(drawn):
    for data in drawn.values():
        for boxes, labels, mask in zip(data["boxes"], data["labels"], data["mask"], strict=True):
            inked = np.zeros_like(mask, bool)
            for (ymin, xmin, ymax, xmax), label in zip(boxes.astype(int), labels, strict=True):
                ink = mask[ymin:ymax, xmin:xmax] == 1 + int(label)
                inked[ymin:ymax, xmin:xmax] |= ink
                for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]):
                    assert edge.any()
            assert (inked == (mask > 0)).all()  # no ink beside the boxes


def test_what_a_scene_holds(drawn):
    counts = [len(boxes) for data in drawn.values() for boxes in data["boxes"]]
    assert min(counts) == 0
    assert max(counts) == 6
    assert 0.02 < np.mean(np.array(counts) == 0) < 0.2
    boxes = np.concatenate([boxes for data in drawn.values() for boxes in data["boxes"]])
    assert boxes.dtype == np.float32
    heights = boxes[:, 2] - boxes[:, 0]
    assert (heights.min(), heights.max()) == (14, 40)
    assert boxes.min() >= 0
    assert boxes.max() <= 128
    image, mask = drawn["train"]["image"][0], drawn["train"]["mask"][0]
    assert (image.shape, image.dtype, mask.shape, mask.dtype) == ((128, 128, 3), np.uint8, (128, 128), np.uint8)
    assert {label for labels in drawn["test"]["labels"] for label in labels} == set("0123456789")


def test_overlaps_are_slight(drawn):
    for boxes in drawn["train"]["boxes"]:
        for index, (ymin, xmin, ymax, xmax) in enumerate(boxes):
            for other in boxes[index + 1 :]:
                height = min(ymax, other[2]) - max(ymin, other[0])
                width = min(xmax, other[3]) - max(xmin, other[1])
                smaller = min((ymax - ymin) * (xmax - xmin), (other[2] - other[0]) * (other[3] - other[1]))
                assert max(height, 0) * max(width, 0) <= 0.1 * smaller


def test_ink_stands_out(drawn):
    weights = np.array([0.299, 0.587, 0.114])
    apart = []
    for image, mask, boxes in zip(*(drawn["validation"][name] for name in ("image", "mask", "boxes")), strict=True):
        gray = image @ weights
        for ymin, xmin, ymax, xmax in boxes.astype(int):
            window = np.s_[ymin:ymax, xmin:xmax]
            ink = mask[window] > 0
            if (~ink).any():
                apart.append(abs(np.median(gray[window][ink]) - np.median(gray[window][~ink])))
    assert np.quantile(apart, 0.1) > 80


def test_the_same_at_each_call_and_longer_lists_begin_alike(drawn):
    again = scenes(5, part="train")
    for name, values in again.items():
        for value, before in zip(values, drawn["train"][name], strict=False):
            np.testing.assert_array_equal(value, before)


def test_parts_share_neither_digits_nor_photographs():
    from dlkit.vision.digits import digits

    columns = sorted(module._COLUMNS.values())
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(columns))
    parts = digits()
    bytes_of = {part: {image.tobytes() for image in data["image"]} for part, data in parts.items()}
    assert not bytes_of["train"] & bytes_of["test"]
    assert not bytes_of["train"] & bytes_of["validation"]


@pytest.mark.parametrize("size", [32, 64, 200])
def test_other_sizes(size):
    data = scenes(6, part="test", size=size)
    boxes = np.concatenate(data["boxes"])
    assert data["image"][0].shape == (size, size, 3)
    assert boxes.max() <= size
    assert (boxes[:, 2] - boxes[:, 0]).max() <= 40 * size / 128


@pytest.mark.slow
def test_samples_are_sources():
    for part, count in (("train", 400), ("validation", 60), ("test", 100)):
        boxes = read(detection_sample()[part], {"image": Image(), "boxes": CrowdBoxes(), "labels": Labels()})
        assert len(boxes) == count
        assert boxes.raw(0, {"boxes": CrowdBoxes()})["boxes"].shape == (len(boxes.columns["labels"][0]), 5)
        masks = read(segmentation_sample()[part], {"image": Image(), "mask": Mask()})
        assert len(masks) == count
        assert list(masks.classes) == ["background", "digit"]
        assert check_masks(masks.take(range(10))) == 2


def test_refused(monkeypatch):
    with pytest.raises(DlkitError, match="no split 'dev'"):
        scenes(1, part="dev")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DlkitError, match=r'pip install "dlkit-keras\[samples\]"'):
        scenes(1, part="train")
