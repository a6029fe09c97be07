"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

import numpy as np

SMALL_HPARAMS = {"width": 16, "ensemble_size": 2, "batch_size": 16}
LEARNING_HPARAMS = {"width": 32, "ensemble_size": 1, "epochs": 5, "batch_size": 16}
RECIPE_FLAGS = ["--units", "16", "--members", "1", "--epochs", "2"]
EDGE_INPUTS = {
    "one value": lambda: {"ds": ["1961-01-01"], "y": [3.5]},
    "constant": lambda: {"ds": ["1961-01", "1961-02", "1961-03"], "y": [0, 0, 0]},
    "gaps, in disorder": lambda: {"ds": ["1961-06-01", "1959-01-01", "1960-12-01"], "y": [3.0, float("nan"), 1.0]},
    "one timestamp twice": lambda: {"ds": ["1961-06-30", "1961-06-30 13:00"], "y": [1.0, 2.0]},
    "huge and tiny": lambda: {"ds": ["1961-01-31", "1961-02-28"], "y": [1e30, 1e-30]},
    "long": lambda: {"ds": np.arange("1000-01", "3000-01", dtype="datetime64[M]"), "y": np.arange(24_000.0)},
}
INVALID_INPUTS = {
    "no value at all": {"ds": ["1961-01-01"], "y": [None]},
    "no timestamp": {"ds": ["soon"], "y": [1.0]},
    "no timestamps": {"ds": [], "y": []},
    "no day": {"ds": ["1961-02-30"], "y": [1.0]},
    "a time zone": {"ds": ["1961-02-03T00:00:00+01:00"], "y": [1.0]},
    "too few values": {"ds": ["1961-01-01", "1961-02-01"], "y": [1.0]},
    "too many values": {"ds": ["1961-01-01"], "y": [1.0, 2.0]},
    "infinite": {"ds": ["1961-01-01"], "y": [float("inf")]},
    "no numbers": {"ds": ["1961-01-01"], "y": ["much"]},
}
