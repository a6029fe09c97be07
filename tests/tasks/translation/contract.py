"""What the contract checks need to know of the task; `tests/contract/knowledge.py` says what each is."""

from inputs import BROKEN_TEXTS, TEXTS

SMALL = {"width": 16, "blocks": 1, "vocabulary_size": 400, "max_tokens": 24}
LEARNS = {"width": 64, "blocks": 1, "vocabulary_size": 600, "max_tokens": 32, "epochs": 16, "batch_size": 16}
RECIPE = [
    *("--width", "16", "--blocks", "1", "--vocabulary-size", "400", "--max-tokens", "64", "--epochs", "1"),
]
EDGES = TEXTS
BROKEN = BROKEN_TEXTS
