"""Compare `TabularClassifier` and `TabularRegressor` with LightGBM, linear models and a plain Keras network.

    python benchmarks/tabular.py accuracy FOLDER [--seeds 0 1 2] [--minutes 3] [HPARAM=VALUE ...]
    python benchmarks/tabular.py peers FOLDER [--seeds 0 1 2] [--lightgbm PYTHON]
    python benchmarks/tabular.py speed FOLDER [HPARAM=VALUE ...]
    python benchmarks/tabular.py latency FOLDER [HPARAM=VALUE ...]

FOLDER holds `train.csv` and `test.csv`, whose last column is predicted: `adult` or `california_housing`. Nothing is
chosen on the test rows: LightGBM and the plain Keras network stop early on a tenth of the training rows. The peers need
pandas, scikit-learn and lightgbm; `--lightgbm` is the Python of an environment that has them, if this one has not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import print_machine
from timing import hparams_of, median_ms, print_scores

VALIDATION = 0.1  # share of the training rows on which the peers stop early


def read_tables(folder: Path) -> tuple[Any, Any, str, bool]:
    """Return the tables, the name of the target, and whether it is a class."""
    import pandas

    train, test = (pandas.read_csv(folder / f"{part}.csv", keep_default_na=True) for part in ("train", "test"))
    target = train.columns[-1]
    return train, test, target, not pandas.api.types.is_numeric_dtype(train[target])


def print_accuracy(folder: Path, seeds: list[int], minutes: float, hparams: dict[str, Any]) -> None:
    """Print the metrics of dlkit's networks for each seed."""
    import dlkit

    _, _, target, classes = read_tables(folder)
    task = dlkit.TabularClassifier if classes else dlkit.TabularRegressor
    names = ("accuracy", "auc", "log_loss", "calibration_error") if classes else ("rmse", "mae", "r2", "coverage")
    others = ("logistic_accuracy", "logistic_auc", "logistic_log_loss") if classes else ("ridge_rmse", "ridge_mae")
    found: dict[str, list[float]] = {}
    for seed in seeds:
        model = task(targets=target, seed=seed, **hparams)
        begun, cpu = time.perf_counter(), time.process_time()
        model.fit(str(folder / "train.csv"), minutes=minutes, verbose=0)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        metrics = model.evaluate(str(folder / "test.csv"))
        for name in (*names, *others):
            found.setdefault(name, []).append(metrics[name])
        shown = ", ".join(f"{name} {metrics[name]:.4f}" for name in names)
        epochs = f"best epoch {model.best_epoch_['epoch']} of {len(model.history_['loss'])}"
        print(f"{model.network}, seed {seed}: {shown}; {seconds:.0f} s, {cpu:.0f} s of CPU, {epochs}", flush=True)
    for name, values in found.items():
        print_scores(name, values, 4)


def encode(train: Any, test: Any, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scaled numbers and one-hot categories of both tables, missing numbers as medians with an indicator."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        sparse_threshold=0,
    )
    return encoder.fit_transform(train.drop(columns=target)), encoder.transform(test.drop(columns=target))


def print_metrics(name: str, true: np.ndarray, predicted: np.ndarray, classes: bool, seconds: float) -> None:
    """Print the metrics of a peer: of probabilities of the second class, or of numbers."""
    from sklearn import metrics

    if classes:
        values = {
            "accuracy": metrics.accuracy_score(true, predicted > 0.5),
            "auc": metrics.roc_auc_score(true, predicted),
            "log loss": metrics.log_loss(true, predicted),
        }
    else:
        rmse, mae = metrics.root_mean_squared_error(true, predicted), metrics.mean_absolute_error(true, predicted)
        values = {"rmse": rmse, "mae": mae}
    print(f"{name}: {', '.join(f'{key} {value:.4f}' for key, value in values.items())}; {seconds:.0f} s", flush=True)


def print_peers(folder: Path, seeds: list[int]) -> None:
    """Print the metrics of linear models and of a plain Keras network on the encoding of scikit-learn."""
    from sklearn.linear_model import LogisticRegression, Ridge

    train, test, target, classes = read_tables(folder)
    y, y_test = read_targets(train, test, target, classes)
    begun = time.perf_counter()
    x, x_test = encode(train, test, target)
    linear = (LogisticRegression(max_iter=2000) if classes else Ridge()).fit(x, y)
    predicted = linear.predict_proba(x_test)[:, 1] if classes else linear.predict(x_test)
    name = "logistic regression" if classes else "ridge regression"
    print_metrics(name, y_test, predicted, classes, time.perf_counter() - begun)
    for seed in seeds:
        begun = time.perf_counter()
        predicted = fit_keras(x, y, x_test, classes, seed)
        print_metrics(f"plain Keras, seed {seed}", y_test, predicted, classes, time.perf_counter() - begun)


