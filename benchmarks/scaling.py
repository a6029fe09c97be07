"""Measure images per second of one and two replicas and workers, and the share of time for synchronization.

python benchmarks/scaling.py [--rounds N] [--networks resnet mlp ...] [--batches 128 512 ...]

For each network and global batch, four trainings of random 28 x 28 gray images take turns:
one worker that may use one core; two workers of one core each; one process with one device on two cores; one process
with `mirrored:2` on two cores. A training is an epoch to warm up and three that count; the median is taken. The share
of synchronizing is what two workers' step takes beyond the step of one worker on half of the batch, which
has the same work to do: 1 - t(one worker, B/2) / t(two workers, B). It holds the exchange, and the waiting.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

from machine import print_machine
from workers import start_workers

STEPS = {"resnet": 6, "lenet": 20, "alexnet": 4}  # of an epoch: a second or two at least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--batches", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--train", nargs=3, metavar=("NETWORK", "BATCH", "STRATEGY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(given.train[0], int(given.train[1]), given.train[2])
        return
    print_machine()
    cores = sorted(os.sched_getaffinity(0))[:2]
    print("network       parameters  batch |  1 worker  2 workers  gain | 1 device  mirrored:2  gain | synchronizing")
    for network in given.networks:
        for batch in given.batches:
            print_row(network, batch, given.rounds, cores)


def print_row(network: str, batch: int, rounds: int, cores: list[int]) -> None:
    seconds: dict[str, list[float]] = {}
    parameters = 0
    for _ in range(rounds):
        for name, size, strategy, places in (
            ("half", batch // 2, "one", [{cores[0]}]),
            ("one worker", batch, "one", [{cores[0]}]),
            ("two workers", batch, "multiworker", [{core} for core in cores]),
            ("one device", batch, "one", [set(cores)]),
            ("mirrored", batch, "mirrored:2", [set(cores)]),
        ):
            figures = run(network, size, strategy, places)
            seconds.setdefault(name, []).append(figures["seconds"])
            parameters = figures["parameters"]
    step = {name: statistics.median(values) for name, values in seconds.items()}
    gains = [one / two for one, two in zip(seconds["one worker"], seconds["two workers"], strict=True)]
    mirrored = [one / two for one, two in zip(seconds["one device"], seconds["mirrored"], strict=True)]
    shares = [1 - half / two for half, two in zip(seconds["half"], seconds["two workers"], strict=True)]
    one, two, device, both = (batch / step[name] for name in ("one worker", "two workers", "one device", "mirrored"))
    print(
        f"{network:12} {parameters:11,}  {batch:5} | {one:9.0f}  {two:9.0f}  {statistics.median(gains):4.2f} | "
        f"{device:8.0f}  {both:10.0f}  {statistics.median(mirrored):4.2f} | "
        f"{statistics.median(shares):5.0%} of {step['two workers'] * 1e3:.0f} ms",
        flush=True,
    )


def run(network: str, batch: int, strategy: str, cores: list[set[int]]) -> dict[str, Any]:
    workers = start_workers(__file__, ["--train", network, str(batch), strategy], len(cores), cores)
    outputs = [worker.communicate() for worker in workers]
    if any(worker.returncode for worker in workers):
        raise SystemExit("\n".join(errors for _, errors in outputs))
    return json.loads(outputs[0][0].splitlines()[-1])


def train(network: str, batch: int, strategy: str) -> None:
    import numpy as np

    import dlkit
    from dlkit.lazy import keras

    class Clock(keras.callbacks.Callback):
        seconds: list[float] = []

        def on_epoch_begin(self, epoch, logs=None):
            self.begun = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append((time.perf_counter() - self.begun) / STEPS[network])

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch * STEPS[network], 28, 28), np.uint8)
    labels = random.integers(0, 10, batch * STEPS[network])
    task = dlkit.ImageClassifier(
        network=network, batch_size=batch, epochs=4, learning_rate=1e-3, validation_split=0.0, augmentation="none"
    )
    task.fit((images, labels), strategy=strategy, callbacks=[Clock()], verbose=0)
    parameters = sum(int(np.prod(variable.shape)) for variable in task.stages_.network.trainable_variables)
    print(json.dumps({"seconds": statistics.median(Clock.seconds[1:]), "parameters": parameters}))


if __name__ == "__main__":
    main()
