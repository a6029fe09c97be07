"""The score of served answers while a run goes on: when it is shown, of what, and that it ends where it cannot be."""

import contextlib
import types

import numpy as np
import pytest

from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.training.show_metrics import ShowMetrics


class Rows:
    def __init__(self, table):
        self.table = table

    def __len__(self):
        return len(self.table)

    def to_evaluate(self):
        return self.table

    def with_table(self, table):
        return Rows(table)


def looks(epochs, evaluate_rows, capsys, rows=200):
    table = Table("rows", {"x": list(range(rows))}, str)
    task = types.SimpleNamespace(shown_metrics=("AP50", "AP"), evaluate_rows=evaluate_rows)
    store = types.SimpleNamespace(source_rows=np.repeat(np.arange(0, rows, 2), 2))  # every other row could be encoded
    given_back = []
    show = ShowMetrics(task, Rows(table), store, lambda: given_back.append(1), epochs)
    show.set_model(types.SimpleNamespace(averaged=contextlib.nullcontext))
    for epoch in range(epochs):
        show.on_epoch_end(epoch)
    return capsys.readouterr().out.splitlines(), len(given_back)


def test_at_most_ten_looks_at_64_rows(capsys):
    seen = []

    def evaluate_rows(rows):
        seen.append(rows.table.columns["x"])
        return {"AP50": 0.5, "AP": 0.25, "rows": 1}

    said, given_back = looks(60, evaluate_rows, capsys)
    assert said[0] == "epoch 6: AP50 0.5000, AP 0.2500 on 64 validation rows"
    assert len(said) == given_back == 9  # and the end has a score of its own
    assert len(seen[0]) == 64 and not any(row % 2 for row in seen[0])
    assert looks(2, evaluate_rows, capsys) == ([], 0)


def test_what_cannot_be_scored_is_not_asked_again(capsys):
    def refuses(rows):
        raise DataError("no")

    said, given_back = looks(60, refuses, capsys)
    assert (said, given_back) == ([], 1)


@pytest.mark.slow
def test_a_detector_shows_ap_while_it_trains(capsys):
    import dlkit

    images = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), np.uint8)
    data = {"image": list(images), "boxes": [[[2, 3, 20, 25]]] * 8, "labels": [["a"]] * 8}
    task = dlkit.ObjectDetector(epochs=4, width=8, image_size=32, batch_size=4)
    task.fit(data, data, verbose=2)
    assert "epoch 2: AP50 0." in capsys.readouterr().out
