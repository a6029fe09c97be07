"""Tabular regression: train on a table, evaluate, and export a verified SavedModel.

data      the built-in sample; --data and --test take your own table, and --targets names its column to predict
command   python apps/tabular_regression.py --network mlp --width 64 --epochs 40 --batch-size 32
result    RMSE 59.7 on 88 test rows, ridge regression 58.5; coverage of 90 % intervals 0.886; measured 2026-11-30
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("tabular_regression")
