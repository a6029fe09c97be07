"""Forecasting: the history of a series in, its next steps out, with quantiles, in its own units."""

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
from dlkit.tasks.forecasting.columns import Categories, Fans, Levels, Series, Stamps, Static, Values
from dlkit.tasks.forecasting.rows import SeriesRows

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.forecasting.frequency import Step

LINEAR = ("nlinear", "dlinear")


@dataclass(kw_only=True)
class Forecaster(Task):
    """Forecasts the next steps of a time series from its history: median, quantiles and timestamps, in its own units.

    Example:
        >>> model = dlkit.Forecaster(network="nlinear", members=1, horizon=12, epochs=1)
        >>> data = model.samples()
        >>> history = model.fit(data["train"], verbose=0)
        >>> months = [f"{year}-{month:02}-01" for year in range(2018, 2022) for month in range(1, 13)]
        >>> answer = model.predict({"ds": months, "y": list(range(48))})
        >>> answer["ds"][0], len(answer["forecast"])
        ('2022-01-01', 12)
    """

    default_epochs = DefaultEpochs(20, fewest=200, most=20_000, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(64, "Batch size: number of training windows per step.", minimum=1)
    learning_rate: float = hparam(2e-3, "Peak learning rate.", minimum=0)
    network: Literal["nlinear", "dlinear", "mlp", "lstm", "gru", "tcn", "transformer"] = hparam(
        "mlp", "Network architecture."
    )
    horizon: int = hparam(12, "Forecast horizon: number of time steps to predict.", minimum=1)
    quantiles: tuple[float, ...] = hparam(
        (0.1, 0.25, 0.5, 0.75, 0.9),
        "Quantile levels to predict, in ascending order; must include 0.5.",
        minimum=0.001,
        maximum=0.999,
    )
    known: str = hparam(
        "",
        "Future covariates (known over the horizon, such as a price or a holiday's name): numeric or categorical "
        "columns, separated by commas.",
    )
    past: str = hparam("", "Historical covariates, known up to the forecast origin only: columns separated by commas.")
    static: str = hparam(
        "", "Static covariates, constant within a series: columns separated by commas; unique_id may be one."
    )
    frequency: str = hparam("", "Time step of the series: hour, 15 minutes, B, QS, ...; inferred by default.")
    season: int = hparam(
        0,
        "Season length, in time steps; 0 selects the usual ones of the frequency, such as a day and a week.",
        minimum=0,
    )
    window: int = hparam(
        0,
        "Input size (context length), in time steps; 0 selects four seasons, or two if a season exceeds 200 steps.",
        minimum=0,
    )
    recent: int = hparam(
        0,
        "Most recent time steps of the context that the network reads one by one; 0 selects a few seasons.",
        minimum=0,
    )
    units: int = hparam(64, "Width of the hidden layers.", minimum=1)
    members: int = hparam(4, "Ensemble size: number of networks whose forecasts are averaged.", minimum=1)
    dropout: float = hparam(0.1, "Dropout rate.", minimum=0, maximum=0.95)
    shorten: float = hparam(
        0.1, "Fraction of the training windows whose context is truncated at random.", minimum=0, maximum=1
    )
    fill: Literal["last", "linear", "mean", "refuse"] = hparam(
        "last",
        "How missing values of the history are filled; refuse rejects them, in data and in requests.",
    )
    duplicates: Literal["mean", "last", "refuse"] = hparam(
        "mean", "Which value to use when a timestamp occurs more than once in a series."
    )
    off_grid: Literal["refuse", "floor"] = hparam(
        "refuse", "How to treat irregular timestamps, which are not a multiple of the frequency apart."
    )
    wide: bool = hparam(False, "Reads wide tables: one column per series, beside ds.")
    keep_history: bool = hparam(
        False,
        "Saves the most recent context of each training series with the model, which then forecasts without input.",
    )
    origins: int = hparam(
        1, "Number of backtest windows (forecast origins) per series, counted from the end.", minimum=1
    )
    stride: int = hparam(0, "Time steps between consecutive backtest windows; 0 selects the horizon.", minimum=0)

    public_methods = (*Task.public_methods, "forecast")
    inputs = {"ds": Stamps(), "y": Values()}
    target = {"following": Values(), "unique_id": Id(optional=True), "y": Values()}  # `score` asks what was before
    answer = {"ds": Stamps(), "forecast": Values(), "quantiles": Fans(), "levels": Levels(), "given": Count()}
    extra_outputs = {"steps": Count()}  # of the signature `forecast`
    rows = SeriesRows
    primary_metric = "skill"
    training_only = ("shorten", "origins", "stride")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.step_ = [0, 0, 0]  # as `Step.as_list`; of models that were saved before, months, seconds, whole numbers
        self.categories_: dict[str, list[str]] = {}  # the names of covariates that are no numbers
        self.season_ = 1  # of the seasonal naive forecast and of MASE
        self.scales_: dict[str, float] = {}  # of series by id
        self.series_: list[dict[str, Any]] = []  # with `keep_history`, the end of each, as a request brings it
        if 0.5 not in self.quantiles or list(self.quantiles) != sorted(set(self.quantiles)) or len(self.quantiles) < 2:
            raise HparamError(
                f"{option('quantiles')} must be two or more levels in ascending order that include 0.5. Received: "
                f"{option('quantiles', self.quantiles)}."
            )
        if self.network == "transformer" and self.units % 4:
            raise HparamError(
                f"{option('units')} must be a multiple of 4, the number of attention heads of the transformer. "
                f"Received: {option('units', self.units)}."
            )
        self.stamps = stamps = Stamps(
            frequency=self.frequency,
            wide=self.wide,
            duplicates=self.duplicates,
            off_grid=self.off_grid,
            gaps=self.fill != "refuse",
            known=_names(self.known),
            past=_names(self.past),
            static=_names(self.static),
        )
        self.inputs = {"ds": stamps, "y": Values()}
        self.inputs |= {name: Values() for name in (*stamps.past, *stamps.known)}
        self.inputs |= {name: Static() for name in stamps.static}
        listed = [*stamps.known, *stamps.past, *stamps.static]
        twice = [name for name in listed if listed.count(name) > 1 or name in ("ds", "y", "following")]
        if twice:
            raise HparamError(
                f"a covariate must be one of {option('known')}, {option('past')} and {option('static')}, and "
                f"another than ds and y: {twice[0]!r}."
            )

    def declare(self, header: Sequence[str]) -> None:
        if hasattr(self, "stages_"):  # trained anew: what an earlier training learned is no longer so
            self.step_, self.categories_ = [0, 0, 0], {}
        self.set_columns()

    def set_columns(self) -> None:
        """The columns by what is learned: the step, and which covariates are categories. Values are in double
        precision, which they are not in models that were saved before columns were declared."""
        self.stamps = replace(self.stamps, trained=tuple(self.step_))
        covariates = {
            name: Categories() if name in self.categories_ else Values()
            for name in (*self.stamps.past, *self.stamps.known)
        }
        static = {name: Static() for name in self.stamps.static}
        self.inputs = {"ds": self.stamps, "y": Series(), **covariates, **static}
        self.target = {"following": Series(), "unique_id": Id(optional=True), "y": Series()}

    def build(self, examples: Table) -> Stages:
        from dlkit.tasks.forecasting.stages import build_stages

        return build_stages(self, examples)

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        from dlkit.tasks.forecasting.stages import windows_of

        reader = self.stages_.preprocess.get_layer("reader")
        scaled, truth, rows = windows_of(reader, features, target["following"], self.horizon)
        return {**{name: scaled[name] for name in self.stages_.network.input}, ROW: rows}, {"quantiles": truth}

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.tasks.forecasting.stages import shortened

        if not self.shorten:
            return tensors, target
        tensors, truth = shortened(tensors, target["quantiles"], self.shorten, self.seed, step)
        return tensors, {"quantiles": truth}

    def loss(self) -> Any:
        from dlkit.tasks.forecasting.quantiles import Pinball

        return {"quantiles": Pinball(self.quantiles)}

    def metrics(self) -> Any:
        return None

    def step(self, table: Table) -> Step:
        """The step between stamps: of training, given, or inferred from a table."""
        from dlkit.tasks.forecasting.columns import stamps_of
        from dlkit.tasks.forecasting.frequency import Step, infer_frequency

        if hasattr(self, "stages_") and any(self.step_):
            return Step(*self.step_)
        if self.stamps.step:
            return self.stamps.step
        few = range(min(len(table), 1000))
        return infer_frequency((np.sort(stamps_of(table.columns["ds"][row])) for row in few), table.source)

    def signatures(self) -> list[Signature]:
        from dlkit.tasks.forecasting.stages import forecast_signature

        return [forecast_signature(self)]

    @overload
    def forecast(
        self,
        history: Mapping[str, Any],
        *,
        horizon: int | None = None,
        levels: Sequence[float] | None = None,
    ) -> dict[str, Any]: ...

    @overload
    def forecast(
        self,
        history: Any = None,
        *,
        horizon: int | None = None,
        levels: Sequence[float] | None = None,
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
        levels: Sequence[float] | None = None,
        future: Any = None,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> Any:
        """Continues every series of a table, or one history, as the signature `forecast` does.

        Args:
            history: a table of series as `fit` takes it, long or wide: a DataFrame, a file, ...; None for the series
                that the model has kept (`keep_history`). A dict of `ds`, `y` and the covariates, as `predict` takes it,
                is one history, of any length from 1, its covariates that are known ahead with the values of all trained
                steps.
            horizon: steps ahead, up to the trained ones; None for all.
            levels: levels of quantiles between the lowest and the highest trained one; in between they are
                interpolated. None for the trained ones.
            future: a table of `unique_id`, `ds` and the covariates that are known ahead, of all trained steps after
                each series' end; without `unique_id` it holds for all series. None where the series' own rows with an
                empty `y` at their ends hold them.
            columns: this task's column names to the tables' own, where they differ.
            data_dir: where TensorFlow Datasets lie.
            **options: how the tables are read, as in `fit`.

        Returns:
            Of a table a DataFrame in the form of Nixtla's libraries, a row for each series and step from the series'
            last timestamp on: `unique_id`, of the type that it has in the table, `ds`, `yhat`, the median, and a column
            for each other quantile: `yhat-lo-80` for the level 0.1, `yhat-hi-80` for 0.9, the bounds of the interval
            that 80 % are in. Series that cannot be continued are left out, counted and named on stderr. Of one history
            a dict: `ds`, `forecast`, the median, and `quantiles` by level.

        Raises:
            DataError: no series can be continued; says why, and the cure.

        Example:
            >>> model.forecast("sales.csv", horizon=6)
        """
        self._check_fitted()
        from dlkit.tasks.forecasting.forecast_tables import forecast_table, is_history
        from dlkit.tasks.forecasting.stages import forecast

        if is_history(history):
            if future is not None:
                raise DataError(
                    "`future` is for tables. For a single history, append the future values to its own lists."
                )
            return forecast(self, history, horizon, levels)
        how = ReadOptions(columns or {}, data_dir, **options)
        history = self.rows.stored(self) if history is None else history
        return forecast_table(self, history, how=how, horizon=horizon, levels=levels, future=future)

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        levels, rows = answer["levels"], answer["quantiles"]
        quantiles = {f"{level:g}": [row[place] for row in rows] for place, level in enumerate(levels)}
        return {name: answer[name] for name in ("ds", "forecast")} | {"quantiles": quantiles, "given": answer["given"]}

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.forecasting.metrics import score_forecasts

        ids = [name.decode() for name in targets["unique_id"]]
        window = self.stages_.preprocess.get_layer("reader").window
        return score_forecasts(ids, targets["y"], targets["following"], answers, self.season_, self.scales_, window)

    def picture(self, rows: Rows) -> Any:
        from dlkit.tasks.forecasting.plots import SERIES, plot_backtest, plot_fans

        table = rows.to_evaluate() if rows.labeled else rows.to_plot(SERIES)
        return (plot_backtest if rows.labeled else plot_fans)(table, self.predict_table(table), self.step(table))

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.forecasting.sample import airline_sample

        return airline_sample()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
