"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

from edge_inputs import EDGE_TEXTS, INVALID_TEXTS

SMALL_HPARAMS = {"embedding": 16, "units": 8, "window": 160, "max_question": 24}
LEARNING_HPARAMS = {"embedding": 32, "units": 16, "window": 160, "max_question": 24, "epochs": 3, "batch_size": 16}
RECIPE_FLAGS = ["--embedding", "16", "--units", "8", "--epochs", "1"]
EDGE_INPUTS = EDGE_TEXTS
INVALID_INPUTS = INVALID_TEXTS