def read_targets(train: Any, test: Any, target: str, classes: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers to predict, or those of the classes."""
    labels = {name: number for number, name in enumerate(sorted(train[target].unique()))} if classes else {}
    y, y_test = ((table[target].map(labels) if classes else table[target]).to_numpy() for table in (train, test))
    return y, y_test


def fit_keras(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, classes: bool, seed: int) -> np.ndarray:
    """Train three dense layers with dropout, Adam and early stopping; return the predictions for the test rows."""
    import keras
    from sklearn.model_selection import train_test_split

    keras.utils.set_random_seed(seed)
    mean, deviation = (0.0, 1.0) if classes else (y.mean(), y.std())
    hidden = [layer for _ in range(3) for layer in (keras.layers.Dense(256, "relu"), keras.layers.Dropout(0.1))]
    network = keras.Sequential([*hidden, keras.layers.Dense(1, "sigmoid" if classes else None)])
    network.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy" if classes else "mse")
    part, held, y_part, y_held = train_test_split(x, (y - mean) / deviation, test_size=VALIDATION, random_state=seed)
    stop = keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)
    network.fit(part, y_part, validation_data=(held, y_held), batch_size=256, epochs=100, verbose=0, callbacks=[stop])
    return network.predict(x_test, verbose=0)[:, 0] * deviation + mean


def print_lightgbm(folder: Path, seeds: list[int]) -> None:
    """Print the metrics of LightGBM with early stopping."""
    import lightgbm
    from sklearn.model_selection import train_test_split

    train, test, target, classes = read_tables(folder)
    y, y_test = read_targets(train, test, target, classes)
    tables = [table.drop(columns=target) for table in (train, test)]
    for name in tables[0].select_dtypes(exclude="number"):
        kind = tables[0][name].astype("category").dtype
        tables = [table.assign(**{name: table[name].astype(kind)}) for table in tables]
    for seed in seeds:
        begun = time.perf_counter()
        part, held, y_part, y_held = train_test_split(tables[0], y, test_size=VALIDATION, random_state=seed)
        kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
        model = kind(n_estimators=5000, learning_rate=0.05, random_state=seed, n_jobs=1, verbose=-1)
        model.fit(part, y_part, eval_set=[(held, y_held)], callbacks=[lightgbm.early_stopping(50, verbose=False)])
        predicted = model.predict_proba(tables[1])[:, 1] if classes else model.predict(tables[1])
        print_metrics(f"LightGBM, seed {seed}", y_test, predicted, classes, time.perf_counter() - begun)


def print_speed(folder: Path, hparams: dict[str, Any]) -> None:
    """Print the training rows a second of CPU time of dlkit and of `keras.Model.fit`, on the same network and rows."""
    import keras

    import dlkit

    _, _, target, classes = read_tables(folder)
    task = (dlkit.TabularClassifier if classes else dlkit.TabularRegressor)(
        targets=target, validation_split=0, epochs=3, **hparams
    )
    seconds: list[float] = []

    class Timer(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.begun = time.process_time()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds.append(time.process_time() - self.begun)

    task.fit(str(folder / "train.csv"), verbose=0, callbacks=[Timer()])
    rows = task.read(str(folder / "train.csv"))
    own = len(rows) / min(seconds)
    from dlkit.columns import to_batch

    columns = {**task.inputs, **task.target}
    raw = to_batch([rows.table.raw(row, columns) for row in range(len(rows))], columns)
    x, y = task.encode({name: raw[name] for name in task.inputs}, {name: raw[name] for name in task.target})[:2]
    network = keras.models.clone_model(task.stages_.network)
    network.compile(keras.optimizers.AdamW(task.learning_rate), loss=task.loss(), metrics=task.metrics())
    seconds.clear()
    network.fit(x, y, batch_size=task.batch_size, epochs=3, verbose=0, callbacks=[Timer()])
    plain = len(rows) / min(seconds)
    print(
        f"{task.network}: dlkit {own:,.0f} rows a second of CPU time, keras.Model.fit {plain:,.0f}: "
        f"{own / plain:.2f} times as many"
    )


def print_latency(folder: Path, hparams: dict[str, Any]) -> None:
    """Print the median time of one row through the exported signature, and through `predict`."""
    import tempfile

    import tensorflow as tf

    import dlkit

    _, _, target, classes = read_tables(folder)
    task = dlkit.TabularClassifier if classes else dlkit.TabularRegressor
    model = task(targets=target, **hparams)
    model.fit(str(folder / "train.csv"), steps=5, max_rows=5000, verbose=0)
    raw = model.read(str(folder / "test.csv"), max_rows=1).table.raw(0, model.inputs)
    with tempfile.TemporaryDirectory() as folder_of_export:
        version = model.export(Path(folder_of_export) / "model")
        served = tf.saved_model.load(str(version)).signatures["serving_default"]
        row = {name: tf.constant([value]) for name, value in raw.items()}
        for name, call in (("exported signature", lambda: served(**row)), ("predict", lambda: model.predict(raw))):
            print(f"{model.network}, one row, {name}: median {median_ms(call, 300):.2f} ms")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("accuracy", "peers", "lightgbm", "speed", "latency"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=0.0, help="time of each training; 0 for the default epochs")
    parser.add_argument("--lightgbm", metavar="PYTHON", help="Python with lightgbm, pandas and scikit-learn")
    given = parser.parse_intermixed_args()
    print_machine()
    hparams = hparams_of(given.hparams)
    if given.what == "accuracy":
        print_accuracy(given.folder, given.seeds, given.minutes, hparams)
    elif given.what == "peers":
        print_peers(given.folder, given.seeds)
        flags = [str(given.folder), "--seeds", *map(str, given.seeds)]
        subprocess.run([given.lightgbm or sys.executable, __file__, "lightgbm", *flags], check=True)
    elif given.what == "lightgbm":
        print_lightgbm(given.folder, given.seeds)
    elif given.what == "speed":
        print_speed(given.folder, hparams)
    else:
        print_latency(given.folder, hparams)


if __name__ == "__main__":
    main()
