"""Saved models: a folder that is complete at every moment, or is no model at all."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dlkit.check_saved import check_index, check_learned, check_stages
from dlkit.errors import DlkitError, KnobError, unwritable
from dlkit.foreign import check_zip, foreign
from dlkit.lazy import keras, load_tensorflow
from dlkit.stages import Stages
from dlkit.version import __version__

if TYPE_CHECKING:
    from dlkit.columns import Column

FORMAT = 1
INDEX = "dlkit.json"
SHARED = ("dlkit.layers", "dlkit.text", "dlkit.vision", "dlkit.classification")  # where the layers of tasks may lie


class Saved(Protocol):
    """What is saved: a fitted task; see `dlkit.task.Task`."""

    stages_: Stages
    header_: list[str]
    answer: dict[str, Column]

    @property
    def inputs(self) -> Mapping[str, Column]: ...

    @property
    def knobs(self) -> dict[str, Any]: ...

    @classmethod
    def task_name(cls) -> str: ...

    def declare(self, header: Sequence[str]) -> None: ...


SavedTask = TypeVar("SavedTask", bound=Saved)


def holds_model(folder: Path) -> bool:
    """Whether a folder holds a saved model."""
    return (folder / INDEX).is_file()


def write(task: Saved, folder: Path, *, finished: bool = True) -> None:
    """Saves a task: its knobs, what it has learned, and its stages as Keras files.

    A run writes its task first unfinished, so that it can be resumed; to use it is refused until it is finished. The
    stages go to a subfolder of their own; the index, which names it, is replaced in one step when they are on
    disk. A kill or a full disk leaves the model that was there before.

    Raises:
        DlkitError: the folder cannot be written, or its disk is full.
    """
    stages = {name: stage for name, stage in vars(task.stages_).items() if stage is not None}
    number = max((int(path.name.partition("-")[2]) for path in folder.glob("stages-[0-9]*")), default=0) + 1
    part, partial = folder / f"stages-{number}", folder / f"{INDEX}.partial"
    existed = folder.exists()
    try:
        part.mkdir(parents=True)
        for name, stage in stages.items():
            stage.save(part / f"{name}.keras")
        facts = {"format": FORMAT, "finished": finished, "stages": part.name, "names": list(stages)}
        partial.write_text(json.dumps({**facts, **_state(task)}, indent=1, ensure_ascii=False), encoding="utf-8")
        partial.replace(folder / INDEX)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
            if not existed:
                folder.rmdir()
        raise unwritable(folder, error) from error
    for old in folder.glob("stages-*"):
        if old != part:
            shutil.rmtree(old, ignore_errors=True)


def _state(task: Saved) -> dict[str, Any]:
    fitted = {name: value for name, value in vars(task).items() if name.endswith("_") and name != "stages_"}
    return {"dlkit": __version__, "task": task.task_name(), "knobs": task.knobs, "fitted": fitted}


def read(task_class: type[SavedTask], folder: Path) -> SavedTask:
    """The task that `write` saved; see `Task.load`."""
    name = task_class.task_name()
    index = read_index(folder, name)
    if not index.get("finished", True):
        raise DlkitError(
            f"{folder} holds a run that was stopped before its end. Go on with it: dlkit train {name} --data ... "
            f"--save {folder} --resume; with fewer --epochs and --allow-changes, to end it where it is."
        )
    try:
        task = task_class(**index["knobs"])
    except KnobError as error:
        raise DlkitError(f"{folder} was saved by dlkit {index['dlkit']}, and this is {__version__}: {error}") from error
    restore(task, folder)
    return task


def restore(task: Saved, folder: Path) -> None:
    """Gives a task what `folder` holds beside the knobs."""
    load_tensorflow()
    index = read_index(folder)
    with _reading(folder):
        check_learned(index["fitted"], vars(task))
        for name, value in index["fitted"].items():
            setattr(task, name, value)
        if task.header_:
            task.declare(task.header_)
        stages = Stages(**_read_stages(folder, index, type(task).__module__.rpartition(".")[0]))
        check_stages(stages, task.inputs, task.answer)
        task.stages_ = stages
    made = task.stages_.made()  # a model that was saved before an answer was thought of answers without it
    task.answer = {name: column for name, column in task.answer.items() if name in made}


def read_index(folder: Path, task: str | None = None) -> dict[str, Any]:
    """The index of a saved model.

    Args:
        folder: the model's folder.
        task: the task that it must be of, if it must.

    Raises:
        DlkitError: the folder holds no model, one of another task, or one that a newer dlkit saved.
    """
    if not holds_model(folder):
        raise DlkitError(
            f"{folder} is not a saved model: it has no {INDEX}. Give the folder that `--save` or `save()` wrote."
        )
    with _reading(folder):
        index = json.loads((folder / INDEX).read_text("utf-8"))
        number = index.get("format") if isinstance(index, dict) else None
        if isinstance(number, int) and number > FORMAT:
            raise DlkitError(
                f"{folder} was saved by dlkit {index.get('dlkit')} in format {number}; this dlkit reads up to "
                f"{FORMAT}. Install the newer one: pip install --upgrade dlkit."
            )
        check_index(index)
    if task and index["task"] != task:
        raise DlkitError(f"{folder} holds a model of the task {index['task']!r}, not {task!r}.")
    return index


def knobs_of_run(folder: Path, task: str) -> dict[str, Any]:
    """The knobs that the run in a folder was started with. Raises DlkitError where it holds none of this task."""
    if not holds_model(folder):
        raise DlkitError(f"{folder} holds no run to go on with. Leave out `resume` to start one.")
    return read_index(folder, task)["knobs"]


def _read_stages(folder: Path, index: dict[str, Any], package: str) -> dict[str, keras.Model]:
    """The stages of a saved model, by name; `package` is that of its task."""
    files = {name: folder / index["stages"] / f"{name}.keras" for name in index["names"]}
    _import_layers(files.values(), package)
    return {name: keras.models.load_model(file, compile=False) for name, file in files.items()}


def _import_layers(files: Iterable[Path], own: str) -> None:
    """Imports the modules that define the layers that Keras files name, which registers them.

    They are registered under names without modules, so that a layer may move; and no other module is imported, since
    some draw in what takes seconds.
    """
    names: set[bytes] = set()
    for file in files:
        with zipfile.ZipFile(file) as archive:
            check_zip(archive, file)
            names.update(re.findall(rb'"registered_name": "dlkit>(\w+)"', archive.read("config.json")))
    for package in (*SHARED, *([own] if own else [])):
        for path in importlib.import_module(package).__path__:
            for source in sorted(Path(path).rglob("*.py")):
                if names.intersection(re.findall(rb"^(?:class|def) (\w+)", source.read_bytes(), re.MULTILINE)):
                    importlib.import_module(".".join((package, *source.relative_to(path).with_suffix("").parts)))


def _reading(folder: Path) -> contextlib.AbstractContextManager[None]:
    source, cure = f"the saved model {folder} cannot be read", "Restore the folder, or train again."
    return foreign(source, "what `save` writes", cure, error=DlkitError)
