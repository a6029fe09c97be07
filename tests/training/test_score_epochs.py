"""The score of served answers while a run goes on: when, of what, and that it ends where it cannot be made."""

import contextlib
import math
import types

import numpy as np
import pytest

from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.training.score_epochs import ScoredEpochs, ScoreEpochs, choose_scored_epochs, remove_pictures


class Rows:
    def __init__(self, table):
        self.table = table

    def __len__(self):
        return len(self.table)

    def to_evaluate(self):
        return self.table

    def to_score(self):
        return Table("rows", {"x": [-row for row in self.table.columns["x"]]}, str)

    def with_table(self, table):
        return Rows(table)


def score(epochs, score_epoch, scored, folder=None):
    """Return the epochs that got a metric, by number, and how often the weights were copied."""
    table = Table("rows", {"x": list(range(200))}, str)
    task = types.SimpleNamespace(shown_metrics=("AP50", "AP"), monitor="AP", score_epoch=score_epoch)
    store = types.SimpleNamespace(source_rows=np.repeat(np.arange(0, 200, 2), 2))  # every other row could be encoded
    given_back = []
    callback = ScoreEpochs(task, Rows(table), store, scored, lambda: given_back.append(1), epochs, folder=folder)
    callback.set_model(types.SimpleNamespace(averaged=contextlib.nullcontext))
    found = {}
    for epoch in range(epochs):
        logs = {}
        callback.on_epoch_end(epoch, logs)
        if logs:
            found[epoch + 1] = logs
    return found, len(given_back)


def test_at_most_ten_looks_at_64_rows(capsys):
    seen = []

    def score_epoch(rows):
        seen.append(rows.table.columns["x"])
        return {"AP50": 0.5, "AP": 0.25, "rows": 1}, None

    assert score(60, score_epoch, ScoredEpochs()) == ({}, 9)  # and the end has a score of its own
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "epoch 6: AP50 0.5000, AP 0.2500 on 64 validation rows"
    assert len(said) == 9
    assert len(seen[0]) == 64 and not any(row % 2 or row > 0 for row in seen[0])
    assert score(2, score_epoch, ScoredEpochs()) == ({}, 0)


def test_what_cannot_be_scored_is_not_asked_again(capsys):
    def refuses(rows):
        raise DataError("no")

    assert score(60, refuses, ScoredEpochs()) == ({}, 1)
    assert capsys.readouterr().err == ""
    assert score(60, refuses, ScoredEpochs(16, 7, monitored=True)) == ({}, 1)
    assert "cannot be measured, the weights of the last epoch are kept: no" in capsys.readouterr().err


def test_monitored_scores_are_metrics_of_their_epochs_and_have_pictures(tmp_path, capsys):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "epoch-0001.png").touch()
    remove_pictures(tmp_path)
    found, _ = score(7, lambda rows: ({"AP": len(rows)}, b"png"), ScoredEpochs(16, 3, monitored=True), tmp_path)
    assert found == {epoch: {"val_AP": 16.0} for epoch in (3, 6, 7)}
    pictures = sorted((tmp_path / "samples").iterdir())
    assert [path.name for path in pictures] == ["epoch-0003.png", "epoch-0006.png", "epoch-0007.png"]
    assert pictures[0].read_bytes() == b"png"
    assert score(2, lambda rows: ({"AP": 1}, None), ScoredEpochs(16, 3, monitored=True)) == ({}, 0)
    assert "is measured every 3 epochs: the weights of the last epoch are kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("monitor", "validation", "shows", "expected"),
    [
        ("AP", 500, False, ScoredEpochs(100, 4, monitored=True)),  # 100 rows cost as 200: 5 % of 4 epochs of 1,000
        ("AP", 50, True, ScoredEpochs(50, 2, monitored=True)),
        ("loss", 500, True, ScoredEpochs()),
        ("loss", 500, False, None),
        ("AP50", 500, False, None),  # shown, but not the primary metric: lower could be better
        ("AP", 0, True, None),
    ],
)
def test_scores_that_select_take_a_twentieth_of_the_time(monitor, validation, shows, expected):
    names = {"shown_metrics": ("AP50", "AP"), "primary_metric": "AP", "monitor": monitor}
    task = types.SimpleNamespace(**names, monitored_rows=100, answer_cost=2.0)
    assert choose_scored_epochs(task, 1000, validation, shows) == expected


@pytest.mark.parametrize("scored", [ScoredEpochs(), ScoredEpochs(9, 3, True), ScoredEpochs(9, 50, True)])
@pytest.mark.parametrize("epochs", [1, 2, 3, 20, 21])
def test_the_number_of_scores_is_known_before_the_run(scored, epochs):
    assert scored.count(epochs) == sum(scored.has(epoch, epochs) for epoch in range(1, epochs + 1))


@pytest.mark.slow
def test_a_detector_shows_ap_while_it_trains(capsys):
    import dlkit

    images = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), np.uint8)
    data = {"image": list(images), "boxes": [[[2, 3, 20, 25]]] * 8, "labels": [["a"]] * 8}
    task = dlkit.ObjectDetector(epochs=4, width=8, image_size=32, batch_size=4)
    task.fit(data, data, verbose=2)
    assert "epoch 2: AP50 0." in capsys.readouterr().out


def test_the_history_has_no_number_where_nothing_was_measured():
    from dlkit.training.checkpoints import Checkpoints

    checkpoints = Checkpoints(None, 2, 0, None, {}, sparse=["val_AP"])
    checkpoints.set_model(types.SimpleNamespace(first_bad=None, replicas=1))
    checkpoints._refuse_nan = lambda: None
    for epoch, logs in enumerate([{"loss": 3.0}, {"loss": 2.0, "val_AP": 0.5}]):
        checkpoints.on_epoch_end(epoch, logs)
    assert checkpoints.history["loss"] == [3.0, 2.0]
    first, second = checkpoints.history["val_AP"]
    assert math.isnan(first) and second == 0.5
