"""What trackers that patch `fit` of Keras see: every epoch, the hyperparameters, and one run, resumed or not."""

import importlib.util
import sys
from types import SimpleNamespace

import keras
import pytest
from interrupt_training import InterruptTraining

import dlkit
from dlkit.model_folder import read_index
from dlkit.training.tracking import LogHyperparameters, track_run

EPOCHS, STEPS = 3, 5  # 40 rows, 8 a batch
HPARAMS = {"epochs": EPOCHS, "batch_size": 8, "validation_split": 0.0, "character_ngrams": False}
ROWS = {"text": [f"good {n}" if n % 2 else f"bad {n}" for n in range(40)], "label": ["yes", "no"] * 20}
HELD_OUT = {"text": ["good 1", "bad 2"], "label": ["no", "yes"]}
RUN = {"verbose": 0, "strategy": "one", "checkpoint_every": 1}


class Seen(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs, self.batches, self.begun = [], [], 0

    def on_train_begin(self, logs=None):
        self.begun += 1
        self.steps = self.params["steps"]

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    """MLflow with an empty store of its own, which logs by itself; None where it is not installed."""
    if importlib.util.find_spec("mlflow") is None:
        yield None
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        import mlflow

        mlflow.set_tracking_uri((tmp_path_factory.mktemp("store") / "mlruns").as_uri())
        yield mlflow
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def run(tmp_path_factory, mlflow):
    """A run that was stopped in a step and went on: the task, the calls of `fit` in order, and what each let see."""
    calls, seen, fit, folder = [], [], keras.Model.fit, tmp_path_factory.mktemp("runs") / "model"

    def patched(self, *args, **kwargs):
        seen.append(Seen())
        calls.append(kwargs)
        return fit(self, *args, **{**kwargs, "callbacks": [*kwargs["callbacks"], seen[-1]]})

    keras.Model.fit = patched
    if mlflow:
        mlflow.keras.autolog(log_models=False, log_datasets=False, silent=True)
    try:
        with pytest.raises(KeyboardInterrupt):
            dlkit.SentimentClassifier(**HPARAMS).fit(
                ROWS, HELD_OUT, save=folder, callbacks=[InterruptTraining(STEPS + 2)], **RUN
            )
        task = dlkit.SentimentClassifier(**HPARAMS)
        task.fit(ROWS, HELD_OUT, save=folder, resume=True, **RUN)
    finally:
        if mlflow:
            mlflow.keras.autolog(disable=True)
        keras.Model.fit = fit
    return SimpleNamespace(task=task, calls=calls, seen=seen, folder=folder)


def test_a_tracker_that_patches_fit_sees_one_call_of_a_run_that_was_never_stopped(run):
    first, second = (
        {name: value for name, value in call.items() if name not in ("x", "callbacks", "validation_data")}
        for call in run.calls
    )
    assert first == second
    assert first["batch_size"] == HPARAMS["batch_size"]
    assert all(type(call["callbacks"]) is list for call in run.calls)
    before, after = run.seen
    assert before.batches == [0, 1, 2, 3, 4, 0, 1]
    assert after.batches == [1, 2, 3, 4, 0, 1, 2, 3, 4]  # it was stopped before the checkpoint of its last step
    assert (before.epochs, after.epochs) == ([0], [1, 2])
    assert after.begun == 1
    assert after.steps == STEPS


def test_mlflow_sees_all_epochs_and_hyperparameters_of_a_resumed_run_as_one(run, mlflow):
    if mlflow is None:
        pytest.skip("needs mlflow-skinny: the extra `tracking` has it")
    (found,) = mlflow.search_runs(output_format="list")
    assert run.task.tracker_runs_ == {"mlflow": found.info.run_id}
    assert found.info.status == "FINISHED"
    assert {name: str(value) for name, value in run.task.hparams.items()}.items() <= found.data.params.items()
    for name in ("loss", "val_loss"):
        logged = mlflow.MlflowClient().get_metric_history(found.info.run_id, name)
        assert {metric.step: metric.value for metric in logged} == dict(enumerate(run.task.history_[name]))
    assert read_index(run.folder)["fitted"]["tracker_runs_"] == run.task.tracker_runs_


def broken(*args, **kwargs):
    raise ConnectionError("no server")


def test_a_tracker_that_fails_costs_no_training(monkeypatch, capsys):
    active = SimpleNamespace(info=SimpleNamespace(run_id="7"))
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(active_run=lambda: active, get_run=broken))
    task = dlkit.SentimentClassifier()
    with track_run(task, []):
        LogHyperparameters(task).on_train_begin()
    assert task.tracker_runs_ == {"mlflow": "7"}
    assert capsys.readouterr().err == "MLflow does not track this run: no server\n"
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(active_run=broken))
    with track_run(task, []):
        pass
    assert "no server" in capsys.readouterr().err


def test_what_does_not_use_mlflow_does_without(monkeypatch):
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    task = dlkit.SentimentClassifier()
    with track_run(task, []):
        LogHyperparameters(task).on_train_begin()
    assert task.tracker_runs_ == {}
    assert "mlflow" not in sys.modules
