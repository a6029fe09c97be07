"""Measure question answering on squad: exact match and F1 of served answers, offsets, seconds per step.

python benchmarks/question_answering.py accuracy [minilm|bidaf|transformer] [--held-out] [--rows N] [HPARAM=VALUE ...]
python benchmarks/question_answering.py lexical
python benchmarks/question_answering.py offsets
python benchmarks/question_answering.py steps [HPARAM=VALUE ...]

`accuracy` trains and prints the metrics of the test questions, which nothing is chosen on; with --held-out, those of an
eighth of the training articles instead, which are then not trained on: options are chosen there. `lexical` selects
spans by shared words, without training. `offsets` answers all test questions with an untrained network, and counts the
answers that do not occur at their offsets, and the gold answers that are whole tokens. `steps` times a
training step of MiniLM.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from accuracy import minilm
from machine import DATA, print_machine
from timing import clock, hparams_of

SCRATCH = {"epochs": 8, "validation_split": 0.0}
HPARAMS: dict[str, dict[str, Any]] = {
    "minilm": {
        "batch_size": 16,
        "epochs": 1,
        "learning_rate": 2e-4,
        "warmup": 0.1,
        "dropout": 0.0,
        "weight_decay": 0.01,
        "validation_split": 0.0,
        "freeze": "1",
    },
    "bidaf": SCRATCH,
    "transformer": {**SCRATCH, "learning_rate": 1e-3},
}
MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
KIND = {  # what a question asks for, and the runs of words that may be it
    r"how (many|much|old|long|far|tall|high)|what (percent|number)": (
        r"[$£€]?\d[\d,.]*%?(?: (?:million|billion|percent|years))?"
    ),
    r"when|what (year|date|day|month)": rf"(?:{MONTHS})[ \d,]*|\d{{4}}s?",
    r"who|where|which|whose|what": r"[A-Z][\w'’-]*(?: (?:of |the |de |van )?[A-Z][\w'’-]*)*",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("accuracy", "lexical", "offsets", "steps"))
    parser.add_argument("network", nargs="?", default="minilm")
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--rows", type=int, default=0, help="questions to train on; 0 for all")
    given = parser.parse_intermixed_args()
    print_machine()
    if given.what == "accuracy":
        accuracy(given.network, given.rows, given.held_out, hparams_of(given.hparams))
    elif given.what == "lexical":
        print_lexical()
    elif given.what == "offsets":
        print_offsets()
    else:
        extra = [given.network, *given.hparams] if "=" in given.network else given.hparams
        print_steps(hparams_of(extra))


def sources(held_out: bool) -> tuple[Any, Any]:
    """Load training and test questions; with `held_out`, every eighth training article replaces the test questions."""
    train, test = str(DATA / "squad" / "train.json"), str(DATA / "squad" / "test.json")
    if not held_out:
        return read_rows(train), read_rows(test)
    articles = json.loads(Path(train).read_text())["data"]
    parts = [[a for n, a in enumerate(articles) if (n % 8 == 0) == held] for held in (False, True)]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, part in enumerate(parts):
            files.append(Path(folder) / f"{number}.json")
            files[-1].write_text(json.dumps({"data": part}))
        return tuple(read_rows(str(file)) for file in files)


def read_rows(path: str) -> dict[str, list]:
    """Read the questions of a file, by column."""
    from dlkit.data.read import read
    from dlkit.tasks import find_task

    task = find_task("question_answering")
    table = read(path, {**task.inputs, **task.target})
    for remark in table.remarks:
        print(f"{Path(path).name}: {remark}")
    return dict(table.columns)


def make_model(network: str, hparams: dict[str, Any]) -> Any:
    import dlkit

    name = f"preset:{minilm()}" if network == "minilm" else network
    hparams = {**HPARAMS[network], **hparams, "network": name}
    return dlkit.QuestionAnswerer(**{**hparams, "freeze": str(hparams.get("freeze", ""))})


def accuracy(network: str, rows: int, held_out: bool, hparams: dict[str, Any]) -> None:
    train, test = sources(held_out)
    if rows:
        train = {name: values[:: max(len(values) // rows, 1)][:rows] for name, values in train.items()}
    timer, task = clock(), make_model(network, hparams)
    begun = time.perf_counter()
    task.fit(train, strategy="one", callbacks=[timer], verbose=2)
    minutes = (time.perf_counter() - begun) / 60
    metrics = task.evaluate(test)
    shown = ", ".join(f"{name} {metrics[name]:.4f}" for name in ("exact_match", "f1", "baseline_f1"))
    part = "held-out articles" if held_out else "test"
    print(
        f"{network}, {len(train['question'])} questions, {task.fingerprint_['rows']} windows: {minutes:.1f} minutes, "
        f"{sum(timer.seconds) / 60:.1f} of them steps; {metrics['questions']} questions of {part}: {shown}",
        flush=True,
    )


def print_lexical() -> None:
    from dlkit.tasks.question_answering.metrics import score_answers

    _, test = sources(False)
    answers = [lexical(*pair) for pair in zip(test["question"], test["context"], strict=True)]
    metrics = score_answers([[text for text, _ in golds] for golds in test["answers"]], answers)
    print(f"lexical picker: exact_match {metrics['exact_match']:.4f}, f1 {metrics['f1']:.4f}")


def lexical(question: str, context: str) -> str:
    """Select words of the kind that a question asks for, near to the words of the question in the context."""
    question_words = {word for word in re.findall(r"\w+", question.lower()) if len(word) > 2}
    counts = Counter(re.findall(r"\w+", context.lower()))
    weights = [
        (match.start(), 1 / math.sqrt(counts[match.group().lower()]))
        for match in re.finditer(r"\w+", context)
        if match.group().lower() in question_words
    ]
    kind = next((runs for words, runs in KIND.items() if re.search(rf"\b(?:{words})\b", question.lower())), r"\w+")
    best, text = -1.0, context.split(".")[0]
    for match in re.finditer(kind, context):
        words = set(re.findall(r"\w+", match.group().lower()))
        if words & question_words:
            continue
        near = sum(weight / (10 + abs(position - match.start())) for position, weight in weights)
        if near > best:
            best, text = near, match.group().strip()
    return text


def print_offsets() -> None:
    train, test = sources(False)
    few = {name: values[:64] for name, values in train.items()}
    for network in ("minilm", "bidaf"):
        hparams = {"epochs": 1, "learning_rate": 0.0, "freeze": ""}
        task = make_model(network, hparams)
        task.fit(few, strategy="one", verbose=0)
        pairs = [
            dict(zip(("question", "context"), pair, strict=True))
            for pair in zip(test["question"], test["context"], strict=True)
        ]
        wrong = spans = 0
        for pair, answer in zip(pairs, task.predict(pairs), strict=True):
            for text, start, end in zip(answer["texts"], answer["starts"], answer["ends"], strict=True):
                spans += 1
                wrong += pair["context"][start:end] != text
        print(
            f"{network}: {spans} answers to {len(pairs)} questions, {wrong} do not occur at their offsets", flush=True
        )
        print_golds(task, test)


def print_golds(task: Any, test: dict[str, list]) -> None:
    """Print how many gold answers can be predicted exactly: they start and end with a token."""
    from dlkit.lazy import tf

    tokenizer = task.stages_.preprocess.get_layer("window_packer").tokenizer
    contexts = list(dict.fromkeys(test["context"]))
    located = tf.function(tokenizer.locate)(tf.constant(contexts))
    borders = {
        context: (set(starts), set(ends))
        for context, starts, ends in zip(contexts, located["starts"].to_list(), located["ends"].to_list(), strict=True)
    }
    golds = right = 0
    for context, answers in zip(test["context"], test["answers"], strict=True):
        for text, start in answers:
            golds += 1
            right += start in borders[context][0] and start + len(text) in borders[context][1]
    print(f"  {right} of {golds} gold answers are whole tokens ({right / golds:.2%})", flush=True)


def print_steps(hparams: dict[str, Any]) -> None:
    from dlkit.lazy import keras, load_tensorflow

    load_tensorflow()

    class Steps(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds: list[float] = []

        def on_train_batch_begin(self, batch, logs=None):
            self.begun = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.seconds.append(time.perf_counter() - self.begun)

    train, _ = sources(True)
    few = {name: values[::40] for name, values in train.items()}
    steps, task = Steps(), make_model("minilm", {"epochs": 1, **hparams})
    task.fit(few, strategy="one", callbacks=[steps], verbose=0)
    print(f"{hparams}: {statistics.median(steps.seconds[2:]):.2f} s a step of {task.batch_size}", flush=True)


if __name__ == "__main__":
    main()
