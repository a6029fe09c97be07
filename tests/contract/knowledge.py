"""What the contract checks need to know of a task: `tests/tasks/<task>/contract.py`, which a new task brings along."""

import functools
import importlib.util
from pathlib import Path

ALWAYS = {"image_classification", "sentiment"}  # an image and a text: `make test` checks the core by them
TASKS = Path(__file__).parents[1] / "tasks"
NEEDED = {
    "SMALL": "a dict of hparams that make the task quick, for a few steps",
    "LEARNS": "a dict of hparams under which it clearly beats its baseline on its sample, within seconds",
    "RECIPE": "a list of flags with which its recipe is quick",
    "EDGES": "a dict from a name to a function that makes an input at the edge of what it takes, which it must answer",
    "BROKEN": "a dict from a name to an input, or a function that makes one, which it must refuse",
}
OPTIONAL = {
    "STEADY": {},  # hparams under which rounding does not grow from step to step
    "check_answer_file": None,  # (output, answers): whether `dlkit predict FOLDER --output` wrote these answers
}


@functools.cache
def of(name):
    """The module of a task. Fails with what to write where it is not there, or lacks something."""
    path = TASKS / name / "contract.py"
    wanted = "\n".join(f"  {key}: {what}" for key, what in NEEDED.items())
    if not path.is_file():
        raise AssertionError(
            f"the contract checks know nothing of the task {name!r}. Write tests/tasks/{name}/contract.py with\n"
            f"{wanted}"
        )
    spec = importlib.util.spec_from_file_location(f"contract_of_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [key for key in NEEDED if not hasattr(module, key)]
    if missing:
        listed = "; ".join(f"{key}, {NEEDED[key]}" for key in missing)
        raise AssertionError(f"tests/tasks/{name}/contract.py lacks {listed}.")
    for key, default in OPTIONAL.items():
        vars(module).setdefault(key, default)
    return module


def small(name, **hparams):
    """The hparams of a task for a few steps, and those given."""
    return {**of(name).SMALL, **hparams}
