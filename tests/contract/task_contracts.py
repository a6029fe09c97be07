"""The contract of each task for the contract checks: the module `tests/tasks/<task>/contract.py`."""

import functools
import importlib.util
from pathlib import Path

CORE_TASKS = {"image_classification", "sentiment"}  # one of images, one of texts: `make test` checks the core with them
TASKS = Path(__file__).parents[1] / "tasks"
REQUIRED = {
    "SMALL_HPARAMS": "a dict of hparams with which a few training steps are quick",
    "LEARNING_HPARAMS": "a dict of hparams with which it clearly beats its baseline on its sample within seconds",
    "RECIPE_FLAGS": "a list of flags with which its end-to-end script is quick",
    "EDGE_INPUTS": "a dict from a name to a function that returns an edge case, for which it must predict",
    "INVALID_INPUTS": "a dict from a name to an invalid input, or to a function that returns one, which it must refuse",
}
OPTIONAL = {
    "STABLE_HPARAMS": {},  # hparams with which rounding errors do not grow over the steps
    "EQUAL_INPUTS": {},  # name to inputs that mean the same, which must get the same answer
    "EMPTY_MASKS": (),  # names of masks that may be false in a whole row
    "check_prediction_file": None,  # (output, predictions): checks a file written by `dlkit predict FOLDER --output`
}


@functools.cache
def load_contract(name):
    """Import the contract of a task. Fail with what to write if it does not exist or is incomplete."""
    path = TASKS / name / "contract.py"
    wanted = "\n".join(f"  {key}: {what}" for key, what in REQUIRED.items())
    if not path.is_file():
        raise AssertionError(f"the task {name!r} has no contract. Write tests/tasks/{name}/contract.py with\n{wanted}")
    spec = importlib.util.spec_from_file_location(f"contract_of_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [key for key in REQUIRED if not hasattr(module, key)]
    if missing:
        listed = "; ".join(f"{key}, {REQUIRED[key]}" for key in missing)
        raise AssertionError(f"tests/tasks/{name}/contract.py lacks {listed}.")
    for key, default in OPTIONAL.items():
        vars(module).setdefault(key, default)
    return module


def small_hparams(name, **hparams):
    """Return the hparams with which a few training steps of a task are quick, and the given ones."""
    return {**load_contract(name).SMALL_HPARAMS, **hparams}
