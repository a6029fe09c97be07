"""Saved models: a folder that is complete at every moment, or is no model at all."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dlkit.check_saved import check_index, check_learned, check_stages
from dlkit.durable import LOCK_FILE, PARTIAL_SUFFIX, fsync_tree, hold_lock, unique_name, write_atomic
from dlkit.errors import DlkitError, HparamError, write_error
from dlkit.lazy import keras, load_tensorflow
from dlkit.options import option, python_or_cli
from dlkit.reading_errors import as_data_error, check_zip
from dlkit.run_file import CONFIG_FILE as OPTIONS
from dlkit.stages import Stages
from dlkit.version import __version__, install_hint

if TYPE_CHECKING:
    from dlkit.columns import Column

FORMAT = 2  # of the index: 1 was before 0.2.0, whose names of options and layers were others
INDEX_FILE = "dlkit.json"
RUN_INDEX_FILE = "run.json"  # the index of a run that has not ended
SHARED_PACKAGES = (
    "dlkit.layers",
    "dlkit.text",
    "dlkit.vision",
    "dlkit.classification",
)  # where the layers of tasks may lie


class Saved(Protocol):
    """What is saved: a fitted task; see `dlkit.task.Task`."""

    stages_: Stages
    header_: list[str]
    answer: dict[str, Column]

    @property
    def inputs(self) -> Mapping[str, Column]: ...

    @property
    def hparams(self) -> dict[str, Any]: ...

    @classmethod
    def task_name(cls) -> str: ...

    def declare(self, header: Sequence[str]) -> None: ...


SavedTask = TypeVar("SavedTask", bound=Saved)


def holds_model(folder: Path) -> bool:
    """Whether a folder holds a saved model, or a run that was stopped before its end."""
    return (folder / INDEX_FILE).is_file() or (folder / RUN_INDEX_FILE).is_file()


@contextlib.contextmanager
def lock_for_writing(folder: Path) -> Iterator[None]:
    """Inside, this process alone writes into the folder of a model.

    Raises:
        DlkitError: another process does, which it names, or the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(folder / LOCK_FILE))
        except OSError as error:
            raise write_error(folder, error) from error
        yield


def refuse_to_replace(folder: Path) -> None:
    """Raises DlkitError for a folder that holds a model or a run."""
    if holds_model(folder):
        raise DlkitError(
            f"{folder} already holds a saved model, or an interrupted run. Replace it with "
            f"{option('overwrite', True)}, resume a run with {option('resume', True)}, or save elsewhere."
        )


def has_run(folder: Path) -> bool:
    """Whether a folder holds a run that was stopped before its end."""
    name = run_index_file(folder)
    return name == RUN_INDEX_FILE or ((folder / name).is_file() and not read_index(folder).get("finished", True))


def run_index_file(folder: Path) -> str:
    """The name of the index to go on from: that of a run that has not ended, if there is one."""
    return RUN_INDEX_FILE if (folder / RUN_INDEX_FILE).is_file() else INDEX_FILE


