"""Saved models: a folder that holds a complete model at every moment, or none."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
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
    "dlkit.audio",
    "dlkit.layers",
    "dlkit.text",
    "dlkit.vision",
    "dlkit.classification",
    "dlkit.regression",
    "dlkit.tabular",
    "dlkit.generation",
)  # where the layers of tasks may lie


class Saved(Protocol):
    """What is saved: a fitted task; see `dlkit.task.Task`."""

    stages_: Stages
    history_: dict[str, list[float]]
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
    """Return whether a folder holds a saved model or an interrupted run."""
    return (folder / INDEX_FILE).is_file() or (folder / RUN_INDEX_FILE).is_file()


@contextlib.contextmanager
def lock_for_writing(folder: Path) -> Iterator[None]:
    """Lock the folder of a model, so that only this process writes to it.

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
    """Raise DlkitError if a folder holds a model or a run."""
    if holds_model(folder):
        raise DlkitError(
            f"{folder} already holds a saved model, or an interrupted run. Replace it with "
            f"{option('overwrite', True)}, resume a run with {option('resume', True)}, or save elsewhere."
        )


def has_run(folder: Path) -> bool:
    """Return whether a folder holds an interrupted run."""
    name = run_index_file(folder)
    return name == RUN_INDEX_FILE or ((folder / name).is_file() and not read_index(folder)["finished"])


def run_index_file(folder: Path) -> str:
    """Return the name of the index to resume from: that of the interrupted run, if there is one."""
    return RUN_INDEX_FILE if (folder / RUN_INDEX_FILE).is_file() else INDEX_FILE


