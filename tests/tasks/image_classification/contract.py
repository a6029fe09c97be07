"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

from edge_inputs import EDGE_IMAGES, INVALID_IMAGES

SMALL_HPARAMS = {}
LEARNING_HPARAMS = {"epochs": 6}
RECIPE_FLAGS = ["--network", "mlp", "--epochs", "2"]
EDGE_INPUTS = EDGE_IMAGES
INVALID_INPUTS = INVALID_IMAGES