def write_model(task: Saved, folder: Path, *, finished: bool = True) -> None:
    """Saves a task: its hparams, what it has learned, and its stages as Keras files. The caller is `lock_for_writing`.

    A run writes its task first unfinished, beside a model that may be there, so that it can be resumed. The stages
    go to a subfolder of their own; the index, which names it, is replaced in one step when they are on disk. A kill
    or a full disk leaves the model that was there before.

    Raises:
        DlkitError: the folder cannot be written, or its disk is full.
    """
    stages = {name: stage for name, stage in vars(task.stages_).items() if stage is not None}
    part = folder / unique_name("stages-")
    facts = {"format": FORMAT, "finished": finished, "stages": part.name, "names": list(stages), **_state(task)}
    try:
        part.mkdir(parents=True)
        for name, stage in stages.items():
            stage.save(part / f"{name}.keras")
        fsync_tree(part)
        text = json.dumps(facts, indent=1, ensure_ascii=False).encode()
        write_atomic(folder / (INDEX_FILE if finished else RUN_INDEX_FILE), lambda file: file.write(text))
        if finished:
            (folder / RUN_INDEX_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        _remove_leftovers(folder)


def _remove_leftovers(folder: Path) -> None:
    """Removes stages that no index names, and what killed writers have left of an index."""
    named = set()
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # who cannot read an index removes nothing
        for name in (INDEX_FILE, RUN_INDEX_FILE):
            if (folder / name).is_file():
                named.add(json.loads((folder / name).read_text("utf-8"))["stages"])
        for old in folder.glob("stages-*"):
            if re.fullmatch(r"stages-([1-9]\d*|[0-9a-f]{8})", old.name) and old.name not in named:
                shutil.rmtree(old, ignore_errors=True)
        for name in (INDEX_FILE, RUN_INDEX_FILE, OPTIONS):
            for old in folder.glob(f"{name}.*{PARTIAL_SUFFIX}"):
                old.unlink(missing_ok=True)


def _state(task: Saved) -> dict[str, Any]:
    fitted = {name: value for name, value in vars(task).items() if name.endswith("_") and name != "stages_"}
    return {"dlkit": __version__, "task": task.task_name(), "hparams": task.hparams, "fitted": fitted}


def read_model(task_class: type[SavedTask], folder: Path) -> SavedTask:
    """The task that `write_model` saved; see `Task.load`."""
    while True:
        index = read_index(folder, task_class.task_name())
        try:
            return _load(task_class, folder, index)
        except DlkitError:
            if read_index(folder)["stages"] == index["stages"]:
                raise
            # else it was replaced while it was read: what replaced it is whole


def _load(task_class: type[SavedTask], folder: Path, index: dict[str, Any]) -> SavedTask:
    if not index.get("finished", True):
        raise _unfinished(folder, task_class.task_name())
    try:
        task = task_class(**index["hparams"])
    except HparamError as error:
        raise DlkitError(f"{folder} was saved by dlkit {index['dlkit']}; this is {__version__}: {error}") from error
    _restore(task, folder, index)
    return task


def restore_run(task: Saved, folder: Path) -> None:
    """Gives a task what the run in `folder` holds beside the hparams."""
    _restore(task, folder, read_index(folder, name=run_index_file(folder)))


def _restore(task: Saved, folder: Path, index: dict[str, Any]) -> None:
    load_tensorflow()
    with _reading(folder):
        check_learned(index["fitted"], vars(task))
        for name, value in index["fitted"].items():
            setattr(task, name, value)
        if task.header_:
            task.declare(task.header_)
        stages = Stages(**_read_stages(folder, index, type(task).__module__.rpartition(".")[0]))
        check_stages(stages, task.inputs, task.answer)
        task.stages_ = stages
    made = task.stages_.tensor_names()  # a model that was saved before an answer was thought of answers without it
    task.answer = {name: column for name, column in task.answer.items() if name in made}


def _unfinished(folder: Path, task: str) -> DlkitError:
    again = f"fit(data, {option('save', str(folder))}, {option('resume', True)})"
    go_on = python_or_cli(again, f"dlkit train {task} --data ... --save {folder} --resume")
    return DlkitError(
        f"{folder} holds an interrupted run. Resume it: {go_on}; with fewer {option('epochs')} and "
        f"{option('allow_changes', True)}, to finish it where it stopped."
    )


def read_index(folder: Path, task: str | None = None, name: str = INDEX_FILE) -> dict[str, Any]:
    """The index of a saved model.

    Args:
        folder: the model's folder.
        task: the task that it must be of, if it must.
        name: `INDEX_FILE`, or `RUN_INDEX_FILE` for that of a run that has not ended.

    Raises:
        DlkitError: the folder holds no model, one of another task, or one in another format, which another dlkit saved.
    """
    if not (folder / name).is_file():
        if name == INDEX_FILE and (folder / RUN_INDEX_FILE).is_file():
            raise _unfinished(folder, read_index(folder, task, RUN_INDEX_FILE)["task"])
        raise DlkitError(
            f"{folder} is not a saved model: it has no {INDEX_FILE}. Give the folder that "
            f"{python_or_cli('`fit(save=...)` or `save`', '--save')} wrote."
        )
    with _reading(folder):
        index = json.loads((folder / name).read_text("utf-8"))
        number = index.get("format") if isinstance(index, dict) else None
        if isinstance(number, int) and number != FORMAT:
            newer = f"Install it: {install_hint()}" if number > FORMAT else "Train the model again, or use that version"
            raise DlkitError(
                f"{folder} was saved by dlkit {index.get('dlkit')} in format {number}; this dlkit reads format "
                f"{FORMAT}. {newer}."
            )
        check_index(index)
    if task and index["task"] != task:
        raise DlkitError(f"{folder} holds a model of the task {index['task']!r}, not {task!r}.")
    return index


def hparams_of_run(folder: Path, task: str) -> dict[str, Any]:
    """The hparams that the run in a folder was started with. Raises DlkitError where it holds none of this task."""
    if not holds_model(folder):
        raise DlkitError(f"{folder} holds no run to resume. Remove {option('resume')} to start one.")
    return read_index(folder, task, run_index_file(folder))["hparams"]


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
    for package in (*SHARED_PACKAGES, *([own] if own else [])):
        for path in importlib.import_module(package).__path__:
            for source in sorted(Path(path).rglob("*.py")):
                if names.intersection(re.findall(rb"^(?:class|def) (\w+)", source.read_bytes(), re.MULTILINE)):
                    importlib.import_module(".".join((package, *source.relative_to(path).with_suffix("").parts)))


def _reading(folder: Path) -> contextlib.AbstractContextManager[None]:
    source, cure = f"the saved model {folder} cannot be read", "Restore the folder, or train again."
    return as_data_error(source, "what `save` writes", cure, error=DlkitError)
