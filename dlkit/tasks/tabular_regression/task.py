"""Regression on the rows of a table, whatever its columns: numbers with quantiles and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlkit.columns import Column
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError
from dlkit.hparams import hparam
from dlkit.lazy import keras, ops, tf
from dlkit.options import option
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.tabular import declare
from dlkit.tabular.columns import CategoryCell, NumberCell
from dlkit.tabular.options import tabular_hparam
from dlkit.task import Task
from dlkit.tasks.tabular_regression.columns import (
    Levels,
    LowerBound,
    Prediction,
    QuantileValues,
    TargetNumber,
    UpperBound,
)
from dlkit.tasks.tabular_regression.rows import NumberRows
from dlkit.tasks.tabular_regression.sample import PATIENT_COLUMNS, load_diabetes_table

ANSWERS: dict[str, Column] = {
    "value": Prediction(),
    "quantiles": QuantileValues(),
    "lower": LowerBound(),
    "upper": UpperBound(),
}
LEVELS = "quantile_levels"


@dataclass(kw_only=True)
class TabularRegressor(Task):
    """Predicts numbers from the rows of a table, with quantiles and intervals of a stated coverage.

    Examples:
        >>> model = dlkit.TabularRegressor(network="mlp", epochs=5)
        >>> data = model.samples()
        >>> history = model.fit(data["train"], verbose=0)
        >>> answer = model.predict({name: values[0] for name, values in data["test"].items() if name != "target"})
        >>> answer["lower"] < answer["upper"]
        True
    """

    default_epochs = DefaultEpochs(60, fewest=400, most=10_000, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(128, "Number of training examples per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(4e-3, "Peak learning rate.", minimum=0)
    weight_decay: float = hparam(
        0.003, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0
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
    dropout: float = hparam(0.1, "Dropout rate.", minimum=0, maximum=0.95)
    number_scaling: Literal["auto", "quantile", "robust"] = tabular_hparam("number_scaling")
    number_embedding: Literal["auto", "none", "piecewise", "periodic"] = tabular_hparam("number_embedding")
    max_categories: int = tabular_hparam("max_categories")
    max_tokens: int = tabular_hparam("max_tokens")
    mask_rate: float = tabular_hparam("mask_rate")
    target_transform: Literal["none", "log"] = hparam(
        "none",
        "Transformation of the targets. With `log`, log(1 + y) is learned, for y of at least 0 with a long tail.",
    )
    coverage: float = hparam(
        0.9,
        "Coverage of the intervals, as a probability. They are calibrated on the validation rows.",
        minimum=0.01,
        maximum=0.999,
    )
    quantile_levels: tuple[float, ...] = hparam(
        (0.05, 0.25, 0.5, 0.75, 0.95),
        "Quantile levels. They are ascending. The median and the levels of the intervals are added.",
        minimum=0.001,
        maximum=0.999,
    )

    public_methods = (*Task.public_methods, "explain", "importance")
    inputs = {name: CategoryCell() if name == "sex" else NumberCell() for name in PATIENT_COLUMNS}  # of the sample
    target = {"target": TargetNumber()}
    answer = {**ANSWERS, LEVELS: Levels()}
    rows = NumberRows
    primary_metric = "r2"
    training_only = ("mask_rate",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kinds_: dict[str, str] = {}  # of the inputs
        self.linear_model_: dict[str, Any] = {}  # a ridge regression, the baseline
        self.target_names = ["target"]
        declare.check_options(self)
        levels = list(self.quantile_levels)
        if levels != sorted(set(levels)):
            raise HparamError(
                f"{option('quantile_levels')} must be in ascending order. Received: "
                f"{option('quantile_levels', self.quantile_levels)}."
            )

    @property
    def levels(self) -> list[float]:
        """Levels of the quantiles: those of the option, of the median and of the intervals."""
        return sorted({*self.quantile_levels, 0.5, self._tail, round(1 - self._tail, 6)})

    @property
    def _tail(self) -> float:
        """Level of the lower bound of an interval."""
        return round((1 - self.coverage) / 2, 6)

    @property
    def interval_levels(self) -> tuple[int, int, int]:
        """Indices of the lower bound, the median and the upper bound among the quantiles."""
        levels, tail = self.levels, self._tail
        return levels.index(tail), levels.index(0.5), levels.index(round(1 - tail, 6))

    def answer_names(self, kind: str) -> list[str]:
        """Return the names of the outputs of a kind, one for each target."""
        several = len(self.target_names) > 1
        return [f"{kind}_{name}" if several else kind for name in self.target_names]

    def declare(self, header: Sequence[str]) -> None:
        theirs = declare.find_targets(self, header)
        self.inputs = declare.declare_inputs(self, header, theirs)
        self.target_names = [declare.tensor_name(name) for name in theirs]
        self.target = {
            declare.tensor_name(name): declare.renamed(TargetNumber(), declare.tensor_name(name), name)
            for name in theirs
        }
        self.target |= declare.declare_extras(self)
        self._declare_answer()

    def _declare_answer(self) -> None:
        answer = {name: column for kind, column in ANSWERS.items() for name in self.answer_names(kind)}
        self.answer = declare.declare_answer(self, {**answer, LEVELS: Levels()})

    def build(self, examples: Table) -> Stages:
        from dlkit.tabular.linear_baseline import fit_linear
        from dlkit.tabular.preprocess import build_preprocess, build_tabular_network, learn_kinds
        from dlkit.tasks.tabular_regression.target_scaling import TargetScaling

        learn_kinds(self, examples)
        self._declare_answer()
        values = self.rows(self, examples).read_targets()
        scaling = TargetScaling(len(self.target_names), self.target_transform == "log", name="target_scaling")
        if self.target_transform == "log" and np.nanmin(values) < 0:
            row, index = np.argwhere(values < 0)[0]
            raise DataError(
                f"{examples.where(int(row))}: {option('target_transform', 'log')} needs values of at least 0. "
                f"Received: {values[row, index]:g} in column {self.target_names[index]!r}."
            )
        scaling.adapt(values)
        preprocess = build_preprocess(self, examples)
        network = build_tabular_network(self, examples, preprocess, self._head, "mish")
        scaled = scaling.transform(values).numpy().astype(np.float64)
        self.linear_model_ = fit_linear(self.inputs, examples, preprocess, scaled, logistic=False)
        return Stages(preprocess, network, self._postprocess(network, scaling))

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        values = tf.stack([target[name] for name in self.target_names], axis=1)
        scaled = self.stages_.postprocess.get_layer("target_scaling").transform(values)
        encoded = self.stages_.preprocess(features), {"values": scaled, "value_quantiles": scaled}
        return (*encoded, target[declare.tensor_name(self.weight_column)]) if self.weight_column else encoded

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.tabular.mask_cells import mask_cells

        return mask_cells(tensors, self.mask_rate, self.seed, step) if self.mask_rate else tensors, target

    def loss(self) -> Any:
        from dlkit.regression.quantiles import PinballLoss
        from dlkit.tasks.tabular_regression.target_scaling import EnsembleSquaredError

        return {"values": EnsembleSquaredError(), "value_quantiles": PinballLoss(self.levels)}

    def metrics(self) -> Any:
        return None

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.tabular_regression.metrics import score_numbers, score_quantiles

        scores: list[dict[str, Any]] = []
        for index, name in enumerate(self.target_names):
            true = np.array(targets[name], np.float64)
            known = np.isfinite(true)
            if not known.any():
                raise DataError(f"no row has a value of {name!r} to compare with.")
            value, quantiles, lower, upper = (
                np.array(answers[self.answer_names(kind)[index]], np.float64)[known] for kind in ANSWERS
            )
            levels = np.array(answers[LEVELS][0], np.float64)
            scores.append(
                {
                    **score_numbers(true[known], value),
                    **score_quantiles(true[known], quantiles, levels, lower, upper),
                    "baseline_r2": 0.0,
                    "baseline_rmse": float(true[known].std()),
                    "rows": int(known.sum()),
                }
            )
        if len(scores) == 1:
            return scores[0]
        means = {name: float(np.mean([each[name] for each in scores])) for name in ("r2", "baseline_r2", "coverage")}
        own = zip(self.target_names, scores, strict=True)
        return {**means, **{f"{key}_{name}": value for name, each in own for key, value in each.items()}}

    def importance(self, data: Any, *, repeats: int = 3, plot: str | Path | None = None) -> dict[str, dict[str, float]]:
        """Measure the importance of each column: the decrease of `r2` if its cells are shuffled.

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
        """Explain a predicted number by the contribution of each column, in the units of the target.

        Integrated gradients (Sundararajan et al., 2017, arXiv:1703.01365): contributions add up to the difference from
        the prediction for a reference row of medians and unknown categories.

        Args:
            row: a row, as `predict` takes it.
            target: the target to explain; by default the first one.

        Returns:
            Dict of `value`, `reference_value`, and `contributions`: column to a number, largest first.

        Raises:
            DataError: there is no such target, or the row is invalid.

        Examples:
            >>> row = {name: values[0] for name, values in model.samples()["test"].items() if name in model.inputs}
            >>> explanation = model.explain(row)
            >>> explanation["contributions"].keys() == model.inputs.keys()
            True
        """
        from dlkit.tabular.attributions import attribute

        index = declare.index_of_target(self, target)
        answer = self.predict(row)
        scaling = self.stages_.postprocess.get_layer("target_scaling")
        contributions, reference = attribute(
            self, row, lambda outputs: scaling(tf.reduce_mean(outputs["values"], axis=1))[:, index]
        )
        value = answer[self.answer_names("value")[index]]
        return {"value": value, "reference_value": reference, "contributions": contributions}

    @staticmethod
    def samples() -> dict[str, Any]:
        return load_diabetes_table()

    def _head(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        from dlkit.lazy import layers
        from dlkit.regression.quantiles import OrderedQuantiles
        from dlkit.tabular.ensemble_layers import MemberDense

        targets, levels = len(self.target_names), self.levels
        values = MemberDense(targets, dtype="float32", name="values")(x)
        spread = MemberDense(targets * len(levels), dtype="float32", name="quantile_parts")(x)
        parts = layers.Reshape((x.shape[1], targets, len(levels)), dtype="float32")(spread)
        ordered = OrderedQuantiles(levels.index(0.5), name="value_quantiles")
        return {"values": values, "value_quantiles": ordered(parts[..., 0], parts[..., 1:])}

    def _postprocess(self, network: keras.Model, scaling: keras.layers.Layer) -> keras.Model:
        from dlkit.regression.conformal import ConformalIntervals
        from dlkit.tabular.preprocess import with_reasons
        from dlkit.tasks.tabular_regression.name_answers import NameAnswers

        inputs = {name: keras.Input(tensor.shape[1:], name=name) for name, tensor in network.output.items()}
        intervals = ConformalIntervals(len(self.target_names), name="conformal_intervals")
        values = ops.mean(inputs["values"], axis=1)
        quantiles = ops.mean(inputs["value_quantiles"], axis=1)
        lower, median, upper = (quantiles[..., level] for level in self.interval_levels)
        bounds = ops.stack(intervals(median, median - lower, upper - median), axis=-1)
        if self.selection_.get("calibration"):  # of the run that chose the length of this one
            intervals.set_factors(self.selection_["calibration"]["factors"])
        every = ops.concatenate([values[..., None], quantiles, bounds], axis=-1)
        answer = NameAnswers(self.target_names, self.levels, name="name_answers")(scaling(every))
        return with_reasons(self, keras.Model(inputs, answer, name="postprocess"))
