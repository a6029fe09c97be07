"""Measure the latency of `predict` on one input, compared with the exported signature and `keras.Model.predict`.

python benchmarks/latency.py [--calls N] [--cload PROGRAM]

Trains an epoch on the built-in samples and exports. Then all ways to an answer take turns, a call each, on the same
input. "signature" is the exported `serving_default`, read back by `tf.saved_model.load` and called with a tensor that
is there already; its answer stays a tensor. "graph" is the same function as `predict` traces it, called in the same
way: TensorFlow calls a function that was read back more slowly than one that was traced. "keras.Model.predict"
decodes or tokenizes in one TensorFlow call, gives `network.predict` a batch of one, and picks the best label in NumPy.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import print_machine

import dlkit
from dlkit.lazy import load_tensorflow, tf


def image_ways(task: dlkit.ImageClassifier, folder: Path) -> tuple[bytes, dict[str, Callable[[], Any]]]:
    """Return the input as the signature takes it, and the ways to predict it that only images have."""
    array = task.samples()["test"]["image"][0]
    data = tf.io.encode_png(array[..., np.newaxis]).numpy()
    path = folder / "one.png"
    path.write_bytes(data)
    network, labels = task.stages_.network, task.labels_

    def by_keras() -> tuple[str, float]:
        image = tf.io.decode_png(data, channels=1).numpy()
        return best(network.predict({"image": image[np.newaxis]}, verbose=0)["logits"][0], labels)

    return data, {
        "predict(bytes)": lambda: task.predict(data),
        "predict(path)": lambda: task.predict(path),
        "predict(array)": lambda: task.predict(array),
        "keras.Model.predict": by_keras,
    }


def text_ways(task: dlkit.SentimentClassifier, folder: Path) -> tuple[bytes, dict[str, Callable[[], Any]]]:
    """Return the same for texts."""
    text = "A warm, funny film that never quite finds its ending."
    network, labels = task.stages_.network, task.labels_
    tokenize = tf.function(task.stages_.preprocess)

    def by_keras() -> tuple[str, float]:
        tokens = {name: tensor.numpy() for name, tensor in tokenize({"text": tf.constant([text])}).items()}
        return best(network.predict(tokens, verbose=0)["logits"][0], labels)

    return text.encode(), {"predict(text)": lambda: task.predict(text), "keras.Model.predict": by_keras}


def best(logits: np.ndarray, labels: list[str]) -> tuple[str, float]:
    shares = np.exp(logits - logits.max())
    return labels[int(logits.argmax())], float(shares.max() / shares.sum())


def measure(ways: dict[str, Callable[[], Any]], calls: int) -> dict[str, list[float]]:
    """Time each call of each variant, in seconds; the variants take turns, in a changing order."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(-10, calls):  # the first ones warm up
        for name in names:
            begun = time.perf_counter()
            ways[name]()
            if number >= 0:
                seconds[name].append(time.perf_counter() - begun)
        names.append(names.pop(0))
    return seconds


def report(seconds: dict[str, list[float]]) -> None:
    signature = seconds["signature"]
    for name, values in seconds.items():
        ratios = [value / base for value, base in zip(values, signature, strict=True)]
        low, _, high = (1e3 * quantile for quantile in statistics.quantiles(values, n=4))
        row = f"  {name:20} {1e3 * statistics.median(values):7.3f} ms (middle half {low:.3f} to {high:.3f})"
        print(f"{row}, {statistics.median(ratios):6.2f} times the signature")
    slow = seconds["keras.Model.predict"]
    for name, values in seconds.items():
        if name.startswith("predict"):
            ratio = statistics.median(other / own for other, own in zip(slow, values, strict=True))
            print(f"  {name} is {ratio:.1f} times as fast as keras.Model.predict")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=500, help="of each way (default: %(default)s)")
    parser.add_argument("--cload", type=Path, help="a program that runs a signature of a version directory")
    given = parser.parse_args()
    print_machine()
    load_tensorflow()

    for name, ways_of in (("ImageClassifier", image_ways), ("SentimentClassifier", text_ways)):
        task = getattr(dlkit, name)(epochs=1)
        task.fit(task.samples()["train"], verbose=0)
        with tempfile.TemporaryDirectory() as folder:
            version = task.export(Path(folder) / "model")
            loaded = tf.saved_model.load(str(version))
            signature = loaded.signatures["serving_default"]
            raw, ways = ways_of(task, Path(folder))
            graph = task.served()["serving_default"].graph
            ready = {next(iter(task.inputs)): tf.constant([raw])}
            answers = {"signature": signature(**ready)["label"].numpy()[0].decode()}
            answers |= {way: _label(answer()) for way, answer in ways.items()}
            if len(set(answers.values())) > 1:
                raise SystemExit(f"the ways disagree: {answers}")
            print(f"{name}(epochs=1), one input, {given.calls} calls of each in turn:", flush=True)
            alone = {"signature": lambda: signature(**ready), "graph": lambda: graph(**ready)}  # noqa: B023
            report(measure({**alone, **ways}, given.calls))
            if given.cload:
                command = [given.cload, "--repeat", str(given.calls), version, "serving_default"]
                told = subprocess.run(command, input=raw, capture_output=True).stderr.decode().strip().splitlines()
                print(f"  {told[-1] if told else 'the program printed no time'}")


def _label(answer: Any) -> str:
    return answer["label"] if isinstance(answer, dict) else answer[0]


if __name__ == "__main__":
    main()
