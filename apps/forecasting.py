"""Forecasting: the history of series to their next steps with quantiles, from a table to a verified servable.

data      the built-in sample (monthly airline passengers, 1949 to 1960)
command   python apps/forecasting.py

data      a csv, tsv or parquet table `unique_id,ds,y` and covariates, or by --wide a column for each series beside `ds`
command   python apps/forecasting.py --data series.csv --horizon 24 --origins 28
          python apps/forecasting.py --data series.csv --horizon 24 --origins 28 --known holiday --past temp
"""

from dlkit.recipe import recipe

if __name__ == "__main__":
    recipe("forecasting")
