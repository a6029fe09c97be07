"""The base of all tasks: raw input in, answer out, one graph."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast, final, overload

from dlkit import copies, model_folder
from dlkit.best_epoch import best_epoch_index
from dlkit.bulk.formats import check_new_file, write_rows
from dlkit.columns import Column, check_input_names
from dlkit.data.header import header_of
from dlkit.data.read import read_table
from dlkit.data.read_options import ReadKeywords, ReadOptions, list_skipped
from dlkit.data.reader import readers_of
from dlkit.data.table import Table
from dlkit.errors import DataError, DlkitError, write_error
from dlkit.graph_predictor import GraphPredictor, import_pandas, inputs_to_table, is_source, to_dataframe
from dlkit.hparams import check_names, check_values, hparam, take_preset_defaults, with_options
from dlkit.lazy import load_tensorflow, tf
from dlkit.log import logger
from dlkit.options import option
from dlkit.plain import finite, name_of
from dlkit.plots import plot_history, save_figure
from dlkit.prediction_inputs import prediction_inputs
from dlkit.progress import quiet
from dlkit.rows import ERROR, Rows
from dlkit.run_file import RunFile
from dlkit.run_length import BY_TASK, DefaultEpochs, check_length
from dlkit.stages import MicroBatched, Stages, chain
from dlkit.summary import summarize_task
from dlkit.tracing import TRACING_LOCK

if TYPE_CHECKING:
    import keras
    import pandas

    from dlkit.padding import Padding
    from dlkit.serving.signature import Signature


@dataclass(kw_only=True)
class Task:
    """Base class of all tasks: hyperparameters and, once fitted, the stages that predict.

    A task is a subclass in `task.py` of its own folder under `dlkit/tasks/`. It declares its columns and
    hyperparameters and overrides some of twelve methods; all other methods are final. Learned attributes other than
    the stages end in `_`, must be JSON serializable and are saved with the model.

    | method | called by |
    |---|---|
    | `build` | `fit`, once, to learn vocabularies and statistics and to build the functional models |
    | `encode` | `fit`, for every chunk of rows, in the graph, to make the network's inputs and the training target |
    | `augment` | training, for every batch, in the graph, to apply random augmentation |
    | `loss`, `metrics` | `keras.Model.compile` |
    | `score` | `evaluate`, to compute metrics of the served predictions |
    | `samples` | the command line, recipes and tests when no data is given |
    | `signatures` | `export`, for signatures in addition to the usual ones |
    | `present` | `predict`, for every prediction, to return it as Python users expect it |
    | `picture` | `plot` and `draw`, to plot predictions |
    | `declare` | `fit`, before it reads the training data, to declare columns that depend on the data |
    | `prediction_writer` | `dlkit predict MODEL FOLDER --output PATH`, to write predictions in a format of the task |

    Two optional class attributes: `rows`, how the rows of a source are cleaned, split and checked (`dlkit.rows.Rows`),
    and `padding`, how rows of different length share batches (`dlkit.padding.Padding`).
    """

    default_epochs = DefaultEpochs()  # without an annotation, as those below: no hparam
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(32, "Number of training examples per step. It is the total over all devices.", minimum=1)
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = hparam("adamw", "Optimizer.")
    learning_rate: float = hparam(1e-3, "Peak learning rate.", minimum=0)
    schedule: Literal["constant", "cosine", "one_cycle"] = hparam("one_cycle", "Learning rate schedule.")
    warmup: float = hparam(
        0.0,
        'Fraction of the training steps used for linear warmup of the learning rate. With `schedule="one_cycle"`, 0 '
        "selects 0.3.",
        minimum=0,
        maximum=0.9,
    )
    momentum: float = hparam(
        0.9, "Momentum of `sgd` and `rmsprop`; `beta_1` of `adam` and `adamw`.", minimum=0, maximum=0.999
    )
    weight_decay: float = hparam(
        0.0, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0
    )
    clip_norm: float = hparam(0.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    monitor: str = hparam("loss", "Validation metric that selects the best epoch, without the prefix val_.")
    ema: float = hparam(
        0.0,
        "Decay of an exponential moving average of the weights, such as 0.999. The averaged weights are used for "
        "validation and in the final model. 0 disables it.",
        minimum=0,
        maximum=0.999999,
    )
    patience: int = hparam(
        BY_TASK,
        "Early stopping: number of epochs without improvement of the monitored metric after which training "
        "stops. 0 disables it. The default of -1 selects 60% of the epochs if the length of the run is not set "
        "(`epochs=0`, without `minutes` or `steps`) and the description of `epochs` says that training stops early; "
        "otherwise, it disables early stopping.",
        minimum=BY_TASK,
    )
    validation_split: float = hparam(
        0.1,
        "Fraction of the training data held out for validation if no validation data is given. 0 disables it.",
        minimum=0,
        maximum=0.9,
    )
    refit: bool = hparam(
        False,
        "Whether to train again on all rows, including the validation rows. The second training starts from the "
        "beginning and takes as many epochs as the first needed to reach its best epoch. With `minutes`, the first "
        "gets about half of the time. Without validation rows, the option has no effect.",
    )
    freeze: str = hparam(
        "",
        "Layers to freeze, counted from the input: a number of layers, the name of the last layer to freeze, or "
        '"backbone" for the pretrained part of a preset.',
    )
    unfreeze_every: int = hparam(
        0,
        "Gradual unfreezing: number of epochs after which another quarter of the frozen layers is unfrozen, "
        "starting with those closest to the output. 0 keeps them frozen.",
        minimum=0,
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = hparam("float32", "Keras dtype policy.")
    cache_mb: int = hparam(
        128,
        "Maximum size of the in-memory cache of preprocessed training data, in MB. Larger data is cached in a "
        "temporary folder on disk.",
        minimum=0,
    )
    seed: int = hparam(
        0, "Random seed for weight initialization, shuffling, dropout and augmentation.", minimum=0, maximum=2**31 - 1
    )

    # Without annotations, which would make them hyperparameters. An instance can have its own.
    inputs = dict[str, Column]()
    target = dict[str, Column]()
    answer = dict[str, Column]()
    extra_outputs = dict[str, Column]()  # outputs of additional signatures
    rows = Rows
    padding = cast("Sequence[Padding]", ())
    frozen = cast("str | None", None)  # the first layers of the network not to train; None for those of `freeze`
    evaluated_signature = "serving_default"  # the one whose answers `score` gets
    max_inference_batch = 0  # rows that the network takes at once when predicting; 0 for all
    shown_metrics = cast("tuple[str, ...]", ())  # metrics of `score` to show while it trains, every few epochs
    monitored_rows = 256  # validation rows that are scored if the primary one of them selects the best epoch
    answer_cost = 1.0  # training rows that take as long as an answer to one of them
    prefers_cores = False  # whether the command line takes `strategy="auto:cores"` by default: its operations are small
    training_only = cast("tuple[str, ...]", ())  # own hparams that neither the graph nor what is learned depends on
    primary_metric = ""  # the metric to quote, higher is better; `score` gives `baseline_<primary_metric>` beside it
    public_methods = cast(  # methods that users call, which tab completion lists
        "tuple[str, ...]",
        (
            *(
                "call_signature",
                "check",
                "draw",
                "evaluate",
                "export",
                "find_learning_rate",
                "fit",
                "get_params",
                "hparams",
                "load",
            ),
            *("plot", "plot_history", "predict", "predict_to", "samples", "save", "set_params", "task_name"),
        ),
    )
    prediction_writer = cast("Callable[..., None] | None", None)  # (task, predictions with their files, folder, output)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__doc__ = with_options(cls)
        cls.__repr__ = Task.__repr__  # type: ignore[method-assign]  # else `dataclass` gives each task another one

    def __new__(cls, *args: Any, **hparams: Any) -> Self:
        check_names(cls, hparams)
        task = super().__new__(cls)
        task._given_hparams = frozenset(hparams)
        return task

    def __post_init__(self) -> None:
        self._given_hparams: frozenset[str]  # the names of the hparams that were given, by `__new__`
        take_preset_defaults(self, self._given_hparams)
        check_values(self)
        self.stages_: Stages
        self.history_: dict[str, list[float]] = {}  # metric name to one value per epoch
        self.best_epoch_: dict[str, Any] = {}  # whose weights these are, from 1, and its metrics
        self.examples_: list[dict[str, Any]] = []  # a few real inputs, in the form of REST requests
        self.fingerprint_: dict[str, Any] = {}  # of the encoded training rows
        self.last_evaluation_: dict[str, Any] = {}  # the last evaluation: the name of its data, its rows and metrics
        self.plan_: dict[str, Any] = {}  # how many steps the run makes: `dlkit.training.plan.Plan.as_dict`
        self.selection_: dict[str, Any] = {}  # of a refitted model, the run that chose: `dlkit.training.refit`
        self.calibration_: dict[str, Any] = {}  # what `Rows.calibrate` found on the validation rows
        self.report_: dict[str, Any] = {}  # what a look at the training data found: `dlkit.report.Report.as_dict`
        self.tracker_runs_: dict[
            str, str
        ] = {}  # the runs of experiment trackers that followed the training, by tracker
        self.init_from_: dict[str, Any] = {}  # the model from which training went on, and the labels that were new
        self.header_: list[str] = []  # the columns of the training data, for `declare`
        self.is_chief = True  # whether this process writes files: of several workers, the first one
        self._served: dict[str, Signature] = {}
        self._served_calibration: dict[str, Any] = {}  # what the task was calibrated to when they were made
        self._run_file: RunFile | None = None  # the options of the last `fit`

    # What a task implements.

    def build(self, examples: Table) -> Stages:
        """Learn vocabularies and statistics from the training rows and build the three functional models."""
        raise NotImplementedError

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        """Convert raw rows to the network's inputs and training targets, in the graph and without randomness.

        The result is cached. A third value, (encoded rows,) float32, holds sample weights as in Keras; it is not part
        of the fingerprint. The tensors `dlkit.rows.ROW` and `LENGTH` are not inputs of the network.
        """
        raise NotImplementedError

    def loss(self) -> Any:
        """Return the loss for `keras.Model.compile`."""
        raise NotImplementedError

    def metrics(self) -> Any:
        """Return the metrics for `keras.Model.compile`."""
        raise NotImplementedError

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        """Compute metrics of served predictions against raw targets, in the units of the data."""
        raise NotImplementedError

    @staticmethod
    def samples() -> dict[str, Any]:
        """Load the built-in sample data of the task.

        Returns:
            A dict with `train`, `validation` and `test`, each a source for `fit` and `evaluate`.

        Examples:
            >>> sorted(dlkit.SentimentClassifier.samples())
            ['test', 'train', 'validation']
        """
        raise NotImplementedError

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        """Apply random augmentation to a training batch, seeded with (seed, step) only."""
        return tensors, target

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Convert a served prediction to its form in Python, for example without padding."""
        return answer

    def picture(self, rows: Rows) -> Any:
        """Plot predictions for some rows, next to their true values if known; None if the task has no plot."""
        return None

    def signatures(self) -> list[Signature]:
        """Return additional signatures to serve. One named `preprocessed` replaces the default one."""
        return []

    def declare(self, header: Sequence[str]) -> None:
        """Declare `inputs` and `target` from the columns of the training data, before it is read.

        Called once for each `fit`, and again when the task is loaded, after what it has learned is there. Validation
        and test data are read with the columns of the training data. Not called for a source whose columns have no
        names, as a folder.

        Args:
            header: the names of the columns, those that `fit(columns=...)` renames under their new names. The names of
                inputs become those of tensors: ASCII letters, digits and underscores, beginning with a letter.
        """

    # What every task has.

    @final
    def fit(
        self,
        data: Any,
        validation: Any = None,
        *,
        minutes: float = 0,
        steps: int = 0,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        save: str | Path | None = None,
        resume: bool | Literal["auto"] = False,
        overwrite: bool = False,
        strategy: Any = "auto",
        worker_timeout: float = 120.0,
        checkpoint_every: int | str = 0,
        max_checkpoints: int = 2,
        allow_changes: bool = False,
        nan_retries: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        tensorboard: str | None = None,
        verbose: int | str = "auto",
        keep_examples: bool = True,
        init_from: str | Path | Task | None = None,
        **options: Unpack[ReadKeywords],
    ) -> dict[str, list[float]]:
        """Train from scratch or from a saved model and keep the weights of the best validation epoch.

        Args:
            data: a folder, a csv, tsv, json, jsonl, parquet or npz file, several of them, "https://...", "tfds:NAME",
                a DataFrame, (inputs, targets), or a `tf.data.Dataset` of (features, target).
            validation: the same; None holds out `validation_split` of the data.
            minutes: wall-clock time of the whole call, in minutes. The number of steps that fit is decided once, after
                a few steps and a validation have been timed, and logged; the schedule covers exactly these steps.
            steps: number of training steps, in place of `epochs`. The number that was logged for `minutes` repeats that
                run.
            columns: dict from this task's column names to those of the data, where they differ: `{"text": "review"}`.
            data_dir: folder of TensorFlow Datasets.
            save: folder for the model, its checkpoints and the options of the run (`config.yaml`).
            resume: True resumes the interrupted run in `save` from its last checkpoint; on a CPU the result is
                bit-identical to an uninterrupted run. The run keeps its number of steps. A finished run is left
                unchanged. "auto" resumes if `save` contains a run, finished or not, and otherwise starts one, so that
                the same call can be repeated after any interruption.
            overwrite: replace the model in `save` when the new one is complete. With `resume="auto"`, only if the run
                cannot be resumed, for example because hyperparameters or data have changed.
            strategy: distribution strategy: "auto", "auto:cores", "one", "cores", "cores:N", "mirrored", "mirrored:N",
                "multiworker", "tpu", "tpu:NAME", or a `tf.distribute.Strategy`; see
                `dlkit.training.strategies.resolve_strategy`.
            worker_timeout: seconds to wait for the other workers before training starts.
            checkpoint_every: checkpoint interval in steps, or in minutes as "10m"; 0 saves at the end of epochs and
                skips some so that checkpoints take less than 3% of the training time.
            max_checkpoints: number of checkpoints to keep.
            allow_changes: allow resuming with different hyperparameters or data.
            nan_retries: number of retries from the last good checkpoint, at half the learning rate, when the loss is
                not finite.
            callbacks: additional Keras callbacks.
            tensorboard: folder for TensorBoard logs.
            verbose: as in `keras.Model.fit`.
            keep_examples: save the inputs of up to 8 training rows with the model, as examples for its exports; see
                `export`.
            init_from: folder of a saved model, or a fitted task, of the same task and network. Training starts from
                its weights and keeps its vocabularies, statistics and label order; new labels are added to the last
                layer. Not needed when a run is resumed.
            **options: options for reading the data: `delimiter`, `quotes`, `column_names`, `strict`, `max_rows`,
                `allow_outside`; see `dlkit.data.read_options.ReadOptions`.

        Returns:
            The training history: a dict from metric name to a list with one value per epoch.

        Raises:
            DataError: the data cannot be used; the message says where and why.
            DlkitError: `save` cannot be written or resumed, or another process writes there; the loss became NaN; the
                workers have different settings, or one was lost or did not respond.
            Preempted: SIGTERM stopped the run after a checkpoint; the process exits with code 143.

        Examples:
            >>> model = dlkit.SentimentClassifier(epochs=1)
            >>> history = model.fit(model.samples()["train"], save="reviews", verbose=0)
            >>> len(history["loss"])
            1
        """
        begun = time.perf_counter()
        check_length(self.epochs, minutes, steps)
        load_tensorflow()
        from dlkit.training.continue_training import copy_task
        from dlkit.training.fit import Run, check_run, fit, parse_interval
        from dlkit.training.strategies import resolve_strategy

        distribution = resolve_strategy(
            strategy, worker_timeout, self.batch_size
        )  # before TensorFlow computes anything, after which it takes no new devices
        self.is_chief = distribution.is_chief
        if verbose and self.is_chief and strategy != "one":
            logger.info(f"training on {distribution.reason}")
        given = {
            "minutes": float(minutes),
            "steps": int(steps),
            "save": os.fspath(save) if save else None,
            "strategy": strategy,
            "worker_timeout": worker_timeout,
            "checkpoint_every": str(checkpoint_every),
            "max_checkpoints": max_checkpoints,
            "nan_retries": nan_retries,
            "keep_examples": keep_examples,
            "tensorboard": tensorboard,
            "init_from": os.fspath(init_from) if isinstance(init_from, (str, Path)) else None,
            **({"callbacks": callbacks} if callbacks else {}),
        }
        reading = {"columns": columns or {}, "data_dir": data_dir, **options}
        self._run_file = RunFile(self.task_name(), data, validation, reading, self.hparams, given)
        run = Run(
            distribution,
            begun,
            minutes=float(minutes),
            steps=int(steps),
            save=Path(save) if save else None,
            resume=resume,
            overwrite=overwrite,
            allow_changes=allow_changes,
            max_checkpoints=max_checkpoints,
            checkpoint_every=parse_interval(checkpoint_every),
            nan_retries=nan_retries,
            callbacks=callbacks,
            tensorboard=tensorboard,
            verbose=verbose,
            keep_examples=keep_examples,
            init_from=Path(init_from) if isinstance(init_from, (str, Path)) else init_from,
            options=self._run_file,
        )
        if isinstance(run.init_from, Task):
            run.init_from._check_fitted()
            if run.init_from is self:  # which forgets what it has learned
                run.init_from = copy_task(self)
        with (
            model_folder.lock_for_writing(run.save) if run.save and self.is_chief else contextlib.nullcontext(),
            quiet(not (verbose and self.is_chief)),
        ):
            check_run(self, run)  # before the data are read
            self.header_, self.last_evaluation_, self.tracker_runs_, self.init_from_ = [], {}, {}, {}
            self.plan_, self.selection_ = {}, {}
            train = self.read(data, columns=columns, data_dir=data_dir, **options).cleaned()
            if validation is not None:
                validation = self.read(validation, columns=columns, data_dir=data_dir, **options).cleaned()
            self._served = {}
            history = fit(self, train, validation, run)
        gc.collect()  # networks and graphs are cycles: Python counts them, not their bytes, and lets several pile up
        return history

    @final
    def check(
        self,
        data: Any,
        validation: Any = None,
        *,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> dict[str, Any]:
        """Check data as `fit` does before training, without training.

        Args:
            data: as in `fit`.
            validation: as in `fit`; None holds out `validation_split` of the data.
            columns: dict from this task's column names to those of the data, where they differ.
            data_dir: folder of TensorFlow Datasets.
            options: as in `fit`.

        Returns:
            A dict of `source`, `statistics`, `remarks` (rows that were skipped, merged or corrected), `warnings`
            (suspected problems) and `errors` (that `fit` would raise), each with its location and a remedy.

        Raises:
            DataError: the data cannot be read.

        Examples:
            >>> model = dlkit.SentimentClassifier()
            >>> model.check(model.samples()["train"])["errors"]
            []
        """
        load_tensorflow()
        from dlkit.training.prepare import inspect_data, split_rows

        copy = type(self)(**self.hparams)
        train = copy.read(data, columns=columns, data_dir=data_dir, **options).cleaned()
        if validation is not None:
            validation = copy.read(validation, columns=columns, data_dir=data_dir, **options).cleaned()
        return inspect_data(*split_rows(copy, train, validation, replicas=1)).as_dict()

    @final
    def find_learning_rate(
        self,
        data: Any,
        *,
        steps: int = 100,
        plot: str | Path | None = None,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> float:
        """Search for a learning rate.

        Trains a copy of the task with a rising learning rate (range test), and then a few times with its schedule at
        rates around the one at which the loss fell fastest.

        Args:
            data: as in `fit`.
            steps: number of steps of each of these runs, of which there are usually five to seven.
            plot: image file for a plot of the losses; None writes none.
            columns: as in `fit`.
            data_dir: as in `fit`.
            **options: options for reading the data, as in `fit`.

        Returns:
            The suggested peak learning rate.

        Raises:
            DataError: the data cannot be read.
            DlkitError: the loss never decreased.

        Examples:
            >>> model = dlkit.SentimentClassifier()
            >>> 0 < model.find_learning_rate(model.samples()["train"], steps=20) < 1
            True
        """
        load_tensorflow()
        from dlkit.training.find_learning_rate import find_learning_rate

        copy = type(self)(**self.hparams)
        rows = copy.read(data, columns=columns, data_dir=data_dir, **options).cleaned().to_train()
        return find_learning_rate(copy, rows, steps, Path(plot) if plot else None)

    @final
    def read(
        self,
        data: Any,
        *,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> Rows:
        """Read labeled data into rows, with sources and options as in `fit`. Raises DataError."""
        how = ReadOptions(columns or {}, data_dir, **options)
        header: list[str] = []
        if type(self).declare is not Task.declare:
            own = {theirs: name for name, theirs in (columns or {}).items()}
            header = [own.get(name, name) for name in header_of(data, how, readers_of(self.inputs))]
            if header and not self.header_:  # without one, the reader says what is wrong with the source
                self.header_ = header
                self.declare(self.header_)
                check_input_names(self.inputs, str(data))
        table = read_table(data, {**self.inputs, **self.target}, how)
        table.header = header
        extra = [name for name in header if name not in self.header_] if self.rows.by_record else []
        if extra:
            remark = f"columns that the training data does not have are ignored: {', '.join(extra)}"
            table.remarks = [*table.remarks, remark]
        return self.rows(self, table)

    @overload
    def predict(
        self,
        values: Any,
        *,
        as_frame: Literal[True],
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> pandas.DataFrame: ...

    @overload
    def predict(
        self, values: list[Any] | tuple[Any, ...], *, as_frame: Literal[False] = False, **options: Unpack[ReadKeywords]
    ) -> list[dict[str, Any]]: ...

    @overload
    def predict(
        self,
        values: str | bytes | Mapping[str, Any],
        *,
        as_frame: Literal[False] = False,
        **options: Unpack[ReadKeywords],
    ) -> dict[str, Any]: ...

    @overload
    def predict(
        self,
        values: Any,
        *,
        as_frame: bool = False,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> Any: ...

    @final
    def predict(
        self,
        values: Any,
        *,
        as_frame: bool = False,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> Any:
        """Predict for one raw input, or for a list or table of inputs, in order.

        A string that names a file, a folder or a data set is read and never used as an input itself: a table is read
        row by row, a file with one input is that input. Inside a list, strings are inputs, unless all of them are names
        of existing tables.

        Args:
            values: one input (a dict by column name if the task has several); a list of inputs; a Series; or any source
                that `fit` reads, without targets: a DataFrame, a dict of columns, a csv, tsv, json, jsonl, parquet
                or npz file, a folder, "part-*.csv", "https://...", "tfds:NAME", or a `tf.data.Dataset`.
            as_frame: return a pandas DataFrame, with the index of a DataFrame or Series, or the files of a folder, as
                its index.
            columns: dict from this task's column names to those of the data, where they differ: `{"text": "review"}`.
            data_dir: folder of TensorFlow Datasets.
            **options: options for reading the data, as in `fit`.

        Returns:
            A dict for one input or a file with one input, otherwise a list of dicts. Unreadable files of a folder and
            series that cannot be forecast are skipped, and named on stderr.

        Raises:
            DataError: an input is invalid, and the message names it and says why; or a file is missing.
            DlkitError: `as_frame` needs pandas.

        Examples:
            >>> model.predict("A wonderful film.")["label"]
            'positive'
            >>> [answer["label"] for answer in model.predict(["A wonderful film.", "A dull, terrible film."])]
            ['positive', 'negative']
        """
        self._check_fitted()
        pandas = import_pandas("as_frame=True", " Without it a list is returned.") if as_frame else None
        given = prediction_inputs(self, values, ReadOptions(columns or {}, data_dir, **options))
        if given.bad:
            logger.warning(list_skipped(given.bad, len(given.table) + len(given.bad), "files"))
        for remark in given.table.remarks:
            logger.warning(remark)
        shown = self.present_rows(self.predict_table(given.table))
        if pandas is None:
            return shown[0] if given.single else shown
        return to_dataframe(pandas, self.rows(self, given.table), shown, given.index)

    @final
    def predict_to(
        self,
        data: Any,
        output: str | Path,
        *,
        keep_columns: str | Sequence[str] = (),
        overwrite: bool = False,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        verbose: bool = True,
        **options: Unpack[ReadKeywords],
    ) -> dict[str, Any]:
        """Predict for a whole source and write a file, in bounded memory and in parts.

        Each row of a table has one row in the output, in order. Invalid rows have an empty one and are listed with
        their location and the reason in `<output>.bad.jsonl`; invalid files of a folder are skipped. After an
        interruption the same call resumes, and the output is identical to that of an uninterrupted call.

        Args:
            data: any source that `fit` reads, without targets; None for the rows that the model stores, such as all
                users of its training data.
            output: a file that ends in .csv, .jsonl or .parquet; for a folder also the format of the task, such as a
                folder of masks.
            keep_columns: columns of the data to copy to the output, before the predictions: their names, or "all". A
                prediction of the same name becomes `predicted_<name>`.
            overwrite: replace a finished output, or one of another run, when the new one is complete.
            columns: as in `predict`.
            data_dir: as in `predict`.
            verbose: show a progress bar on a terminal, and remarks on the data.
            **options: options for reading the data, as in `fit`.

        Returns:
            A dict with the numbers `rows`, `predicted` and `bad`, the `reasons` of the first bad rows, `output`, and
            `bad_output`, the file of bad rows or None.

        Raises:
            DataError: the data cannot be read, or no row has a prediction.
            DlkitError: the output exists, or belongs to a run with different data, model or options; another process
                writes it; or it cannot be written.

        Examples:
            >>> model.predict_to({"text": ["A wonderful film.", ""]}, "predictions.csv", verbose=False)["bad"]
            0
        """
        self._check_fitted()
        from dlkit.bulk.predict_to import predict_to

        how = ReadOptions(columns or {}, data_dir, **options)
        kept = [keep_columns] if isinstance(keep_columns, str) else list(keep_columns)
        return predict_to(self, data, Path(output), how, keep_columns=kept, overwrite=overwrite, verbose=verbose)

    @final
    def present_rows(self, answers: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        """Convert served predictions by column to one dict per row, as `predict` returns them."""
        known = {**self.answer, **self.extra_outputs}
        shown = {name: column for name, column in known.items() if name in answers and name != ERROR}  # none has one
        columns = [column.show_all(answers[name]) for name, column in shown.items()]
        return [self.present(dict(zip(shown, row, strict=True))) for row in zip(*columns, strict=True)]

    @final
    def evaluate(
        self,
        data: Any,
        *,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        label_map: Mapping[str, str] | None = None,
        predictions: str | Path | None = None,
        **options: Unpack[ReadKeywords],
    ) -> dict[str, Any]:
        """Compute metrics of the served predictions on labeled data.

        Exports record the metrics of the last evaluation in their contract and model card.

        Args:
            data: as in `fit`.
            columns: dict from this task's column names to those of the data, where they differ.
            data_dir: folder of TensorFlow Datasets.
            label_map: new names for labels of the data, `{"car": "vehicle"}`; "*" stands for all other labels that the
                model does not know.
            predictions: a new file with one row for each evaluated row: its location, true values, prediction and
                error. The suffix selects the format: csv, jsonl or parquet; for question answering also json, the
                format of SQuAD's predictions.
            options: as in `fit`.

        Returns:
            The metrics by name; `primary_metric` is the name of the main one.

        Raises:
            DataError: the data cannot be read or scored.
            DlkitError: `predictions` exists, cannot be written, or has an unknown suffix.

        Examples:
            >>> metrics = model.evaluate(model.samples()["test"], predictions="evaluated.csv")
            >>> metrics["accuracy"] > 0.5
            True
        """
        self._check_fitted()
        file = None if predictions is None else Path(predictions)
        if file:
            check_new_file(file, option("predictions"), self.rows.prediction_files)
        rows = self.read(data, columns=columns, data_dir=data_dir, **options)
        if label_map:
            rows = rows.relabeled(label_map)
        for remark in rows.evaluation_warnings():
            logger.warning(f"{rows.table.source}: {remark}")
        evaluated = rows.with_table(rows.to_evaluate())
        metrics, targets, served = self._evaluate(evaluated)
        self.last_evaluation_ = {
            "source": name_of(rows.table.source),
            "rows": len(evaluated),
            "metrics": finite(metrics),
        }
        if file:
            self._write_predictions(file, evaluated, targets, served)
        return metrics

    @final
    def plot(self, data: Any) -> Any:
        """Plot predictions as a matplotlib figure, which a notebook shows.

        Args:
            data: inputs as for `predict`, or a folder of inputs; or labeled data as for `evaluate`, for a plot with the
                true values.

        Returns:
            A `matplotlib.figure.Figure`.

        Raises:
            DlkitError: the task has no plot, or matplotlib is not installed.
            DataError: the data cannot be read.

        Examples:
            >>> model.plot("photo.jpg").savefig("prediction.png")  # doctest: +SKIP
        """
        figure = self._picture(data)
        if figure is None:
            raise DlkitError(
                f"the task {self.task_name()} has no plot of its predictions. Use `predict` for their values."
            )
        return figure

    @final
    def draw(self, data: Any, path: str | Path) -> bool:
        """Write the figure of `plot` to a file.

        Args:
            data: as in `plot`.
            path: image file; its suffix selects the format.

        Returns:
            True; or False, without writing a file, if the task has no plot of its predictions.

        Raises:
            DlkitError: the file cannot be written, or matplotlib is not installed.

        Examples:
            >>> model.draw("A wonderful film.", "film.png")
            False
        """
        figure = self._picture(data)
        if figure is not None:
            save_figure(figure, path)
        return figure is not None

    @final
    def plot_history(self) -> Any:
        """Plot the loss and the metrics over the epochs and mark the best epoch, as a matplotlib figure.

        Raises:
            DlkitError: the task is not fitted, or matplotlib is not installed.

        Examples:
            >>> model.plot_history().savefig("history.png")
        """
        self._check_fitted()
        return plot_history(self.history_, best_epoch_index(self) + 1)

    @final
    def _picture(self, data: Any) -> Any:
        self._check_fitted()
        if type(self).picture is Task.picture:
            return None
        if isinstance(data, Table):
            return self.picture(self.rows(self, data))
        if not is_source(data, self.inputs, self.target):
            return self.picture(self.rows(self, inputs_to_table(data, self.inputs)[0]))
        try:
            rows = self.read(data)
        except DataError as error:
            try:
                rows = self.rows(self, read_table(data, self.inputs, ReadOptions()))
            except DataError:
                raise error from None
            logger.warning(f"{rows.table.source}: plotted without true values: {error}")
        return self.picture(rows)

    @final
    def evaluate_rows(self, rows: Rows) -> dict[str, Any]:
        """Evaluate the served predictions for rows as they are. Raises DataError."""
        return self._evaluate(rows)[0]

    @final
    def score_epoch(self, rows: Rows) -> tuple[dict[str, Any], bytes | None]:
        """Evaluate the served predictions for rows as they are, and draw `Rows.epoch_picture`. Raises DataError."""
        metrics, _, answers = self._evaluate(rows)
        return metrics, rows.epoch_picture(answers)

    @final
    def _evaluate(self, rows: Rows) -> tuple[dict[str, Any], dict[str, list], dict[str, list]]:
        """Return the metrics, the true values and the served predictions, the latter two by column."""
        rows.check()
        table = rows.table
        targets = {name: table.raw_column(name, column) for name, column in self.target.items()}
        signature = self.served()[self.evaluated_signature]
        answers = GraphPredictor(signature, signature.columns or self.inputs)(table)
        metrics = {**rows.answer_metrics(targets, answers), **rows.baseline_metrics(targets)}
        return metrics, targets, answers

    @final
    def _write_predictions(self, file: Path, rows: Rows, targets: dict[str, list], answers: dict[str, list]) -> None:
        records = []
        for row, answer in enumerate(self.present_rows(answers)):
            target = {name: values[row] for name, values in targets.items()}
            given = {name: rows.table.columns[name][row] for name in self.inputs if name in rows.table.columns}
            identifiers = {name: str(value) for name, value in given.items() if isinstance(value, (str, int, Path))}
            records += [
                {"row": rows.table.where(row), **identifiers, **each} for each in rows.with_errors(row, target, answer)
            ]
        try:
            rows.prediction_files.get(file.suffix.lower(), write_rows)(file, records)
        except OSError as error:
            raise write_error(file, error) from error

    @final
    def export(self, directory: str | Path, *, version: int | None = None, examples: Any = "saved") -> Path:
        """Export `directory/<version>/` for TensorFlow Serving and verify that it predicts as `predict` does.

        With several workers, only the first one writes; the others return `directory`.

        Args:
            directory: folder of the exported model; its name is the name of the model on the server.
            version: version number; None for the next one.
            examples: example inputs for the contract, the warm-up requests and the verification: "saved", the training
                rows that are saved with the model; "sample", rows of the built-in sample data; "synthetic", generated
                rows, for an export without any row of the training data; or a source of rows, as in `fit`, with or
                without targets.

        Raises:
            DataError: `examples` cannot be read.
            ExportError: the version exists, or the verification failed; then nothing is written.

        Returns:
            The folder of the exported version.

        Examples:
            >>> model.export("servables/reviews").name
            '1'
        """
        self._check_fitted()
        if not self.is_chief:
            return Path(directory)
        from dlkit.serving.task_export import export_task

        return export_task(self, Path(directory), version, examples)

    @final
    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Save the fitted task, which `dlkit.load` reads. With several workers, only the first one writes.

        Args:
            folder: folder for the model; created if it does not exist.
            overwrite: replace a model in the folder, once the new one is on disk.

        Raises:
            DlkitError: the folder holds a model or an interrupted run; another process writes there; or it cannot be
                written.

        Examples:
            >>> model.save("reviews_copy")
        """
        self._check_fitted()
        if self.is_chief:
            with model_folder.lock_for_writing(Path(folder)):
                if not overwrite:
                    model_folder.refuse_to_replace(Path(folder))
                model_folder.write_model(self, Path(folder))
                if self._run_file:
                    self._run_file.write(Path(folder))

    @final
    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load a model of this task that `save` or `fit(save=...)` wrote; `dlkit.load` loads any task.

        Args:
            folder: folder of the saved model.

        Returns:
            The fitted task.

        Raises:
            DlkitError: the folder holds no model, a model of another task or of another format, or an interrupted run.

        Examples:
            >>> dlkit.SentimentClassifier.load("reviews").epochs
            1
        """
        return model_folder.read_model(cls, Path(folder))

    @final
    @classmethod
    def task_name(cls) -> str:
        """Return the name of the task on the command line.

        Examples:
            >>> dlkit.SentimentClassifier.task_name()
            'sentiment'
        """
        return cls.__module__.removesuffix(".task").rpartition(".")[2]

    # What scikit-learn, `pickle` and `copy` need.

    @final
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the hyperparameters and their values, as scikit-learn's estimators do.

        Args:
            deep: has no effect; accepted for scikit-learn.

        Examples:
            >>> dlkit.SentimentClassifier(epochs=5).get_params()["epochs"]
            5
        """
        return self.hparams

    @final
    def set_params(self, **params: Any) -> Self:
        """Set hyperparameters, as scikit-learn's estimators do; all of them or, where one is wrong, none.

        The predictions of a fitted task do not change until it is fitted again.

        Raises:
            HparamError: an option is unknown, has the wrong type or is out of range.

        Examples:
            >>> dlkit.SentimentClassifier().set_params(epochs=5).epochs
            5
        """
        other = copies.with_hparams(self, params)
        vars(self).update(other.hparams if hasattr(self, "stages_") else vars(other))
        self._given_hparams |= params.keys()
        return self

    def __sklearn_clone__(self) -> Self:
        return copies.clone_unfitted(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return copies.reduce_task(self)

    def __repr__(self) -> str:
        return summarize_task(self)

    def __dir__(self) -> list[str]:
        learned = (name for name in vars(self) if name.endswith("_") and not name.startswith("_"))
        return sorted({*self.public_methods, *self.hparams, *learned})

    # Internal.

    @final
    @property
    def hparams(self) -> dict[str, Any]:
        """Return the hyperparameters and their values."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @final
    def predict_tensors(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Run the serving graph: raw tensors to prediction tensors, batch first."""
        preprocess, network, postprocess = self.stages_.serving_models()
        batched_network = MicroBatched(network, self.max_inference_batch) if self.max_inference_batch else network
        records = chain(preprocess, batched_network, postprocess)(tensors)
        return {name: records[name] for name in self.answer}

    @final
    def predict_table(self, table: Table) -> dict[str, list]:
        """Return the served predictions for a table's rows, by column. Raises DataError, naming the row."""
        self._check_fitted()
        return GraphPredictor(self.served()["serving_default"], self.inputs)(table)

    @final
    def served(self) -> dict[str, Signature]:
        """Return the exported signatures by name; each is traced at its first use and kept."""
        with TRACING_LOCK:
            if not self._served or self._served_calibration is not self.calibration_:
                from dlkit.serving.task_export import task_signatures

                self._served = {signature.name: signature for signature in task_signatures(self)}
                self._served_calibration = self.calibration_
            return self._served

    @final
    def call_signature(self, signature: str, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Run requests through one of the task's own signatures, as a server does with its export.

        Args:
            signature: its name; one of `signatures()` that names the columns of its inputs.
            requests: inputs by name, as Python values; optional ones may be missing.

        Returns:
            The outputs of each request by name, as arrays.

        Raises:
            DataError: a request is invalid; the message names it and says why.

        Examples:
            >>> translator.call_signature("generate", [{"source": "Good morning.", "seed": 1}])  # doctest: +SKIP
        """
        self._check_fitted()
        own = self.served()[signature]
        predictor = GraphPredictor(own, own.columns)
        answers = predictor(inputs_to_table(list(requests), predictor.inputs)[0])
        return [{name: values[row] for name, values in answers.items()} for row in range(len(requests))]

    @final
    def _check_fitted(self) -> None:
        if not hasattr(self, "stages_"):
            name = type(self).__name__
            raise DlkitError(
                f"this {name} is not fitted. Call `fit` first, or load a saved one with dlkit.load(folder)."
            )
