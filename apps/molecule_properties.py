"""Molecular property prediction: train on SMILES, evaluate, and export a verified SavedModel.

data      the built-in sample (normal boiling points of 264 common substances)
command   python apps/molecule_properties.py
result    RMSE 26.9 °C on 52 test molecules, R² 0.83; coverage of 90 % intervals 0.885; measured 2026-11-30

data      a csv with a column `smiles` and columns of values, with empty cells where a value is unknown
command   python apps/molecule_properties.py --data molecules.csv --split scaffold
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("molecule_properties")
