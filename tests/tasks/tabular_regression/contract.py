"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

ROW = {
    "age": 59,
    "sex": "sex 2",
    "bmi": 32.1,
    "bp": 101.0,
    "s1": 157.0,
    "s2": 93.2,
    "s3": 38.0,
    "s4": 4.0,
    "s5": 4.9,
    "s6": 87.0,
}

SMALL_HPARAMS = {"network": "mlp", "width": 16, "blocks": 1, "dropout": 0.0}
LEARNING_HPARAMS = {"network": "mlp", "width": 64, "epochs": 40, "batch_size": 32}
RECIPE_FLAGS = ["--network", "mlp", "--epochs", "5", "--batch-size", "32"]
EDGE_INPUTS = {
    "a row": lambda: ROW,
    "all missing": lambda: dict.fromkeys(ROW),
    "an unseen category": lambda: {**ROW, "sex": "これは"},
    "a category that is a number": lambda: {**ROW, "sex": 2},
    "an empty category": lambda: {**ROW, "sex": ""},
    "infinite": lambda: {**ROW, "bmi": float("inf"), "s1": "-inf"},
    "huge and tiny": lambda: {**ROW, "bmi": 1e39, "s1": 1e-42},
    "bytes": lambda: {**ROW, "sex": "é".encode()},
}
INVALID_INPUTS = {
    "a word": {**ROW, "bmi": "much"},
    "not UTF-8": {**ROW, "sex": b"\xff\xfe"},
    "a list for a category": {**ROW, "sex": ["1", "2"]},
    "without a column": {name: value for name, value in ROW.items() if name != "s6"},
}
