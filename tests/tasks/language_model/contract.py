"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant.

The baseline, `baseline_compression`, is that of the frequencies of bytes.
"""

from edge_inputs import EDGE_TEXTS, INVALID_TEXTS

SMALL_HPARAMS = {
    **{"width": 16, "blocks": 1, "heads": 2, "vocabulary_size": 300, "context_length": 288, "max_tokens": 8},
    "batch_size": 16,
}
LEARNING_HPARAMS = {
    **{"width": 32, "blocks": 1, "heads": 2, "vocabulary_size": 400, "context_length": 96, "epochs": 3},
    **{"learning_rate": 5e-3, "max_tokens": 8, "batch_size": 16},
}
RECIPE_FLAGS = [
    *("--width", "16", "--blocks", "1", "--heads", "2", "--vocabulary-size", "300", "--context-length", "64"),
    *("--epochs", "1", "--max-tokens", "8", "--batch-size", "16"),
]
TOO_LONG = "very long"  # more than the context: refused by default
EDGE_INPUTS = {name: make for name, make in EDGE_TEXTS.items() if name != TOO_LONG}
INVALID_INPUTS = {**INVALID_TEXTS, TOO_LONG: EDGE_TEXTS[TOO_LONG]}
