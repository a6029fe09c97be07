"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

from sklearn.datasets import load_wine

ROW = {
    name.replace("/", "_"): float(value)
    for name, value in zip(load_wine().feature_names, load_wine().data[0], strict=True)
}
MISSING = dict.fromkeys(ROW)

SMALL_HPARAMS = {"network": "mlp", "width": 16, "blocks": 1, "dropout": 0.0}
LEARNING_HPARAMS = {"network": "mlp", "width": 64, "epochs": 30, "batch_size": 32}
RECIPE_FLAGS = ["--network", "mlp", "--epochs", "5", "--batch-size", "32"]
EDGE_INPUTS = {
    "a row": lambda: ROW,
    "all missing": lambda: MISSING,
    "words for missing": lambda: {**ROW, "alcohol": "", "ash": "NA", "hue": float("nan")},
    "infinite": lambda: {**ROW, "alcohol": float("inf"), "proline": "-inf"},
    "huge and tiny": lambda: {**ROW, "alcohol": 1e39, "ash": 1e-42, "hue": -3e38},
    "texts": lambda: {name: str(value) for name, value in ROW.items()},
}
INVALID_INPUTS = {
    "a word": {**ROW, "alcohol": "much"},
    "a decimal comma": {**ROW, "alcohol": "13,2"},
    "a list": {**ROW, "alcohol": [13.0]},
    "without a column": {name: value for name, value in ROW.items() if name != "hue"},
}
