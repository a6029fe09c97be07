"""Train a task on a few rows of its sample and export it."""

from task_contracts import small_hparams

from dlkit.data.read import read
from dlkit.tasks import find_task


def train_and_export(name, tmp_path, **hparams):
    task = find_task(name)(**small_hparams(name, epochs=1, **hparams))
    table = read(task.samples()["train"], {**task.inputs, **task.target})
    table = table.take(range(0, min(300, len(table)), 2))
    task.fit(table.columns, verbose=0)
    version = task.export(tmp_path / name)  # raises unless a process without dlkit makes the same predictions
    assert (version / "saved_model.pb").is_file()
    return task
