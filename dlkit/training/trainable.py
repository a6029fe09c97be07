"""The part of a task that training needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from dlkit.columns import Column
from dlkit.data.table import Table
from dlkit.padding import Padding
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages

if TYPE_CHECKING:
    import tensorflow as tf

    from dlkit.rows import Rows


class Trainable(Protocol):
    """Hyperparameters, columns, stages and the methods that make training batches; see `dlkit.task.Task`."""

    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    momentum: float
    weight_decay: float
    clip_norm: float
    monitor: str
    ema: float
    patience: int
    validation_split: float
    refit: bool
    freeze: str
    unfreeze_every: int
    cache_mb: int
    seed: int
    optimizer: Any
    schedule: Any
    precision: Any
    stages_: Stages
    answer: dict[str, Column]
    history_: dict[str, list[float]]
    best_epoch_: dict[str, Any]
    examples_: list[dict[str, Any]]
    fingerprint_: dict[str, Any]
    plan_: dict[str, Any]
    selection_: dict[str, Any]
    calibration_: dict[str, Any]
    report_: dict[str, Any]
    tracker_runs_: dict[str, str]
    init_from_: dict[str, Any]

    header_: list[str]

    @property
    def inputs(self) -> Mapping[str, Column]: ...

    @property
    def target(self) -> Mapping[str, Column]: ...

    @property
    def padding(self) -> Sequence[Padding]: ...

    @property
    def primary_metric(self) -> str: ...

    @property
    def shown_metrics(self) -> tuple[str, ...]: ...

    @property
    def monitored_rows(self) -> int: ...

    @property
    def answer_cost(self) -> float: ...

    @property
    def training_only(self) -> tuple[str, ...]: ...

    @property
    def default_epochs(self) -> DefaultEpochs: ...

    @property
    def frozen(self) -> str | None: ...

    @property
    def hparams(self) -> dict[str, Any]: ...

    @classmethod
    def task_name(cls) -> str: ...

    def declare(self, header: Sequence[str]) -> None: ...

    def build(self, examples: Table) -> Stages: ...

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]: ...

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]: ...

    def loss(self) -> Any: ...

    def metrics(self) -> Any: ...

    def evaluate_rows(self, rows: Rows) -> dict[str, Any]: ...

    def score_epoch(self, rows: Rows) -> tuple[dict[str, Any], bytes | None]: ...
