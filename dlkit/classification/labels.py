"""Labels of a classifier: from names to training targets, losses and weights, and from logits to names."""

from __future__ import annotations

import collections
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


def learn_labels(table: Table, column: Column, name: str = "label") -> list[str]:
    """Return the labels in the column `name` of a table: numbers in numeric order, then names in alphabetical order.

    Raises:
        DataError: there are fewer than two labels.
    """
    counts = _counts(table, column, name)
    if len(counts) < 2:
        where = "" if name == "label" else f" in column {name!r}"
        raise DataError(
            f"{table.source}: a classifier needs at least two labels{where}. Found: {', '.join(counts) or 'none'}, in "
            f"{len(table)} rows."
        )
    return sorted(counts, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def check_labels(table: Table, column: Column, known: list[str], name: str = "label") -> None:
    """Raise DataError for a label in the column `name` that training has not seen. An empty one is no label."""
    spelled = set(map(to_nfc, known))
    for row, labels in enumerate(read_labels(table, column, name)):
        for label in labels:
            if label and to_nfc(label) not in spelled:
                raise DataError(
                    f"{table.where(row)}: the label {label!r} does not occur in the training data. "
                    f"{nearest(label, known)} If it is another name of a known label, `evaluate` can rename it: "
                    f"{option('label_map', {label: known[0]})}."
                )


def encode_labels(names: tf.Tensor, known: list[str]) -> tf.Tensor:
    """Encode labels as multi-hot rows: (batch,) or (batch, labels) string, padded with "", to (batch, known) uint8."""
    names = names if names.shape.rank == 2 else names[:, tf.newaxis]
    return tf.cast(tf.reduce_any(names[:, :, tf.newaxis] == tf.constant(known), axis=1), tf.uint8)


def make_label_loss(multi_label: bool, smoothing: float) -> Any:
    """Return the cross-entropy loss on logits."""
    kind = keras.losses.BinaryCrossentropy if multi_label else keras.losses.CategoricalCrossentropy
    return {"logits": kind(from_logits=True, label_smoothing=smoothing)}


def make_label_metrics(multi_label: bool) -> Any:
    """Return the metrics of training: accuracy of rows or, for multi-label classification, of single labels."""
    if multi_label:
        return {"logits": [keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")]}  # 0 is a score of 0.5
    return {"logits": [keras.metrics.CategoricalAccuracy(name="accuracy")]}


def compute_label_weights(class_weights: str, known: list[str], table: Table, column: Column) -> list[float]:
    """Return the training weight of each label's rows.

    Args:
        class_weights: "" for none; "balanced", inversely proportional to the number of rows of a label, with mean 1
            over the rows; or weights by name, "cat=2,dog=0.5", where other labels have weight 1.
        known: the labels.
        table: the training rows.
        column: the column of their labels.

    Returns:
        A weight for each label; empty for no weights.
    """
    if not class_weights:
        return []
    counts = collections.Counter(name for names in read_labels(table, column) for name in set(names))
    return compute_class_weights(
        class_weights, known, np.array([counts[name] for name in known], np.float64), len(table)
    ).tolist()


def weigh_rows(encoded: tf.Tensor, weights: list[float]) -> tf.Tensor:
    """Compute the training weight of each row from its labels: (batch, known) of zeros and ones to (batch,) float32.

    A row with several labels has the mean of their weights, a row without labels has weight 1.
    """
    holds = tf.cast(encoded, tf.float32)
    count = tf.reduce_sum(holds, axis=-1)
    total = tf.reduce_sum(holds * tf.constant(weights, tf.float32), axis=-1)
    return tf.where(count > 0, total / tf.maximum(count, 1.0), 1.0)


class LabelRows(Rows):
    """Rows with labels, which must be those of training."""

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        inspect_labels(report, self, validation)

    def continued_from(self, model: Any) -> dict[str, Any]:
        task, column = self.task, self.task.target["label"]
        return {"class_weights_": compute_label_weights(task.class_weights, task.labels_, self.table, column)}

    def check(self) -> None:
        check_labels(self.table, self.task.target["label"], self.task.labels_)

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add whether the answer is correct and the score of the true label; for several labels, the missed and false
        ones."""
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


def rank_labels(known: list[str], multi_label: bool, top_k: int, score_threshold: float) -> keras.Model:
    """Make the postprocessing model of a classifier, from `logits` to the answer."""
    from dlkit.classification.rank_labels import RankLabels

    logits = keras.Input((len(known),), name="logits")
    ranked = RankLabels(known, multi_label, top_k, score_threshold, name="rank_labels")(logits)
    return keras.Model({"logits": logits}, ranked, name="postprocess")


def widen_output(network: keras.Model, layer: str, outputs: int) -> keras.Model:
    """Return a copy of a network with more outputs of its last layer, and freshly initialized weights.

    Args:
        network: a functional model.
        layer: the name of its last layer with weights, dense or a convolution.
        outputs: number of outputs of this layer.
    """
    config = network.get_config()
    (last,) = [part["config"] for part in config["layers"] if part["config"].get("name") == layer]
    last["units" if "units" in last else "filters"] = outputs
    return type(network).from_config(config)


def present_labels(answer: dict[str, Any]) -> dict[str, Any]:
    """Format a multi-label answer for people: `labels` and `scores` contain only the predicted ones."""
    if "num_labels" not in answer:
        return answer
    holding = answer["num_labels"]
    ranked = {"ranked_labels": answer["labels"], "ranked_scores": answer["scores"]}
    others = {name: value for name, value in answer.items() if name not in MULTI_ANSWER}
    return {"labels": answer["labels"][:holding], "scores": answer["scores"][:holding], **ranked, **others}


def _counts(table: Table, column: Column, name: str) -> collections.Counter:
    return collections.Counter(label for labels in read_labels(table, column, name) for label in labels if label)


def compute_class_weights(text: str, known: list[str], counts: np.ndarray, total: float) -> np.ndarray:
    """Return the weight of each class, as the option `class_weights` defines it.

    Args:
        text: "balanced", inversely proportional to the count of a class; or "name=2,...", where others weigh 1.
        known: the names of the classes.
        counts: number of rows, or pixels, of each class.
        total: number of rows, or pixels, in all.

    Raises:
        HparamError: the text has another form, or names an unknown class.
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
