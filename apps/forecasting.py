"""Forecasting: train on a table of time series, evaluate, and export a verified SavedModel.

data      the built-in sample (monthly airline passengers, 1949 to 1960)
command   python apps/forecasting.py --epochs 20 --patience 12
result    MASE 0.44, seasonal naive 1.76, in 13 backtest windows of the last two years; 1 minute, 2026-11-30

data      a csv, tsv or parquet table `unique_id,ds,y` and covariates, or with --wide one column per series beside `ds`
command   python apps/forecasting.py --data series.csv --horizon 24 --backtest-windows 28 --epochs 20 --patience 12
          python apps/forecasting.py --data series.csv --future-covariates holiday --historical-covariates temp
result    hourly traffic, a day ahead: MASE 0.319, 3 to 4 minutes, 2026-11-29; with a column of holidays 0.281
          (2026-11-23, before series were scaled by their own values)
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("forecasting")
