"""Molecular property prediction: train on SMILES, evaluate, and export a verified SavedModel.

data      the built-in sample (normal boiling points of 264 common substances)
command   python apps/molecule_properties.py
result    to be measured

data      a csv with a column `smiles` and columns of values, with empty cells where a value is unknown
command   python apps/molecule_properties.py --data molecules.csv --split scaffold
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("molecule_properties")
