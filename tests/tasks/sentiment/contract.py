"""What the contract checks need to know of the task; `tests/contract/knowledge.py` says what each is."""

from inputs import BROKEN_TEXTS, TEXTS

SMALL = {}
LEARNS = {}
RECIPE = []
EDGES = TEXTS
BROKEN = BROKEN_TEXTS
