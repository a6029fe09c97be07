"""Classification of the rows of a table, whatever its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlkit.classification import labels
from dlkit.classification.metrics import score_single
from dlkit.columns import Label
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.tabular import declare
from dlkit.tabular.columns import NumberCell
from dlkit.tabular.options import tabular_hparam
from dlkit.task import Task
from dlkit.tasks.tabular_classification.rows import ClassifiedRows
from dlkit.tasks.tabular_classification.sample import MEASUREMENTS, load_wines

MAX_LINEAR_LABELS = 20  # labels up to which a logistic regression is fitted as a baseline


@dataclass(kw_only=True)
class TabularClassifier(Task):
    """Classifies the rows of a table: numbers, categories, booleans, dates and free text, any of which can be missing.

    Examples:
        >>> model = dlkit.TabularClassifier(network="mlp", epochs=5)
        >>> data = model.samples()
        >>> history = model.fit(data["train"], verbose=0)
        >>> answer = model.predict({name: values[0] for name, values in data["test"].items() if name != "label"})
        >>> sorted(answer)
        ['label', 'labels', 'score', 'scores']
    """

    default_epochs = DefaultEpochs(15, fewest=400, most=10_000, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(256, "Number of training examples per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(2e-3, "Peak learning rate.", minimum=0)
    weight_decay: float = hparam(
        0.01, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0
    )
    targets: str = tabular_hparam("targets")
    categorical: str = tabular_hparam("categorical")
    ignore: str = tabular_hparam("ignore")
    weight_column: str = tabular_hparam("weight_column")
    group_column: str = tabular_hparam("group_column")
    time_column: str = tabular_hparam("time_column")
    network: Literal["mlp", "resnet", "ft_transformer", "realmlp", "tabm"] = tabular_hparam("network")
    width: int = tabular_hparam("width")
    blocks: int = tabular_hparam("blocks")
    members: int = tabular_hparam("members")
    dropout: float = tabular_hparam("dropout")
    number_scaling: Literal["auto", "quantile", "robust"] = tabular_hparam("number_scaling")
    number_embedding: Literal["auto", "none", "piecewise", "periodic"] = tabular_hparam("number_embedding")
    max_categories: int = tabular_hparam("max_categories")
    max_tokens: int = tabular_hparam("max_tokens")
    mask_rate: float = tabular_hparam("mask_rate")
    label_smoothing: float = hparam(
        0.0,
        "Label smoothing; 0 disables it. This fraction of the target probability is spread evenly over all labels.",
        minimum=0,
        maximum=0.9,
    )
    class_weights: str = hparam(
        "",
        'Class weights: "balanced" or "spam=2,ham=1". With "balanced", weights are inversely proportional to the '
        "number of training examples of a label, with a mean of 1 over the examples. With weights by name, other "
        "labels have a weight of 1.",
    )
    top_k: int = hparam(0, "Number of labels to return; 0 returns all. The best labels come first.", minimum=0)

    public_methods = (*Task.public_methods, "explain", "importance")
    inputs = {name: NumberCell() for name in MEASUREMENTS}  # of the sample; those of a table are declared
    target = labels.SINGLE_TARGET
    answer = labels.SINGLE_ANSWER
    rows = ClassifiedRows
    primary_metric = "accuracy"
    training_only = ("label_smoothing", "class_weights", "mask_rate")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kinds_: dict[str, str] = {}  # of the inputs
        self.labels_: list[str] = []
        self.class_weights_: list[float] = []
        self.linear_model_: dict[str, Any] = {}  # a logistic regression, the baseline
        self.linear_labels_: list[str] = []  # the labels that it knows
        declare.check_options(self)

    def declare(self, header: Sequence[str]) -> None:
        names = declare.find_targets(self, header)
        if len(names) > 1:
            raise DataError(
                f"a classifier predicts one column. Received: {option('targets', self.targets)}. Train a model for "
                "each."
            )
        self.inputs = declare.declare_inputs(self, header, names)
        if "label" in self.inputs:
            raise DataError(
                "the input 'label' has the name of the prediction. Rename it: "
                f"{option('columns', {'label_2': 'label'})}."
            )
        target = declare.renamed(Label(), "label", names[0])
        self.target = {"label": target, **declare.declare_extras(self)}
        self.answer = declare.declare_answer(self, labels.SINGLE_ANSWER)

    def build(self, examples: Table) -> Stages:
        from dlkit.tabular.linear_baseline import fit_linear
        from dlkit.tabular.preprocess import build_preprocess, build_tabular_network, learn_kinds

        learn_kinds(self, examples)
        self.answer = declare.declare_answer(self, labels.SINGLE_ANSWER)
        column = self.target["label"]
        self.labels_ = labels.learn_labels(examples, column)
        self.class_weights_ = labels.compute_label_weights(self.class_weights, self.labels_, examples, column)
        preprocess = build_preprocess(self, examples)
        network = build_tabular_network(self, examples, preprocess, self._head, "selu")
        self.linear_model_, self.linear_labels_ = {}, []
        if len(self.labels_) <= MAX_LINEAR_LABELS:
            index = {name.encode(): number for number, name in enumerate(self.labels_)}
            one_hot = np.eye(len(index))[[index[name] for name in examples.raw_column("label", column)]]
            self.linear_model_ = fit_linear(self.inputs, examples, preprocess, one_hot, logistic=True)
            self.linear_labels_ = self.labels_
        return Stages(preprocess, network, self._postprocess(network))

    def with_labels(self, stages: Stages) -> Stages:
        """Build stages for the current labels, which begin with those of `stages`; the network has new weights."""
        network = labels.widen_output(stages.network, "logits", len(self.labels_))
        return Stages(stages.preprocess, network, self._postprocess(network))

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        targets = labels.encode_labels(target["label"], self.labels_)
        encoded = self.stages_.preprocess(features), {"logits": targets}
        weights = [target[declare.tensor_name(self.weight_column)]] if self.weight_column else []
        if self.class_weights:
            weights.append(labels.weigh_rows(targets, self.class_weights_))
        return (*encoded, tf.reduce_prod(tf.stack(weights), axis=0)) if weights else encoded

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.tabular.mask_cells import mask_cells

        return mask_cells(tensors, self.mask_rate, self.seed, step) if self.mask_rate else tensors, target

    def loss(self) -> Any:
        from dlkit.tasks.tabular_classification.ensemble_logits import EnsembleCrossentropy

        return {"logits": EnsembleCrossentropy(self.label_smoothing)}

    def metrics(self) -> Any:
        from dlkit.tasks.tabular_classification.ensemble_logits import make_metrics

        return {"logits": make_metrics()}

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.tabular_classification.metrics import score_probabilities

        metrics = score_single(targets["label"], answers, self.labels_)
        if len(answers["labels"][0]) < len(self.labels_):
            return metrics
        index = {name.encode(): number for number, name in enumerate(self.labels_)}
        ranked = np.array([[index[name] for name in names] for names in answers["labels"]])
        scores = np.zeros(ranked.shape)
        np.put_along_axis(scores, ranked, np.array(answers["scores"], np.float64), axis=1)
        true = np.array([index[name] for name in targets["label"]])
        return {"accuracy": metrics["accuracy"], **score_probabilities(true, scores), **metrics}

    def importance(self, data: Any, *, repeats: int = 3, plot: str | Path | None = None) -> dict[str, dict[str, float]]:
        """Measure the importance of each column: the decrease of `accuracy` if its cells are shuffled.

        Args:
            data: labeled data, as in `fit`; at most 1,000 rows are used.
            repeats: number of shuffles of each column.
            plot: image file for a plot; None writes none.

        Returns:
            Column to `mean` and `deviation` over the shuffles, most important first.

        Raises:
            DataError: the data cannot be read.

        Examples:
            >>> importance = model.importance(model.samples()["test"], repeats=1)
            >>> len(importance) == len(model.inputs)
            True
        """
        from dlkit.plots import save_figure
        from dlkit.tabular.importance import permutation_importance, plot_importance

        self._check_fitted()
        found = permutation_importance(self, self.read(data), repeats)
        if plot:
            save_figure(plot_importance(found, self.primary_metric), plot)
        return found

    def explain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Explain a prediction by the contribution of each column to the score of the best label.

        Integrated gradients (Sundararajan et al., 2017, arXiv:1703.01365): contributions add up to the difference from
        the score of a reference row of medians and unknown categories.

        Args:
            row: a row, as `predict` takes it.

        Returns:
            Dict of `label`, `score`, `reference_score`, and `contributions`: column to a number, largest first.

        Examples:
            >>> row = {name: values[0] for name, values in model.samples()["test"].items() if name in model.inputs}
            >>> explanation = model.explain(row)
            >>> explanation["contributions"].keys() == model.inputs.keys()
            True
        """
        from dlkit.graph_predictor import inputs_to_table
        from dlkit.tabular.attributions import attribute
        from dlkit.tasks.tabular_classification.ensemble_logits import average_logits

        answer = self.predict(row)
        raw = inputs_to_table(row, self.inputs)[0].raw(0, self.inputs)
        label = self.labels_.index(answer["label"])
        members = self.stages_.network.output["logits"].shape[1]

        def score(outputs: dict[str, tf.Tensor]) -> tf.Tensor:
            return tf.exp(average_logits(outputs["logits"])[:, label]) / members

        contributions, reference = attribute(self, raw, score)
        ordered = dict(sorted(contributions.items(), key=lambda item: -abs(item[1])))
        return {
            "label": answer["label"],
            "score": answer["score"],
            "reference_score": reference,
            "contributions": ordered,
        }

    @staticmethod
    def samples() -> dict[str, Any]:
        return load_wines()

    def _head(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        from dlkit.tabular.ensemble_layers import MemberDense

        return {"logits": MemberDense(len(self.labels_), dtype="float32", name="logits")(x)}

    def _postprocess(self, network: keras.Model) -> keras.Model:
        from dlkit.classification.rank_labels import RankLabels
        from dlkit.tabular.preprocess import with_reasons
        from dlkit.tasks.tabular_classification.ensemble_logits import AverageLogits

        logits = keras.Input(network.output["logits"].shape[1:], name="logits")
        ranked = RankLabels(self.labels_, top_k=self.top_k, name="rank_labels")(AverageLogits()(logits))
        return with_reasons(self, keras.Model({"logits": logits}, ranked, name="postprocess"))
