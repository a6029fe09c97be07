"""Which epoch is kept: the best of the monitored metric and, among equals, the one of the lowest loss."""

import math
import types

import pytest

from dlkit.best_epoch import ValidationResult, best_epoch_index, is_better, metrics_of_epoch

NAN = math.nan


@pytest.mark.parametrize(
    ("monitor", "now", "best", "better"),
    [
        ("accuracy", (0.9, 0.5), (0.8, 0.1), True),
        ("accuracy", (0.8, 0.1), (0.9, 0.5), False),
        ("accuracy", (0.9, 0.1), (0.9, 0.5), True),  # a tie: the loss decides
        ("accuracy", (0.9, 0.5), (0.9, 0.1), False),
        ("accuracy", (0.9, 0.5), (0.9, 0.5), False),  # of equals the first
        ("accuracy", (0.90000004, 0.5), (0.9, 0.1), False),  # what float32 rounds is a tie
        ("accuracy", (0.9001, 0.5), (0.9, 0.1), True),
        ("loss", (0.4, 0.4), (0.5, 0.5), True),
        ("loss", (0.5, 0.5), (0.4, 0.4), False),
        ("logits_loss", (0.4, 0.6), (0.5, 0.5), True),
        ("accuracy", (NAN, 0.1), (0.1, 0.5), False),
        ("accuracy", (0.1, 0.5), (NAN, 0.1), True),
        ("accuracy", (NAN, NAN), (NAN, NAN), False),
        ("accuracy", (0.9, 0.5), (0.9, NAN), True),
        ("accuracy", (0.9, NAN), (0.9, 0.5), False),
    ],
)
def test_what_is_better(monitor, now, best, better):
    assert is_better(monitor, ValidationResult(*now), ValidationResult(*best)) == better


@pytest.mark.parametrize(
    ("kept", "history", "epoch"),
    [
        ({"epoch": 2}, {"loss": [3, 2, 1], "val_accuracy": [0.5, 0.5, 0.5]}, 1),
        # Of models that were saved before the epoch was: as they were chosen.
        ({}, {"loss": [3, 2, 1], "val_accuracy": [0.4, 0.5, 0.5]}, 1),
        ({}, {"loss": [3, 2, 1]}, 2),
    ],
)
def test_the_kept_epoch(kept, history, epoch):
    assert best_epoch_index(types.SimpleNamespace(monitor="accuracy", history_=history, best_epoch_=kept)) == epoch


def test_the_metrics_of_an_epoch_are_those_that_every_epoch_has():
    assert metrics_of_epoch({"loss": [3.0, 2.0, 1.0], "val_loss": [2.0, 1.0]}, 1) == {"loss": 2.0}
    assert metrics_of_epoch({}, -1) == {}
