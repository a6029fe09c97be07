"""What the contract checks need to know of the task; `tests/contract/knowledge.py` says what each is."""

from inputs import BROKEN_IMAGES, IMAGES

SMALL = {}
LEARNS = {}
RECIPE = ["--network", "mlp", "--epochs", "2"]
EDGES = IMAGES
BROKEN = BROKEN_IMAGES
