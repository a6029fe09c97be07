"""What the contract checks need to know of the task; `tests/contract/knowledge.py` says what each is."""

from inputs import BROKEN_TEXTS, TEXTS

SMALL = {"width": 16, "rnn_units": 8, "max_tokens": 160, "max_question_tokens": 24}
LEARNS = {"width": 32, "rnn_units": 16, "max_tokens": 160, "max_question_tokens": 24, "epochs": 3, "batch_size": 16}
RECIPE = ["--width", "16", "--rnn-units", "8", "--epochs", "1"]
EDGES = TEXTS
BROKEN = BROKEN_TEXTS
