"""Labels of a classifier: from names to training targets, losses and weights, and from logits to names."""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import Any, Self

import numpy as np

from dlkit.classification.inspect_labels import inspect_labels, read_labels
from dlkit.columns import Column, Count, Label, Labels, Score, Scores
from dlkit.data.match import to_nfc
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError
from dlkit.hparams import nearest
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.report import Report
from dlkit.rows import Rows

SINGLE_TARGET: dict[str, Column] = {"label": Label()}
MULTI_TARGET: dict[str, Column] = {"label": Labels()}
SINGLE_ANSWER: dict[str, Column] = {
    "label": Label(),
    "score": Score(),
    "labels": Labels(ranked_by="scores"),
    "scores": Scores(),
}
MULTI_ANSWER: dict[str, Column] = {
    "labels": Labels(ranked_by="scores"),
    "scores": Scores(),
    "num_labels": Count(),
}


def learn_labels(table: Table, column: Column) -> list[str]:
    """The labels of a table, numbers in their order and names in theirs.

    Raises:
        DataError: there are fewer than two, so that there is nothing to tell apart.
    """
    counts = _counts(table, column)
    if len(counts) < 2:
        raise DataError(
            f"{table.source}: a classifier needs at least two labels. Found: {', '.join(counts) or 'none'}, in "
            f"{len(table)} rows."
        )
    return sorted(counts, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def check_labels(table: Table, column: Column, known: list[str], name: str = "label") -> None:
    """Raises DataError for a label in the column `name` that training never saw, and says where it stands."""
    spelled = set(map(to_nfc, known))
    for row, labels in enumerate(read_labels(table, column, name)):
        for label in labels:
            if to_nfc(label) not in spelled:
                raise DataError(
                    f"{table.where(row)}: the label {label!r} does not occur in the training data. "
                    f"{nearest(label, known)} If it is another name of a known label, `evaluate` can rename it: "
                    f"{option('label_map', {label: known[0]})}."
                )


def encode_labels(names: tf.Tensor, known: list[str]) -> tf.Tensor:
    """(batch,) or, padded with the empty name, (batch, labels) string to (batch, known) uint8: 1 where one holds."""
    names = names if names.shape.rank == 2 else names[:, tf.newaxis]
    return tf.cast(tf.reduce_any(names[:, :, tf.newaxis] == tf.constant(known), axis=1), tf.uint8)


def make_label_loss(multi_label: bool, smoothing: float) -> Any:
    """Cross-entropy on logits."""
    kind = keras.losses.BinaryCrossentropy if multi_label else keras.losses.CategoricalCrossentropy
    return {"logits": kind(from_logits=True, label_smoothing=smoothing)}


def make_label_metrics(multi_label: bool) -> Any:
    """What to watch while training: accuracy, of rows or, with several labels, of single labels."""
    if multi_label:
        return {"logits": [keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")]}  # 0 is a score of 0.5
    return {"logits": [keras.metrics.CategoricalAccuracy(name="accuracy")]}


def compute_label_weights(class_weights: str, known: list[str], table: Table, column: Column) -> list[float]:
    """The weight of each label's rows in training.

    Args:
        class_weights: "" for none; "balanced", in inverse proportion to a label's rows, with mean 1 over the rows; or
            weights by name, "cat=2,dog=0.5", where the labels left out weigh 1.
        known: the labels.
        table: the training rows.
        column: of their labels.

    Returns:
        A weight for each label; none where rows weigh alike.
    """
    if not class_weights:
        return []
    counts = collections.Counter(name for names in read_labels(table, column) for name in set(names))
    return compute_class_weights(
        class_weights, known, np.array([counts[name] for name in known], np.float64), len(table)
    ).tolist()


def weigh_rows(encoded: tf.Tensor, weights: list[float]) -> tf.Tensor:
    """(batch, known) of zeros and ones to (batch,) float32: how much each row weighs in training.

    A row of several labels weighs the mean of theirs, one of none weighs 1.
    """
    holds = tf.cast(encoded, tf.float32)
    count = tf.reduce_sum(holds, axis=-1)
    total = tf.reduce_sum(holds * tf.constant(weights, tf.float32), axis=-1)
    return tf.where(count > 0, total / tf.maximum(count, 1.0), 1.0)


def respelled(table: Table, name: str, column: Column, known: list[str]) -> Table:
    """The table with its labels as a model spells them that was trained when names were not yet in the form NFC."""
    ways = {to_nfc(label).encode(): label.encode() for label in known if to_nfc(label) != label}
    if not ways:
        return table
    raw = table.raw_column(name, column)
    values = [[ways.get(label, label) for label in row] if isinstance(row, list) else ways.get(row, row) for row in raw]
    return dataclasses.replace(table, columns={**table.columns, name: values})


class LabelRows(Rows):
    """Rows with labels, which must be those of training."""

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        inspect_labels(report, self, validation)

    def continued_from(self, model: Any) -> dict[str, Any]:
        task, column = self.task, self.task.target["label"]
        return {"class_weights_": compute_label_weights(task.class_weights, task.labels_, self.table, column)}

    def to_encode(self) -> Table:
        return respelled(self.table, "label", self.task.target["label"], self.task.labels_)

    def to_evaluate(self) -> Table:
        return self.to_encode()

    def check(self) -> None:
        check_labels(self.table, self.task.target["label"], self.task.labels_)

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Whether the answer is right, and the score of the true label; of several, which are missed and false."""
        made = super().with_errors(row, target, answer)[0]
        true = target["label"]
        if not isinstance(true, list):
            scores = dict(zip(answer["labels"], answer["scores"], strict=True))
            right = to_nfc(answer["label"]) == to_nfc(made["true_label"])
            return [{**made, "correct": right, "true_score": scores.get(true.decode())}]
        names = [label.decode() for label in true if label]
        missed = [name for name in names if name not in answer["labels"]]
        false = [name for name in answer["labels"] if name not in names]
        return [{**made, "true_label": names, "correct": not (missed or false), "missed": missed, "false": false}]


def rank_labels(known: list[str], multi_label: bool, top_k: int, threshold: float) -> keras.Model:
    """The postprocessing model of a classifier: `logits` to the answer."""
    from dlkit.classification.rank_labels import RankLabels

    logits = keras.Input((len(known),), name="logits")
    ranked = RankLabels(known, multi_label, top_k, threshold, name="rank_labels")(logits)
    return keras.Model({"logits": logits}, ranked, name="postprocess")


def widen_output(network: keras.Model, layer: str, outputs: int) -> keras.Model:
    """A network as another one, with so many outputs of its last layer with weights, all of them fresh.

    Args:
        network: functional.
        layer: the name of that layer, dense or a convolution.
        outputs: how many.
    """
    config = network.get_config()
    (last,) = [part["config"] for part in config["layers"] if part["config"].get("name") == layer]
    last["units" if "units" in last else "filters"] = outputs
    return type(network).from_config(config)


def present_labels(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer of several labels for a person: `labels` and `scores` of those that hold alone come first."""
    if "num_labels" not in answer:
        return answer
    holding = answer["num_labels"]
    ranked = {"ranked_labels": answer["labels"], "ranked_scores": answer["scores"]}
    others = {name: value for name, value in answer.items() if name not in MULTI_ANSWER}
    return {"labels": answer["labels"][:holding], "scores": answer["scores"][:holding], **ranked, **others}


def _counts(table: Table, column: Column) -> collections.Counter:
    return collections.Counter(name for names in read_labels(table, column) for name in names)


def compute_class_weights(text: str, known: list[str], counts: np.ndarray, total: float) -> np.ndarray:
    """The weight of each class, as the hparam `class_weights` gives them.

    Args:
        text: "balanced", in inverse proportion to a class's count; or "name=2,...", where the others weigh 1.
        known: the names of the classes.
        counts: how many rows, or pixels, each has.
        total: how many there are.

    Raises:
        HparamError: it is neither, or names a class that there is not.
    """
    if text == "balanced":
        return total / (len(known) * np.maximum(counts, 1))
    return _parse_weights(text, known)


def _parse_weights(text: str, known: list[str]) -> np.ndarray:
    weights = np.ones(len(known))
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.rpartition("="))
        if not equals:
            raise HparamError(f'{option("class_weights")} must be "balanced" or "name=number,...". Received: {text!r}.')
        if name not in known:
            raise HparamError(f"{option('class_weights')} names an unknown label {name!r}. {nearest(name, known)}")
        weights[known.index(name)] = _weight(number, part)
    return weights


def _weight(number: str, part: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise HparamError(f"{option('class_weights')} must be numbers, at least 0. Received: {part.strip()!r}.")
    return weight