def write_model(task: Saved, folder: Path, *, finished: bool = True) -> None:
    """Save a task: its hyperparameters, what it has learned, and its stages as Keras files. The caller holds the lock.

    A run writes its task first unfinished, beside a model that may be there, so that it can be resumed. The stages
    go to a subfolder of their own; the index, which names it, is replaced in one step when they are on disk. A kill
    or a full disk leaves the model that was there before.

    Raises:
        DlkitError: the folder cannot be written, or its disk is full.
    """
    stages = {name: stage for name, stage in vars(task.stages_).items() if stage is not None}
    stages_folder = folder / unique_name("stages-")
    index = {
        "format": FORMAT,
        "finished": finished,
        "stages": stages_folder.name,
        "names": list(stages),
        **_task_state(task),
    }
    try:
        stages_folder.mkdir(parents=True)
        for name, stage in stages.items():
            stage.save(stages_folder / f"{name}.keras")
        fsync_tree(stages_folder)
        text = json.dumps(index, indent=1, ensure_ascii=False).encode()
        write_atomic(folder / (INDEX_FILE if finished else RUN_INDEX_FILE), lambda file: file.write(text))
        if finished:
            (folder / RUN_INDEX_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        _remove_leftovers(folder)


def _remove_leftovers(folder: Path) -> None:
    """Remove stages that no index refers to, and partial files of interrupted writers."""
    referenced = set()
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # who cannot read an index removes nothing
        for name in (INDEX_FILE, RUN_INDEX_FILE):
            if (folder / name).is_file():
                referenced.add(json.loads((folder / name).read_text("utf-8"))["stages"])
        for old in folder.glob("stages-*"):
            if re.fullmatch(r"stages-[0-9a-f]{8}", old.name) and old.name not in referenced:
                shutil.rmtree(old, ignore_errors=True)
        for name in (INDEX_FILE, RUN_INDEX_FILE, OPTIONS):
            for old in folder.glob(f"{name}.*{PARTIAL_SUFFIX}"):
                old.unlink(missing_ok=True)


def _task_state(task: Saved) -> dict[str, Any]:
    from dlkit.plain import finite  # with NumPy, which `--help` does without

    learned = {name: value for name, value in vars(task).items() if name.endswith("_") and name != "stages_"}
    # Of metrics that only some epochs have, the history has NaN for the others, which JSON does not know.
    learned |= {name: finite(learned[name]) for name in ("history_", "best_epoch_") if name in learned}
    return {"dlkit": __version__, "task": task.task_name(), "hparams": task.hparams, "fitted": learned}


def read_model(task_class: type[SavedTask], folder: Path) -> SavedTask:
    """Load the task that `write_model` saved; see `Task.load`."""
    while True:
        index = read_index(folder, task_class.task_name())
        try:
            return _load(task_class, folder, index)
        except DlkitError:
            if read_index(folder)["stages"] == index["stages"]:
                raise
            # else it was replaced while it was read: what replaced it is whole


def _load(task_class: type[SavedTask], folder: Path, index: dict[str, Any]) -> SavedTask:
    if not index["finished"]:
        raise _unfinished_run_error(folder, task_class.task_name())
    try:
        task = task_class(**index["hparams"])
    except HparamError as error:
        raise DlkitError(f"{folder} was saved by dlkit {index['dlkit']}; this is {__version__}: {error}") from error
    _restore(task, folder, index)
    return task


def restore_run(task: Saved, folder: Path) -> None:
    """Restore what the run in `folder` holds, apart from the hyperparameters."""
    _restore(task, folder, read_index(folder, name=run_index_file(folder)))


def _restore(task: Saved, folder: Path, index: dict[str, Any]) -> None:
    load_tensorflow()
    with _saved_model_errors(folder):
        check_learned(index["fitted"], vars(task))
        for name, value in index["fitted"].items():
            setattr(task, name, value)
        task.history_ = {
            name: [math.nan if value is None else value for value in values] for name, values in task.history_.items()
        }
        if task.header_:
            task.declare(task.header_)
        stages = Stages(**_read_stages(folder, index, type(task).__module__.rpartition(".")[0]))
        check_stages(stages, task.inputs, task.answer)
        task.stages_ = stages


def _unfinished_run_error(folder: Path, task: str) -> DlkitError:
    python_call = f"fit(data, {option('save', str(folder))}, {option('resume', True)})"
    command = python_or_cli(python_call, f"dlkit train {task} --data ... --save {folder} --resume")
    return DlkitError(
        f"{folder} holds an interrupted run. Resume it: {command}. To finish it without further "
        f"epochs, resume it with fewer {option('epochs')} and {option('allow_changes', True)}."
    )


def read_index(folder: Path, task: str | None = None, name: str = INDEX_FILE) -> dict[str, Any]:
    """Read and check the index of a saved model.

    Args:
        folder: the model's folder.
        task: the task that it must be of, if it must.
        name: `INDEX_FILE`, or `RUN_INDEX_FILE` for that of a run that has not ended.

    Raises:
        DlkitError: the folder holds no model, one of another task, or one in another format, which another dlkit saved.
    """
    if not (folder / name).is_file():
        if name == INDEX_FILE and (folder / RUN_INDEX_FILE).is_file():
            raise _unfinished_run_error(folder, read_index(folder, task, RUN_INDEX_FILE)["task"])
        raise DlkitError(
            f"{folder} is not a saved model: it has no {INDEX_FILE}. Give the folder that "
            f"{python_or_cli('`fit(save=...)` or `save`', '--save')} wrote."
        )
    with _saved_model_errors(folder):
        index = json.loads((folder / name).read_text("utf-8"))
        format_number = index.get("format") if isinstance(index, dict) else None
        if type(format_number) is int and format_number != FORMAT:
            remedy = (
                f"Install it: {install_hint()}"
                if format_number > FORMAT
                else "Train the model again, or use that version"
            )
            raise DlkitError(
                f"{folder} was saved by dlkit {index.get('dlkit')} in format {format_number}; this dlkit reads format "
                f"{FORMAT}. {remedy}."
            )
        check_index(index)
    if task and index["task"] != task:
        raise DlkitError(f"{folder} holds a model of the task {index['task']!r}, not {task!r}.")
    return index


def hparams_of_run(folder: Path, task: str) -> dict[str, Any]:
    """Return the hyperparameters of the run in a folder. Raises DlkitError if it holds no run of this task."""
    if not holds_model(folder):
        raise DlkitError(f"{folder} holds no run to resume. Remove {option('resume')} to start one.")
    return read_index(folder, task, run_index_file(folder))["hparams"]


def _read_stages(folder: Path, index: dict[str, Any], package: str) -> dict[str, keras.Model]:
    """Load the stages of a saved model by name; `package` is the package of its task."""
    files = {name: folder / index["stages"] / f"{name}.keras" for name in index["names"]}
    _import_layers(files.values(), package)
    return {name: keras.models.load_model(file, compile=False) for name, file in files.items()}


def _import_layers(files: Iterable[Path], task_package: str) -> None:
    """Import the modules that define and register the layers that Keras files refer to.

    They are registered under names without modules, so that a layer may move; and no other module is imported, since
    some draw in what takes seconds.
    """
    names: set[bytes] = set()
    for file in files:
        with zipfile.ZipFile(file) as archive:
            check_zip(archive, file)
            names.update(re.findall(rb'"registered_name": "dlkit>(\w+)"', archive.read("config.json")))
    for package in (*SHARED_PACKAGES, *([task_package] if task_package else [])):
        for path in importlib.import_module(package).__path__:
            for source in sorted(Path(path).rglob("*.py")):
                if names.intersection(re.findall(rb"^(?:class|def) (\w+)", source.read_bytes(), re.MULTILINE)):
                    importlib.import_module(".".join((package, *source.relative_to(path).with_suffix("").parts)))


def _saved_model_errors(folder: Path) -> contextlib.AbstractContextManager[None]:
    source, hint = f"the saved model {folder} cannot be read", "Restore the folder, or train again."
    return as_data_error(source, "what `save` writes", hint, error=DlkitError)
