"""Every task, fitted once on its sample and exported once, for all checks."""

import pytest
import task_contracts
from task_contracts import CORE_TASKS

from dlkit.data.read import read
from dlkit.lazy import load_tensorflow
from dlkit.tasks import find_task, task_names

EPOCHS = 4
load_tensorflow()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items):
    """Long checks of what no task has of its own run for two tasks, or those named, in `make test`, else for all."""
    for item in items:
        mark = item.get_closest_marker("core")
        if mark and item.callspec.params["task_class"] not in (mark.args or CORE_TASKS):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", params=task_names())
def task_class(request):
    return find_task(request.param)


@pytest.fixture(scope="session")
def fitted(task_class, tmp_path_factory):
    """A task fitted on its sample, saved and exported: with `folder` and `version`."""
    task = task_class(**{"epochs": EPOCHS, **task_contracts.load_contract(task_class.task_name()).LEARNING_HPARAMS})
    samples = task.samples()
    task.fit(samples["train"], samples["validation"], verbose=0)
    task.folder = tmp_path_factory.mktemp("models") / task.task_name()
    task.save(task.folder)
    task.version = task.export(tmp_path_factory.mktemp("servables") / task.task_name())
    return task


@pytest.fixture(scope="session")
def rows(fitted):
    """A few of the test rows, as a table, and their answers one at a time."""
    table = read(fitted.samples()["test"], {**fitted.inputs, **fitted.target}).take(range(12))
    return table, [fitted.predict_table(table.take([row])) for row in range(len(table))]
