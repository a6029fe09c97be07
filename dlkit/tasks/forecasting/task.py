"""Forecasting: from the history of a time series to its future values, with quantiles, in its own units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import numpy as np

from dlkit.columns import Count, Id
from dlkit.data.read_options import ReadKeywords, ReadOptions
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError
from dlkit.hparams import hparam
from dlkit.lazy import tf
from dlkit.options import option
from dlkit.rows import ROW, Rows
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.forecasting.columns import (
    CategoricalSeries,
    Float64Series,
    QuantileLevels,
    Quantiles,
    Series,
    StaticCovariate,
    Timestamps,
)
from dlkit.tasks.forecasting.rows import SeriesRows

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.forecasting.frequency import Frequency


@dataclass(kw_only=True)
class Forecaster(Task):
    """Forecasts time series from their history: median, quantiles and timestamps, in the units of the series.

    Examples:
        >>> model = dlkit.Forecaster(network="nlinear", ensemble_size=1, horizon=12, epochs=1)
        >>> data = model.samples()
        >>> history = model.fit(data["train"], verbose=0)
        >>> months = [f"{year}-{month:02}-01" for year in range(2018, 2022) for month in range(1, 13)]
        >>> answer = model.predict({"ds": months, "y": list(range(48))})
        >>> answer["ds"][0], len(answer["forecast"])
        ('2022-01-01', 12)
    """

    default_epochs = DefaultEpochs(20, fewest=200, most=20_000, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(64, "Number of training windows per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(2e-3, "Peak learning rate.", minimum=0)
    network: Literal["nlinear", "dlinear", "mlp", "lstm", "gru", "tcn", "transformer"] = hparam(
        "mlp", "Network architecture."
    )
    horizon: int = hparam(12, "Forecast horizon, in time steps.", minimum=1)
    quantile_levels: tuple[float, ...] = hparam(
        (0.1, 0.25, 0.5, 0.75, 0.9),
        "Quantile levels, ascending, including 0.5.",
        minimum=0.001,
        maximum=0.999,
    )
    future_covariates: str = hparam(
        "",
        "Columns known over the horizon, as A,B,C. They are numeric or categorical, such as a price or the name "
        "of a holiday; integer codes are numeric. The names are one string, in Python, too.",
    )
    historical_covariates: str = hparam(
        "",
        "Columns of past values, as A,B,C. They are numeric or categorical, and known only up to the cutoff, the last "
        "observed time step; integer codes are numeric. The names are one string, in Python, too.",
    )
    static_covariates: str = hparam(
        "",
        "Columns constant within a series, as A,B,C. They are numeric or categorical, and can include unique_id, which "
        "is always categorical; other integer codes are numeric. The names are one string, in Python, too.",
    )
    frequency: str = hparam(
        "",
        "Time step, such as hour or 15min. It is a number of seconds, minutes, hours, days, weeks, months, "
        "quarters or years, or a pandas alias such as D, h, MS, QS, W or B. (default: inferred)",
    )
    season_length: int = hparam(
        0,
        "Season length in time steps, or 0 to infer it. 0 selects the usual seasons of the frequency, such as 24 "
        "and 168 for hourly data; any other value is the only season.",
        minimum=0,
    )
    context_length: int = hparam(
        0,
        "History length in time steps; 0 infers it. The model reads this number of the most recent time steps. 0 "
        "selects the largest of twice the horizon and, for each season that the longest series contains at least "
        "twice, eight times the season length (four times if it exceeds 24 time steps, twice if it exceeds 200).",
        minimum=0,
    )
    encoder_length: int = hparam(
        0,
        "Time steps that the encoder reads; 0 infers it. They are the most recent ones of the context. 0 selects "
        "the larger of the shortest season and the horizon for `mlp`. For other networks, it selects 7 times the "
        "shortest season, or twice the shortest season if it is longer than 24 time steps, and at least twice the "
        "horizon.",
        minimum=0,
    )
    width: int = hparam(64, "Width of the hidden layers.", minimum=1)
    ensemble_size: int = hparam(4, "Number of networks in the ensemble. Their quantiles are averaged.", minimum=1)
    dropout: float = hparam(0.1, "Dropout rate.", minimum=0, maximum=0.95)
    truncate_context: float = hparam(
        0.1,
        "Fraction of windows with a truncated context. Training windows are truncated at random, so that the "
        "model learns to forecast from short histories.",
        minimum=0,
        maximum=1,
    )
    fill: Literal["last", "linear", "mean", "raise"] = hparam(
        "last",
        "Missing values. Those of the history are filled with the last value, by linear interpolation, or with "
        'the mean. The value "raise" raises an error for a missing time step, in training data and in requests; '
        "empty values are then filled with the last value.",
    )
    duplicates: Literal["mean", "last", "raise"] = hparam(
        "mean",
        "Duplicate timestamps. A timestamp that occurs more than once in a series gets the mean or the last of "
        'its values. The value "raise" raises an error.',
    )
    irregular: Literal["raise", "floor"] = hparam(
        "raise",
        'Irregular timestamps. If a timestamp is not on the regular grid, "raise" raises an error, and "floor" '
        "moves it to the preceding time step.",
    )
    wide: bool = hparam(False, "Whether tables are wide. A wide table has a `ds` column and one column per series.")
    keep_history: bool = hparam(
        False,
        "Whether to store recent history. The end of each training series is saved with the model, which can "
        "then forecast without input data.",
    )
    backtest_windows: int = hparam(1, "Number of backtest windows per series. They are taken from its end.", minimum=1)
    step_size: int = hparam(
        0,
        "Steps between backtests, or 0 for the horizon. They are the time steps between the starts of "
        "consecutive backtest windows.",
        minimum=0,
    )

    public_methods = (*Task.public_methods, "forecast")
    inputs = {"ds": Timestamps(), "y": Float64Series()}
    # `y` is a target, too: `score` compares with naive forecasts from the history.
    target = {"future_y": Float64Series(), "unique_id": Id(optional=True), "y": Float64Series()}
    answer = {
        "ds": Timestamps(),
        "forecast": Series(),
        "quantiles": Quantiles(),
        "quantile_levels": QuantileLevels(),
        "num_observed": Count(),
    }
    extra_outputs = {"num_steps": Count()}  # of the signature `forecast`
    rows = SeriesRows
    primary_metric = "skill"
    training_only = ("truncate_context", "backtest_windows", "step_size")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.frequency_: list[int] = []  # as `Frequency.as_list` returns it
        self.categories_: dict[str, list[str]] = {}  # of the categorical covariates
        self.season_length_ = 1  # of the seasonal naive forecast and of MASE
        self.mase_scales_: dict[str, float] = {}  # by id of the series
        self.stored_series_: list[dict[str, Any]] = []  # requests for the ends of the series, with `keep_history`
        levels = list(self.quantile_levels)
        if 0.5 not in levels or levels != sorted(set(levels)) or len(levels) < 2:
            raise HparamError(
                f"{option('quantile_levels')} must be two or more levels in ascending order that include 0.5. "
                f"Received: {option('quantile_levels', self.quantile_levels)}."
            )
        if self.network == "transformer" and self.width % 4:
            raise HparamError(
                f"{option('width')} must be a multiple of 4, the number of attention heads of the transformer. "
                f"Received: {option('width', self.width)}."
            )
        self.timestamps = Timestamps(
            frequency=self.frequency,
            wide=self.wide,
            duplicates=self.duplicates,
            irregular=self.irregular,
            allow_gaps=self.fill != "raise",
            future_covariates=_split_names(self.future_covariates),
            historical_covariates=_split_names(self.historical_covariates),
            static_covariates=_split_names(self.static_covariates),
        )
        kinds = ("future_covariates", "historical_covariates", "static_covariates")
        names = [name for kind in kinds for name in getattr(self.timestamps, kind)]
        for name in names:
            if name in ("ds", "y", "future_y"):
                raise HparamError(f"a covariate must not be named ds, y or future_y. Received: {name!r}.")
            if names.count(name) > 1:
                listed = f"{option(kinds[0])}, {option(kinds[1])} and {option(kinds[2])}"
                raise HparamError(f"a covariate must be listed in one of {listed}, once. Received twice: {name!r}.")
        self.set_columns()

    def declare(self, header: Sequence[str]) -> None:
        if hasattr(self, "stages_"):  # trained again: what an earlier training learned does not hold
            self.frequency_, self.categories_ = [], {}
        self.set_columns()

    def set_columns(self) -> None:
        """Set the columns by what is learned: the frequency, and which covariates are categorical."""
        self.timestamps = replace(self.timestamps, trained_frequency=tuple(self.frequency_))
        covariates = {
            name: CategoricalSeries() if name in self.categories_ else Series()
            for name in (*self.timestamps.historical_covariates, *self.timestamps.future_covariates)
        }
        static = {name: StaticCovariate() for name in self.timestamps.static_covariates}
        self.inputs = {"ds": self.timestamps, "y": Float64Series(), **covariates, **static}

    def build(self, examples: Table) -> Stages:
        from dlkit.tasks.forecasting.stages import build_stages

        return build_stages(self, examples)

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        from dlkit.tasks.forecasting.stages import make_training_windows

        preprocessing = self.stages_.preprocess.get_layer("series_preprocessing")
        windows, truth, rows = make_training_windows(preprocessing, features, target["future_y"], self.horizon)
        return {**{name: windows[name] for name in self.stages_.network.input}, ROW: rows}, {"quantiles": truth}

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.tasks.forecasting.stages import truncate_contexts

        if not self.truncate_context:
            return tensors, target
        tensors, truth = truncate_contexts(tensors, target["quantiles"], self.truncate_context, self.seed, step)
        return tensors, {"quantiles": truth}

    def loss(self) -> Any:
        from dlkit.regression.quantiles import PinballLoss

        return {"quantiles": PinballLoss(self.quantile_levels)}

    def metrics(self) -> Any:
        return None

    def resolve_frequency(self, table: Table) -> Frequency:
        """Return the frequency: that of training, else the given one, else the one inferred from a table."""
        from dlkit.tasks.forecasting.columns import to_timestamps
        from dlkit.tasks.forecasting.frequency import Frequency, infer_frequency

        if hasattr(self, "stages_") and self.frequency_:
            return Frequency(*self.frequency_)
        if self.timestamps.known_frequency:
            return self.timestamps.known_frequency
        rows = range(min(len(table), 1000))
        return infer_frequency((np.sort(to_timestamps(table.columns["ds"][row])) for row in rows), table.source)

    def signatures(self) -> list[Signature]:
        from dlkit.tasks.forecasting.stages import forecast_signature

        return [forecast_signature(self)]

    @overload
    def forecast(
        self,
        history: Mapping[str, Any],
        *,
        horizon: int | None = None,
        quantile_levels: Sequence[float] | None = None,
    ) -> dict[str, Any]: ...

    @overload
    def forecast(
        self,
        history: Any = None,
        *,
        horizon: int | None = None,
        quantile_levels: Sequence[float] | None = None,
        future: Any = None,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> Any: ...

    def forecast(
        self,
        history: Any = None,
        *,
        horizon: int | None = None,
        quantile_levels: Sequence[float] | None = None,
        future: Any = None,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> Any:
        """Forecast every series of a table, or one history.

        Args:
            history: A table of series as `fit` takes it, long or wide: a DataFrame, a file, ...; None for the series
                that the model has stored (`keep_history`). A dict of `ds`, `y` and the covariates, as `predict` takes
                it, is one history of one or more time steps, whose future covariates continue for the trained horizon.
            horizon: Number of time steps to forecast, up to the trained horizon, the default.
            quantile_levels: Levels between the lowest and the highest trained level; quantiles between the trained
                levels are interpolated. By default the trained levels.
            future: A table of `unique_id`, `ds` and the future covariates of all time steps of the trained horizon.
                Without `unique_id` it holds for all series. By default the future covariates are those of rows with an
                empty `y` at the end of each series.
            columns: Dict of this task's column names to the names in the tables, where they differ.
            data_dir: Folder of TensorFlow Datasets.
            **options: How the tables are read, as in `fit`.

        Returns:
            For a table, a DataFrame in the format of Nixtla's libraries, with one row for each series and time step
            after the series' last timestamp: `unique_id`, of the type that it has in the table, `ds`, `yhat`, the
            median, and one column for each other quantile: `yhat-lo-80` for the level 0.1 and `yhat-hi-80` for 0.9, the
            bounds of the 80 % interval. Series that cannot be forecast are skipped, and a warning names them. For one
            history, a dict of `ds`, `forecast`, the median, and `quantiles` by level.

        Raises:
            DataError: No series can be forecast; the message says why, and the remedy.

        Examples:
            >>> model = dlkit.Forecaster(network="nlinear", ensemble_size=1, horizon=12, epochs=1)
            >>> history = model.fit(model.samples()["train"], verbose=0)
            >>> answer = model.forecast({"ds": ["2024-01", "2024-02"], "y": [410, 380]}, horizon=2)
            >>> answer["ds"]
            ['2024-03-01', '2024-04-01']
        """
        self._check_fitted()
        from dlkit.tasks.forecasting.forecast_tables import forecast_table, is_single_history
        from dlkit.tasks.forecasting.stages import forecast_history

        if is_single_history(history):
            if future is not None:
                raise DataError(
                    "`future` is for tables. For a single history, append the future values to its own lists."
                )
            return forecast_history(self, history, horizon, quantile_levels)
        how = ReadOptions(columns or {}, data_dir, **options)
        history = self.rows.stored(self) if history is None else history
        return forecast_table(self, history, how=how, horizon=horizon, quantile_levels=quantile_levels, future=future)

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        levels, steps = answer["quantile_levels"], answer["quantiles"]
        quantiles = {f"{level:g}": [step[index] for step in steps] for index, level in enumerate(levels)}
        return {
            "ds": answer["ds"],
            "forecast": answer["forecast"],
            "quantiles": quantiles,
            "num_observed": answer["num_observed"],
        }

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.forecasting.metrics import score_forecasts

        ids = [name.decode() for name in targets["unique_id"]]
        return score_forecasts(
            ids,
            targets["y"],
            targets["future_y"],
            answers,
            season_length=self.season_length_,
            mase_scales=self.mase_scales_,
            context_length=self.stages_.preprocess.get_layer("series_preprocessing").context_length,
        )

    def picture(self, rows: Rows) -> Any:
        from dlkit.tasks.forecasting.plots import MAX_SERIES, plot_backtest, plot_forecasts

        table = rows.to_evaluate() if rows.labeled else rows.to_plot(MAX_SERIES)
        plot = plot_backtest if rows.labeled else plot_forecasts
        return plot(table, self.predict_table(table), self.resolve_frequency(table))

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.forecasting.sample import load_airline_sample

        return load_airline_sample()


def _split_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
