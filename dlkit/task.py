"""The base of all tasks: raw input in, answer out, one graph."""

from __future__ import annotations

import dataclasses
import gc
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit import model_folder
from dlkit.answering import Answering, rows_of
from dlkit.chain import Parted, chain
from dlkit.columns import Column, Label, Labels
from dlkit.data.read import read
from dlkit.data.table import Table
from dlkit.errors import DlkitError
from dlkit.knobs import check_names, check_values, knob
from dlkit.lazy import load_tensorflow, tf
from dlkit.run_options import interval

if TYPE_CHECKING:
    import keras

    from dlkit.serving.signature import Signature


@dataclass(frozen=True)
class Stages:
    """The functional models of a task. Each reads the tensors that it names and adds its own by name.

    Attributes:
        preprocess: raw input to the network's tensors.
        network: what is trained.
        postprocess: the network's outputs to the answer.
        decode: replaces `network` when answering, for tasks that generate. Its weights are the network's own, in
            their order; those that serve training alone come last in the network, and it lacks them.
    """

    preprocess: keras.Model
    network: keras.Model
    postprocess: keras.Model
    decode: keras.Model | None = None

    def answering(self) -> tuple[keras.Model, ...]:
        """The models that the serving graph chains."""
        return self.preprocess, self.decode or self.network, self.postprocess

    def teach_decode(self) -> None:
        """Gives `decode` the network's weights where it has copies: files hold the two apart."""
        if self.decode is None:
            return
        copies = self.decode.weights
        weights = self.network.weights[: len(copies)]
        if any(copy is not weight for copy, weight in zip(copies, weights, strict=True)):
            self.decode.set_weights([weight.numpy() for weight in weights])


