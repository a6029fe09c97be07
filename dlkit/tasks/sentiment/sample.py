"""Short reviews of films, restaurants, phones, hotels, books and apps, written for dlkit."""

from __future__ import annotations

import csv
from pathlib import Path


def load_reviews() -> dict[str, dict[str, list[str]]]:
    """Load the splits train (320), validation (80) and test (80), each half positive and half negative.

    Returns:
        Split name to `{"text": [...], "label": [...]}`; the labels are `positive` and `negative`.
    """
    splits: dict[str, dict[str, list[str]]] = {}
    with Path(__file__).with_name("reviews.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            columns = splits.setdefault(row["split"], {"text": [], "label": []})
            columns["text"].append(row["text"])
            columns["label"].append(row["label"])
    return splits
