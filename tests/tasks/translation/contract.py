"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

from edge_inputs import EDGE_TEXTS, INVALID_TEXTS

SMALL_HPARAMS = {"width": 16, "blocks": 1, "vocabulary_size": 400, "max_tokens": 24}
LEARNING_HPARAMS = {"width": 64, "blocks": 1, "vocabulary_size": 600, "max_tokens": 32, "epochs": 16, "batch_size": 16}
RECIPE_FLAGS = [
    *("--width", "16", "--blocks", "1", "--vocabulary-size", "400", "--max-tokens", "64", "--epochs", "1"),
]
EDGE_INPUTS = EDGE_TEXTS
INVALID_INPUTS = INVALID_TEXTS