@dataclass(kw_only=True)
class Task:
    """A task: knobs, and once fitted, the stages that answer.

    A task is a subclass in a module of its own under `dlkit/tasks/`. It declares its columns and knobs, and gives
    `build`, `loss`, `metrics`, `score` and `samples`; the rest is here and is not overridden. What it learns beside
    the stages ends in `_`, can be written as JSON, and is saved with it.
    """

    epochs: int = knob(10, "Passes over the training rows.", minimum=1)
    batch_size: int = knob(32, "Rows per training step.", minimum=1)
    optimizer: str = knob("adamw", "What updates the weights.", choices=("sgd", "adam", "adamw", "rmsprop"))
    learning_rate: float = knob(1e-3, "The peak learning rate.", minimum=0)
    schedule: str = knob("one_cycle", "How the learning rate moves.", choices=("constant", "cosine", "one_cycle"))
    warmup: float = knob(0.0, "Share of the steps over which the learning rate rises.", minimum=0, maximum=0.9)
    momentum: float = knob(0.9, "Momentum; for adam and adamw, beta 1.", minimum=0, maximum=0.999)
    weight_decay: float = knob(0.0, "Decoupled weight decay of matrices and kernels.", minimum=0)
    clip_norm: float = knob(0.0, "Largest norm of all gradients together; 0 for no limit.", minimum=0)
    monitor: str = knob("loss", "The validation metric whose best epoch is kept, as in the history.")
    patience: int = knob(0, "Epochs without a better validation metric after which to stop; 0 for never.", minimum=0)
    validation_split: float = knob(
        0.1, "Share of the training rows held out where no validation data is given.", minimum=0, maximum=0.9
    )
    freeze: str = knob("", 'First layers not to train: how many, the name of the last one, or "backbone".')
    unfreeze_every: int = knob(
        0, "Thaw the next quarter of the frozen layers each so many epochs; 0 for never.", minimum=0
    )
    precision: str = knob("float32", "Keras dtype policy.", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    cache_mb: int = knob(128, "Memory for encoded rows, in MB; more is kept on disk.", minimum=0)
    seed: int = knob(0, "Seed of weights, order, dropout and augmentation.", minimum=0, maximum=2**31 - 1)

    # The columns, without annotations: an annotated one would be a knob. An instance may have its own.
    inputs = dict[str, Column]()
    target = dict[str, Column]()
    answer = dict[str, Column]()
    also = dict[str, Column]()  # what further signatures answer
    network_rows = 0  # the most rows that the network takes at once when answering; 0 for all: see `Parted`
    headline = ""  # the metric to quote, higher is better; `score` gives `baseline_<headline>` beside it

    def __new__(cls, *args: Any, **knobs: Any) -> Task:
        check_names(cls, knobs)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        check_values(self)
        self.stages_: Stages
        self.history_: dict[str, list[float]] = {}  # metric name to one value per epoch
        self.samples_: list[dict[str, Any]] = []  # a few real inputs, in the form of REST requests
        self.fingerprint_: dict[str, Any] = {}  # of the encoded training rows
        self.is_chief = True  # whether this process writes files: of several workers, the first one
        self._answering: Answering | None = None  # the traced serving graph, made at the first answer

    # What a task gives.

    def build(self, examples: Table) -> Stages:
        """Learns vocabularies and statistics from the training rows, and builds the three functional models."""
        raise NotImplementedError

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        """Raw rows to the network's tensors and training target, in the graph, with nothing random: it is cached.

        Where a raw row makes any number of encoded ones, up to `pieces`, a third value says which raw row each is of:
        (encoded rows,) int32, counted from the first that it was given.
        """
        raise NotImplementedError

    def loss(self) -> Any:
        """The loss as `keras.Model.compile` takes it."""
        raise NotImplementedError

    def metrics(self) -> Any:
        """The metrics to watch while training, as `keras.Model.compile` takes them."""
        raise NotImplementedError

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        """Metrics of served answers against raw targets, in the user's units."""
        raise NotImplementedError

    @staticmethod
    def samples() -> dict[str, Any]:
        """The built-in data: `train`, `validation` and `test`, each a source for `fit` and `evaluate`."""
        raise NotImplementedError

    def select(self, table: Table) -> Table:
        """The rows of a source to train on, with remarks on the others."""
        return table

    def parted(self, data: Any, **options: Any) -> dict[str, Any]:
        """`train` and `test` of data without a test part, if the task knows a way; options as of `fit`.

        Raises:
            DlkitError: it knows none.
        """
        raise DlkitError("--data needs --test: the data that the result is measured on.")

    def hold_out(self, table: Table, share: float) -> tuple[Table, Table | None]:
        """The training rows, and those of them that are held out to validate on, None for a share of 0."""
        from dlkit.data.split import split

        if not share or len(table) < 2:
            return table, None
        first, column = next(iter(self.target.items()))
        # Boxes and masks are as good as never the same twice: there are no proportions to keep.
        return split(table, share, self.seed, by=first if isinstance(column, (Label, Labels)) else None)

    def cut(self, table: Table) -> Table:
        """The rows to encode of those to train or validate on, once the stages are built."""
        return table

    def asked(self, table: Table) -> Table:
        """Rows such as requests bring, once the stages are built: a few are kept with the model, to prove exports."""
        return table

    def questions(self, table: Table) -> Table:
        """The rows to be measured on of those of a source."""
        return table

    def check(self, table: Table) -> None:
        """Refuses rows that the fitted task cannot be scored on. Raises DataError."""

    def lengths(self, store: Any) -> Any:
        """The length of each encoded row, (rows,) int, if rows of like length are to share a batch; else None."""
        return None

    def frozen(self) -> str:
        """The first layers of the network not to train, as the knob `freeze` names them; "" for none."""
        return self.freeze

    def trim(self, tensors: Any) -> Any:
        """A training batch without the padding that its rows have in common. Not called where shapes must not vary."""
        return tensors

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        """Random changes of a training batch, drawn from (seed, step) alone."""
        return tensors, target

    def draw(self, data: Any, path: Path) -> bool:
        """Writes a picture of answers to some of the data, if the task has one. Returns whether it has."""
        return False

    def signatures(self) -> list[Signature]:
        """Further signatures to serve. One that is called `tensors` takes the place of the usual one."""
        return []

    def remarks(self, store: Any) -> list[str]:
        """What a person should know of the encoded rows: what had to be changed in them, and how often."""
        return []

    def pieces(self) -> int:
        """How many encoded rows `encode` makes of each raw one, at most: more than one where it cuts inputs up."""
        return 1

    def write_answers(self, answers: Iterable[tuple[str, dict[str, Any]]], folder: Path, output: Path) -> None:
        """Writes the answers to a folder's files, each with its file's path; JSON lines, if a task knows no better."""
        with output.open("w", encoding="utf-8") as file:
            for path, answer in answers:
                file.write(json.dumps({"file": path, **answer}, ensure_ascii=False) + "\n")

    def weigher(self, store: Any) -> Callable[[Any], tf.Tensor | None]:
        """A function from a batch's target to its rows' weights, or to None."""
        return lambda target: None

    # What every task does.

    def fit(
        self,
        data: Any,
        validation: Any = None,
        *,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        save: str | Path | None = None,
        resume: bool = False,
        overwrite: bool = False,
        strategy: Any = "auto",
        checkpoint_every: int | str = 0,
        keep: int = 2,
        allow_changes: bool = False,
        nan_retries: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        tensorboard: str | None = None,
        verbose: int | str = "auto",
    ) -> dict[str, list[float]]:
        """Trains from scratch, and keeps the weights of the best validation epoch.

        Args:
            data: a folder, a csv, tsv, jsonl, parquet or npz file, "tfds:NAME", a DataFrame, (inputs, targets), or a
                `tf.data.Dataset` of (features, target).
            validation: the same; None holds out `validation_split` of the data.
            columns: this task's column names to the data's own, where they differ: `{"text": "review"}`.
            data_dir: where TensorFlow Datasets lie.
            save: a folder for the model and its checkpoints.
            resume: go on with the stopped run that `save` holds, from its newest checkpoint: the result is the one of a
                run that was never stopped, to the bit on a CPU.
            overwrite: replace the model that `save` holds.
            strategy: where to train: "auto", "one", "mirrored", "mirrored:N", "multiworker", "tpu", "tpu:NAME", or a
                `tf.distribute.Strategy`; see `dlkit.training.strategies.find_place`. The answer is the same.
            checkpoint_every: steps between two checkpoints, or minutes as "10m"; 0 for the ends of epochs, of which
                so many are left out that the cost stays under 3 % of the time.
            keep: how many checkpoints to keep.
            allow_changes: resume although knobs or data are others than at the start.
            nan_retries: how often to go back to the last good checkpoint, with half the learning rate, when the loss
                is not a finite number.
            callbacks: more Keras callbacks.
            tensorboard: a folder for TensorBoard's logs.
            verbose: as in `keras.Model.fit`.

        Returns:
            The history: metric name to one value per epoch.

        Raises:
            DataError: the data cannot be used; says where and why.
            DlkitError: `save` cannot be written or resumed, the loss became NaN, or another worker was lost.
            Preempted: SIGTERM stopped the run, after a checkpoint; it ends the process with code 143.
        """
        load_tensorflow()
        from dlkit.training.fit import Run, fit
        from dlkit.training.strategies import find_place

        place = find_place(strategy)  # before TensorFlow computes anything, after which it takes no new devices
        self.is_chief = place.is_chief
        if verbose and self.is_chief and strategy != "one":
            print(f"training on {place.reason}")
        run = Run(
            place,
            save=Path(save) if save else None,
            resume=resume,
            overwrite=overwrite,
            changed=allow_changes,
            keep=keep,
            checkpoint_every=interval(checkpoint_every),
            nan_retries=nan_retries,
            callbacks=callbacks,
            tensorboard=tensorboard,
            verbose=verbose,
        )
        wanted = {**self.inputs, **self.target}
        train = self.select(read(data, wanted, rename=columns, data_dir=data_dir))
        if validation is not None:
            validation = self.select(read(validation, wanted, rename=columns, data_dir=data_dir))
        self._answering = None
        history = fit(self, train, validation, run)
        gc.collect()  # networks and graphs are cycles: Python counts them, not their bytes, and lets several pile up
        if save and self.is_chief:
            model_folder.write(self, Path(save))
        return history

    def find_learning_rate(
        self,
        data: Any,
        *,
        steps: int = 100,
        plot: str | Path | None = None,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
    ) -> float:
        """Trains a copy for a few steps with a rising learning rate; gives the rate at which the loss fell fastest.

        Args:
            data: as in `fit`.
            steps: how many; the loss is read at each.
            plot: where to write a picture of the losses.
        """
        load_tensorflow()
        from dlkit.training.find_learning_rate import find_learning_rate

        table = self.select(read(data, {**self.inputs, **self.target}, rename=columns, data_dir=data_dir))
        return find_learning_rate(type(self)(**self.knobs), table, steps, Path(plot) if plot else None)

    def predict(self, values: Any) -> Any:
        """Answers one raw input with a dict, or a list of them with a list, in order.

        A task of several inputs takes dicts by column name.

        Raises:
            DataError: an input cannot be used; names it and says why.
        """
        table, single = rows_of(values, self.inputs)
        shown = self.present_all(self.answers(table))
        return shown[0] if single else shown

    def present_all(self, answers: dict[str, list]) -> list[dict[str, Any]]:
        """Served answers by column as one for each row, as `predict` gives them."""
        return [
            self.present(
                {name: column.show(value) for (name, column), value in zip(self.answer.items(), row, strict=True)}
            )
            for row in zip(*(answers[name] for name in self.answer), strict=True)
        ]

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        """A served answer as a person wants it in Python; without padding, for one."""
        return answer

    def evaluate(
        self, data: Any, *, columns: dict[str, str] | None = None, data_dir: str | None = None
    ) -> dict[str, Any]:
        """Scores the served answers on labelled data; sources as in `fit`."""
        self._check_fitted()
        table = self.questions(read(data, {**self.inputs, **self.target}, rename=columns, data_dir=data_dir))
        self.check(table)
        targets = {name: table.raw_column(name, column) for name, column in self.target.items()}
        return self.score(targets, self.answers(table))

    def export(self, directory: str | Path, *, version: int | None = None) -> Path:
        """Writes `directory/<version>/` for TensorFlow Serving, proven to answer as `predict` does.

        Of several workers that trained it, the first one alone writes; the others get the directory back.

        Raises:
            ExportError: the version exists, or the proof failed; then nothing appears.
        """
        self._check_fitted()
        if not self.is_chief:
            return Path(directory)
        from dlkit.serving.task_export import export_task

        return export_task(self, Path(directory), version)

    def save(self, folder: str | Path) -> None:
        """Saves the fitted task; `dlkit.load` reads it. Of several workers that trained it, the first alone writes."""
        self._check_fitted()
        if self.is_chief:
            model_folder.write(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Task:
        """The task that `save` wrote.

        Raises:
            DlkitError: the folder holds no model, one of another task or of a newer dlkit, or a stopped run.
        """
        return model_folder.read(cls, Path(folder))

    @classmethod
    def task_name(cls) -> str:
        """The name that the task's module, command and app share."""
        return cls.__module__.rpartition(".")[2]

    # Inside.

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs and their values."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def answer_tensors(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The serving graph: raw tensors to answer tensors, batch first."""
        preprocess, network, postprocess = self.stages_.answering()
        parted = Parted(network, self.network_rows) if self.network_rows else network
        made = chain(preprocess, parted, postprocess)(tensors)
        return {name: made[name] for name in self.answer}

    def answers(self, table: Table) -> dict[str, list]:
        """The served answers to a table's rows, by answer column. Raises DataError, naming the row."""
        self._check_fitted()
        if self._answering is None:
            self._answering = Answering(self)
        return self._answering(table)

    def _check_fitted(self) -> None:
        if not hasattr(self, "stages_"):
            name = type(self).__name__
            raise DlkitError(f"this {name} is not fitted. Call `fit` first, or read a saved one by dlkit.load(folder).")
