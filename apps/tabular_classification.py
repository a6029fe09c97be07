"""Tabular classification: train on a table, evaluate, and export a verified SavedModel.

data      the built-in sample; --data and --test take your own table, and --targets names its column to predict
command   python apps/tabular_classification.py
result    accuracy 0.972 on 36 test rows, log loss 0.052 (logistic regression 0.944, 0.169); 46 s on one core that other
          programs also used, measured 2026-11-30
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("tabular_classification")
