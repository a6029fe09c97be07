"""Compare `SentimentClassifier` with its default options and TF-IDF with logistic regression.

    python benchmarks/default_texts.py TRAIN.csv TEST.csv [--seeds 0 1 2] [--minutes 5] [HPARAM=VALUE ...]

Both tables have the columns `text` and `label`. Nothing is chosen on the test rows: the regularization of the logistic
regressions is chosen by cross-validation of the training rows.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path

from machine import print_machine
from timing import hparams_of

import dlkit


def read_texts(path: Path) -> tuple[list[str], list[str]]:
    """Return the texts and labels of a table with the columns `text` and `label`."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def print_tfidf(train: Path, test: Path) -> None:
    """Print the accuracy of logistic regression on TF-IDF of words, and of words and characters.

    The regularization is chosen by cross-validation.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(ngram_range=(1, 2))
    features = {
        "words (1-2)": words,
        "words (1-2) and characters (2-5)": make_union(words, TfidfVectorizer(analyzer="char", ngram_range=(2, 5))),
        "words (1-2) and characters (2-5) in words": make_union(
            words, TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))
        ),
    }
    (texts, labels), (test_texts, test_labels) = read_texts(train), read_texts(test)
    for name, vectorizer in features.items():
        begun = time.process_time()
        search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [1.0, 3.0, 10.0, 30.0]}, cv=4)
        accuracy = make_pipeline(vectorizer, search).fit(texts, labels).score(test_texts, test_labels)
        print(
            f"TF-IDF of {name}, logistic regression, C={search.best_params_['C']:g}: accuracy {accuracy:.4f}, "
            f"{time.process_time() - begun:.0f} s of CPU",
            flush=True,
        )


def print_dlkit(train: Path, test: Path, seeds: list[int], minutes: float, hparams: dict[str, object]) -> None:
    """Print the test accuracy of `SentimentClassifier` for each seed."""
    accuracies = []
    for seed in seeds:
        task = dlkit.SentimentClassifier(seed=seed, **hparams)
        begun = time.process_time()
        task.fit(str(train), minutes=minutes, verbose=0)
        seconds = time.process_time() - begun
        accuracies.append(task.evaluate(str(test))["accuracy"])
        print(f"dlkit, seed {seed}: accuracy {accuracies[-1]:.4f}, {seconds:.0f} s of CPU", flush=True)
    print(f"dlkit, mean of {len(seeds)} seeds: accuracy {statistics.mean(accuracies):.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=0.0, help="the time budget of each fit; 0 for none")
    given = parser.parse_intermixed_args()
    print_machine()
    print_dlkit(given.train, given.test, given.seeds, given.minutes, hparams_of(given.hparams))
    print_tfidf(given.train, given.test)


if __name__ == "__main__":
    main()
