"""Classification of the rows of a table, whatever its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlkit.classification import labels
from dlkit.columns import Label
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.tabular import declare
from dlkit.tabular.columns import NumberCell
from dlkit.tabular.options import tabular_hparam
from dlkit.task import Task
from dlkit.tasks.tabular_classification.columns import MaybeLabel, answer_columns
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

    default_epochs = DefaultEpochs(16, fewest=400, most=10_000, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(256, "Number of training examples per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(3e-3, "Peak learning rate.", minimum=0)
    weight_decay: float = hparam(
        0.03, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0
    )
    monitor: str = hparam("log_loss", "Validation metric that selects the best epoch, without the prefix val_.")
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
    dropout: float = hparam(0.2, "Dropout rate.", minimum=0, maximum=0.95)
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
        self.labels_: list[str] = []  # of all targets
        self.target_labels_: dict[str, list[str]] = {}  # if there are several targets: those of each
        self.class_weights_: list[float] = []
        self.linear_model_: dict[str, Any] = {}  # a logistic regression, the baseline
        self.linear_labels_: list[str] = []  # the labels that it knows
        self.target_names = ["label"]
        declare.check_options(self)

    def answer_name(self, kind: str, target: str) -> str:
        """Return the name of an output of a kind for a target: `label`, or `label_TARGET` if there are several."""
        return f"{kind}_{target}" if len(self.target_names) > 1 else kind

    def labels_of(self, target: str) -> list[str]:
        """Return the labels of a target, in the order of its logits."""
        return self.target_labels_[target] if len(self.target_names) > 1 else self.labels_

    @property
    def sizes(self) -> list[int]:
        """Number of labels of each target."""
        return [len(self.labels_of(name)) for name in self.target_names]

    def declare(self, header: Sequence[str]) -> None:
        theirs = declare.find_targets(self, header)
        several = len(theirs) > 1
        if several and self.class_weights:
            raise HparamError(
                f"class weights are for one target. Received: {option('class_weights', self.class_weights)} and "
                f"{option('targets', self.targets)}. Leave out one."
            )
        self.inputs = declare.declare_inputs(self, header, theirs)
        self.target_names = [declare.tensor_name(name) for name in theirs] if several else ["label"]
        kind = MaybeLabel if several else Label
        self.target = {
            name: declare.renamed(kind(), name, their) for name, their in zip(self.target_names, theirs, strict=True)
        }
        for name in {*self.target_names, *answer_columns(self._suffixes)} & self.inputs.keys():
            raise DataError(
                f"the input {name!r} has the name of a prediction. Rename it: {option('columns', {f'{name}_2': name})}."
            )
        self.target |= declare.declare_extras(self)
        self._declare_answer()

    def _declare_answer(self) -> None:
        self.answer = declare.declare_answer(self, answer_columns(self._suffixes))

    @property
    def _suffixes(self) -> list[str]:
        return [self.answer_name("", name) for name in self.target_names]

    def build(self, examples: Table) -> Stages:
        from dlkit.tabular.linear_baseline import fit_linear
        from dlkit.tabular.preprocess import build_preprocess, build_tabular_network, learn_kinds

        learn_kinds(self, examples)
        self._declare_answer()
        learned = {name: labels.learn_labels(examples, self.target[name], name) for name in self.target_names}
        self.labels_ = list(dict.fromkeys(label for names in learned.values() for label in names))
        self.target_labels_ = learned if len(learned) > 1 else {}
        self.class_weights_ = (
            labels.compute_label_weights(self.class_weights, self.labels_, examples, self.target["label"])
            if self.class_weights
            else []
        )
        preprocess = build_preprocess(self, examples)
        network = build_tabular_network(self, examples, preprocess, self._head, "selu")
        self.linear_model_, self.linear_labels_ = {}, []
        if sum(self.sizes) <= MAX_LINEAR_LABELS:
            one_hot = np.concatenate(list(self.rows(self, examples).one_hot().values()), axis=1)
            self.linear_model_ = fit_linear(self.inputs, examples, preprocess, one_hot, logistic=True)
            self.linear_labels_ = self.labels_
        return Stages(preprocess, network, self._postprocess(network))

    def with_labels(self, stages: Stages) -> Stages:
        """Build stages for the current labels, which begin with those of `stages`; the network has new weights."""
        network = labels.widen_output(stages.network, "logits", len(self.labels_))
        return Stages(stages.preprocess, network, self._postprocess(network))

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        encoded_labels = [labels.encode_labels(target[name], self.labels_of(name)) for name in self.target_names]
        targets = tf.concat(encoded_labels, axis=1)
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

        return {"logits": EnsembleCrossentropy(self.sizes, self.label_smoothing)}

    def metrics(self) -> Any:
        from dlkit.tasks.tabular_classification.ensemble_logits import make_metrics

        return {"logits": make_metrics(self.sizes, self.class_weights_)}

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.tabular_classification.metrics import score_target

        scores: dict[str, dict[str, Any]] = {}
        for name in self.target_names:
            known = [row for row, label in enumerate(targets[name]) if label]
            if not known:
                raise DataError(f"no row has a label of {name!r} to compare with.")
            own = {kind: [answers[self.answer_name(kind, name)][row] for row in known] for kind in labels.SINGLE_ANSWER}
            scores[name] = score_target([targets[name][row] for row in known], own, self.labels_of(name))
        if len(scores) == 1:
            return next(iter(scores.values()))
        means = ("accuracy", "baseline_accuracy", *(["log_loss"] if not self.top_k else []))
        return {
            **{key: float(np.mean([each[key] for each in scores.values()])) for key in means},
            **{f"{key}_{name}": value for name, each in scores.items() for key, value in each.items()},
        }

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
        from dlkit.tabular.importance import measure_importance

        self._check_fitted()
        return measure_importance(self, self.read(data), repeats, plot)

    def explain(self, row: Mapping[str, Any], target: str = "") -> dict[str, Any]:
        """Explain a prediction by the contribution of each column to the score of the best label.

        Integrated gradients (Sundararajan et al., 2017, arXiv:1703.01365): contributions add up to the difference from
        the score of a reference row of medians and unknown categories.

        Args:
            row: a row, as `predict` takes it.
            target: with several targets, the one to explain; by default the first one.

        Returns:
            Dict of `label`, `score`, `reference_score`, and `contributions`: column to a number, largest first.

        Raises:
            DataError: there is no such target, or the row is invalid.

        Examples:
            >>> row = {name: values[0] for name, values in model.samples()["test"].items() if name in model.inputs}
            >>> explanation = model.explain(row)
            >>> explanation["contributions"].keys() == model.inputs.keys()
            True
        """
        from dlkit.tabular.attributions import attribute
        from dlkit.tasks.tabular_classification.ensemble_logits import average_logits, split_targets

        index = declare.index_of_target(self, target)
        name = self.target_names[index]
        answer = self.predict(row)
        best = answer[self.answer_name("label", name)]
        label = self.labels_of(name).index(best)

        def score(outputs: dict[str, tf.Tensor]) -> tf.Tensor:
            return tf.exp(average_logits(split_targets(outputs["logits"], self.sizes)[index])[:, label])

        contributions, reference = attribute(self, row, score)
        return {
            "label": best,
            "score": answer[self.answer_name("score", name)],
            "reference_score": reference,
            "contributions": contributions,
        }

    @staticmethod
    def samples() -> dict[str, Any]:
        return load_wines()

    def _head(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        from dlkit.tabular.ensemble_layers import MemberDense

        return {"logits": MemberDense(sum(self.sizes), dtype="float32", name="logits")(x)}

    def _postprocess(self, network: keras.Model) -> keras.Model:
        from dlkit.classification.rank_labels import RankLabels
        from dlkit.tabular.preprocess import with_reasons
        from dlkit.tasks.tabular_classification.ensemble_logits import AverageLogits

        logits = keras.Input(network.output["logits"].shape[1:], name="logits")
        answers: dict[str, Any] = {}
        ends = np.cumsum(self.sizes).tolist()
        for name, size, end in zip(self.target_names, self.sizes, ends, strict=True):
            own = logits if len(ends) == 1 else logits[..., end - size : end]
            rank = RankLabels(self.labels_of(name), top_k=self.top_k, name=self.answer_name("rank_labels", name))
            answers |= {self.answer_name(kind, name): value for kind, value in rank(AverageLogits()(own)).items()}
        return with_reasons(self, keras.Model({"logits": logits}, answers, name="postprocess"))
