"""The tasks, found by their folders: adding one adds a folder here, whose `task.py` defines it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

from dlkit.errors import DlkitError
from dlkit.hparams import nearest

if TYPE_CHECKING:
    from dlkit.task import Task


def task_names() -> list[str]:
    """The names of all tasks, which are their folders', commands' and apps'."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def find_task(name: str) -> type[Task]:
    """The class of a task by its name. Raises DlkitError with the nearest name where there is none."""
    if name not in task_names():
        raise DlkitError(f"there is no task {name!r}. {nearest(name, task_names())}")
    from dlkit.task import Task

    module = importlib.import_module(f"{__name__}.{name}.task")
    classes = [
        member
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, Task) and member.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise TypeError(f"{module.__name__} must define one Task. Found: {[member.__name__ for member in classes]}.")
    return classes[0]
