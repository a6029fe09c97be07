"""What the contract checks need to know of the task; `tests/contract/knowledge.py` says what each is."""

from inputs import BROKEN_TEXTS, TEXTS

SMALL = {"embedding": 16, "units": 8, "window": 160, "max_question": 24}
LEARNS = {"embedding": 32, "units": 16, "window": 160, "max_question": 24, "epochs": 3, "batch_size": 16}
RECIPE = ["--embedding", "16", "--units", "8", "--epochs", "1"]
EDGES = TEXTS
BROKEN = BROKEN_TEXTS
