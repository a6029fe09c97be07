"""Tabular classification: train on a table, evaluate, and export a verified SavedModel.

data      the built-in sample; --data and --test take your own table, and --targets names its column to predict
command   python apps/tabular_classification.py --network mlp --width 64 --epochs 30 --batch-size 32
result    accuracy 0.972 on 36 test rows, logistic regression 0.944; seconds on one core, measured 2026-11-30
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("tabular_classification")
