"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

from edge_inputs import EDGE_TEXTS, INVALID_TEXTS

SMALL_HPARAMS = {"width": 16, "rnn_units": 8, "max_tokens": 160, "max_question_tokens": 24}
LEARNING_HPARAMS = {
    "width": 32,
    "rnn_units": 16,
    "max_tokens": 160,
    "max_question_tokens": 24,
    "epochs": 3,
    "batch_size": 16,
}
RECIPE_FLAGS = ["--width", "16", "--rnn-units", "8", "--epochs", "1"]
EDGE_INPUTS = EDGE_TEXTS
INVALID_INPUTS = INVALID_TEXTS
