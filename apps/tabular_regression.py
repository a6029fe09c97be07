"""Tabular regression: train on a table, evaluate, and export a verified SavedModel.

data      the built-in sample; --data and --test take your own table, and --targets names its column to predict
command   python apps/tabular_regression.py
result    RESULT_regression
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("tabular_regression")
