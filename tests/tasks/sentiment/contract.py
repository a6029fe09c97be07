"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

from edge_inputs import EDGE_TEXTS, INVALID_TEXTS

SMALL_HPARAMS = {}
LEARNING_HPARAMS = {"epochs": 3}
RECIPE_FLAGS = ["--epochs", "3"]
EDGE_INPUTS = EDGE_TEXTS
INVALID_INPUTS = INVALID_TEXTS
