"""Tabular regression: train on a table, evaluate, and export a verified SavedModel.

data      the built-in sample; --data and --test take your own table, and --targets names its column to predict
command   python apps/tabular_regression.py
result    RMSE 58.7 and MAE 44.2 on 88 test rows (ridge regression 58.5, 46.3), coverage of 90 % intervals 0.909; 23 s
          on one core that other programs also used, measured 2026-11-30
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("tabular_regression")
