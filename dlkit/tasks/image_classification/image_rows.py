"""Rows of images with labels, and the augmentation that they suggest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from dlkit.classification.labels import LabelRows
from dlkit.errors import DataError
from dlkit.report import Report

if TYPE_CHECKING:
    from dlkit.tasks.image_classification.task import ImageClassifier


VALIDATION_FRACTION, MAX_VALIDATION_ROWS = 0.1, 2000  # rows held out where no fraction is given


class ImageRows(LabelRows):
    """Images with labels."""

    task: ImageClassifier

    def hold_out(self, fraction: float) -> tuple[Self, Self | None]:
        if fraction < 0:
            fraction = min(VALIDATION_FRACTION, MAX_VALIDATION_ROWS / max(len(self), 1))
        return super().hold_out(fraction)

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        try:
            shape = self.task.network_shape(self.table)
        except DataError:
            return  # no image can be read, which is an error when the task is built
        report.statistics["augmentation"] = self.task.choose_augmentation(self.table, shape).as_text()

    def continued_from(self, model: Any) -> dict[str, Any]:
        shape = model.stages_.network.input["image"].shape[1:]
        chosen = self.task.choose_augmentation(self.table, shape).as_dict()
        return {**super().continued_from(model), "augmentation_": chosen}
