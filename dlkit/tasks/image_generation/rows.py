"""Rows of images to learn from, and requests for images."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlkit.classification.labels import check_labels
from dlkit.columns import Label
from dlkit.data.split import evenly_spaced
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.lazy import keras
from dlkit.report import Report, most_common
from dlkit.rows import Rows
from dlkit.tasks.image_generation.metrics import MIN_IMAGES
from dlkit.tasks.image_generation.network_options import list_unused_options
from dlkit.vision.inspect_images import inspect_images
from dlkit.vision.png import displayed_pixels

if TYPE_CHECKING:
    from dlkit.tasks.image_generation.task import ImageGenerator
    from dlkit.training.store import Store

IMAGE, LABEL, SEED, STEPS = "image", "label", "seed", "steps"
SCORED_STEPS = 10  # denoising steps of the images that are scored every few epochs
PATCHES = "patches"  # the value of `feature_model` for features without a network
MIN_PER_LABEL = 10  # images per label to train the classifier on, on average
NEAR_CONSTANT = 2.0  # standard deviation of the levels, 0 to 255, of an image that shows nothing
MAX_EVALUATED = 1000  # images that are generated for an evaluation


class ImageRows(Rows):
    """Images, with or without labels."""

    task: ImageGenerator

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        report.remarks += list_unused_options(self.task)
        inspect_images(report, self.table, IMAGE)
        with contextlib.suppress(DataError):  # which the build raises
            height, width, channels = self.task.network_shape(self.table)
            kind = "grayscale" if channels == 1 else "color"
            report.statistics["generated images"] = (
                f"{height} x {width}, {kind}; others are resized ({self.task.resize})"
            )
        self._inspect_content(report)
        if self._has_labels():
            names = [label for row in range(len(self)) for label in self.classes_of(row) or ["(none)"]]
            report.statistics["labels"] = most_common({name: names.count(name) for name in dict.fromkeys(names)})
        if len(self) < MIN_IMAGES:
            report.add_warning(f"{len(self)} images are very few to learn from")

    def _inspect_content(self, report: Report) -> None:
        """Warn of images that occur several times, and of those that show next to nothing."""
        first, repeated, blank = dict[bytes, int](), list[str](), list[str]()
        for row in report.sample(len(self), 0.5):
            try:
                pixels = displayed_pixels(self.table.raw(row, self.task.target)[IMAGE])
            except (DataError, OSError, ValueError):
                continue  # `inspect_images` names it
            where = self.table.where(row)
            if pixels.std() < NEAR_CONSTANT:
                blank.append(where)
            digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
            if first.setdefault(digest, row) != row:
                repeated.append(f"{where} is {self.table.where(first[digest])}")
        if blank:
            report.add_warning(f"{len(blank)} images have a single color", blank, "Remove those that are mistakes.")
        if repeated:
            cure = "The model generates such images more often. Remove the copies."
            report.add_warning(f"{len(repeated)} images occur more than once", repeated, cure)

    def check(self) -> None:
        if self._has_labels():
            check_labels(self.table, self.task.inputs[LABEL], self.task.labels_)

    def classes_of(self, row: int) -> Iterable[str]:
        if not self._has_labels():
            return []
        try:
            label = self.task.inputs[LABEL].raw(self.table.columns[LABEL][row]).decode()
        except DataError:
            return []
        return [label] if label else []

    def before_training(self, store: Store) -> None:
        self.task.stages_ = replace(self.task.stages_, judge=self._make_judge(store))

    def _make_judge(self, store: Store) -> keras.Model | None:
        from dlkit.tasks.image_generation.judge import choose_images, load_judge, train_judge

        labels, given = self.task.labels_, self.task.feature_model
        if given and given != PATCHES:
            return load_judge(given, self.task.shape_, labels)
        classes = store.every(lambda row: row[0]["label_id"])
        labeled = np.flatnonzero(classes)
        if given == PATCHES or len(labels) < 2 or len(labeled) < MIN_PER_LABEL * len(labels):
            return None
        rows = labeled[choose_images(len(labeled), int(np.prod(self.task.shape_)))]
        images = store.rows_at(rows)[0]["image"]
        return train_judge(images, classes[rows] - 1, len(labels))

    def answer_metrics(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        labels = self.table.raw_column(LABEL, self.task.inputs[LABEL]) if self._has_labels() else []
        return self.task.score(targets, answers, [label.decode() for label in labels])

    def _label(self) -> str | None:
        return LABEL if self._has_labels() else None

    def requests(self) -> Table:
        """Return a request for each label, and one without."""
        labels = ["", *self.task.labels_]
        columns = {LABEL: labels, SEED: list(range(len(labels)))}
        return Table(self.table.source, columns, lambda row: f"request {row}")

    @classmethod
    def synthetic(cls, task: Any, count: int) -> list[dict[str, Any]]:
        labels = ["", *task.labels_]
        rows = [{LABEL: labels[number % len(labels)], SEED: number} for number in range(count)]
        return [{name: row.get(name, column.default) for name, column in task.inputs.items()} for row in rows]

    def to_evaluate(self) -> Table:
        """Return up to 1,000 rows, each with a seed of its own."""
        table = self.table
        if len(table) > MAX_EVALUATED:
            table = table.take(evenly_spaced(len(table), MAX_EVALUATED))
        if SEED in table.columns:
            return table
        return replace(table, columns={**table.columns, SEED: list(range(len(table)))})

    def calibrate(self, store: Store) -> dict[str, Any]:
        """Find what scores of a variational autoencoder are usual: those of these validation images."""
        if self.task.network != "vae":
            return {}
        from dlkit.tasks.image_generation.image_scores import PERCENTILES, find_percentiles, objective_of

        images = store.all()[0]["image"]
        return {PERCENTILES: find_percentiles(objective_of(self.task.stages_.network), images)}

    def evaluation_warnings(self) -> list[str]:
        if len(self) <= MAX_EVALUATED:
            return []
        return [f"{MAX_EVALUATED} of {len(self)} images, evenly spaced, are compared with as many generated ones"]

    def to_score(self) -> Table:
        """Return these rows with fewer denoising steps, as their images are only compared with one another."""
        if STEPS not in self.task.inputs:
            return self.table
        steps = [min(SCORED_STEPS, self.task.sampling_steps)] * len(self)
        return replace(self.table, columns={**self.table.columns, STEPS: steps})

    def epoch_picture(self, answers: dict[str, list]) -> bytes | None:
        """Return a sheet of generated images in the order of their labels."""
        from dlkit.tasks.image_generation.pictures import tile_by_label

        column = self.task.inputs[LABEL]
        labels = self.table.raw_column(LABEL, column) if self._has_labels() else [b""] * len(self)
        return tile_by_label(answers["image_bytes"], labels)

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add the label and the seed of the generated image, and its mean level."""
        del target
        request = self.table.raw(row, {name: self.task.inputs[name] for name in (LABEL, SEED)})
        named = {"true_label": request[LABEL].decode(), "seed": int(request[SEED])}
        return [{**named, **answer, "mean_level": float(np.mean(answer["image"]))}]

    def _has_labels(self) -> bool:
        return LABEL in self.table.columns and isinstance(self.task.inputs[LABEL], Label)
