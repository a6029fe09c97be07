"""Measure translators on real verses: quality, cached decoding, buckets by length.

python benchmarks/translation.py accuracy [--minutes M] [--seeds 0 1 2] [--held-out] [--saved FOLDER] [HPARAM=VALUE ...]
python benchmarks/translation.py penalties --saved FOLDER [--held-out] [--penalties 0.6 1.0 1.4]
python benchmarks/translation.py decoding
python benchmarks/translation.py buckets [--steps N]

`accuracy` trains for so many minutes on en_es, reading and encoding not included, and prints BLEU and chrF of the
served translations of all test verses, greedy and with a beam width of 4. With `--held-out` it scores blocks of
training verses that it does not train on: options are chosen there. `penalties` scores a saved translator on the test
verses or on those blocks: greedy, and with a beam width of 4 and several length penalties. `decoding` times the
generation of 64 tokens with cached keys and values, and without the cache. `buckets` prints target tokens per second in
training, with rows of similar length in a batch against padding to the longest row.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import DATA, print_machine
from timing import clock, hparams_of

HPARAMS: dict[str, Any] = {"validation_split": 0.0, "filters": "duplicate"}
PROBE = 8  # a share of the rows by which an epoch is timed
BLOCK, BLOCKS = 20, 30  # verses side by side that are held out together, and how many times
TOKENS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("accuracy", "penalties", "decoding", "buckets"))
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--saved", type=Path, help="a folder: of `accuracy`, to save in; of `penalties`, to load from")
    parser.add_argument("--penalties", type=float, nargs="+", default=[0.6, 1.0, 1.4, 1.8])
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_intermixed_args()
    print_machine()
    if given.what == "decoding":
        decoding()
    elif given.what == "buckets":
        buckets(given.steps)
    elif given.what == "penalties":
        test = sources(given.held_out)[1]
        print_score(load_with_beams(given.saved, 1), test)
        for penalty in given.penalties:
            print(f"length penalty {penalty}, ", end="")
            print_score(load_with_beams(given.saved, 4, penalty), test)
    else:
        scores = [accuracy(given, seed) for seed in given.seeds]
        if len(scores) > 1:
            for name in scores[0]:
                values = [score[name] for score in scores]
                print(f"{name}: mean {statistics.mean(values):.2f}, from {min(values):.2f} to {max(values):.2f}")


def verses(part: str) -> dict[str, list[str]]:
    """Return the columns of a part of en_es."""
    with (DATA / "en_es" / f"{part}.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {name: [row[name] for row in rows] for name in ("source", "target")}


def select_rows(columns: dict[str, list[str]], rows: Any) -> dict[str, list[str]]:
    return {name: [values[row] for row in rows] for name, values in columns.items()}


def sources(held_out: bool) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Training and test verses; or two parts of the training verses."""
    train = verses("train")
    if not held_out:
        return train, verses("test")
    count = len(train["source"])
    apart = {row for block in range(BLOCKS) for row in range(block * count // BLOCKS, block * count // BLOCKS + BLOCK)}
    return select_rows(train, sorted(set(range(count)) - apart)), select_rows(train, sorted(apart))


def accuracy(given: argparse.Namespace, seed: int) -> dict[str, float]:
    """Train for a given number of minutes; the number of epochs follows from the time of an epoch on part of the
    rows."""
    import dlkit

    train, test = sources(given.held_out)
    settings = {**HPARAMS, **hparams_of(given.hparams), "seed": seed}
    if "epochs" not in settings:
        settings["epochs"] = max(round(given.minutes * 60 / seconds_of_epoch(train, settings)), 1)
    timer = clock()
    task = dlkit.Translator(**settings)
    task.fit(train, strategy="one", callbacks=[timer], verbose=2)
    spent = sum(timer.seconds) / 60
    print(f"seed {seed}: {settings['epochs']} epochs in {spent:.1f} minutes, loss {task.history_['loss'][-1]:.3f}")
    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        saved = given.saved or Path(folder) / "m"
        task.save(saved)
        for beams in (1, 4):
            metrics = print_score(load_with_beams(saved, beams), test)
            scores |= {f"BLEU of beam {beams}": metrics["bleu"], f"chrF of beam {beams}": metrics["chrf"]}
    print(metrics["signatures"], flush=True)
    return scores


def print_score(task: Any, test: dict[str, list[str]]) -> dict[str, Any]:
    begun = time.perf_counter()
    metrics = task.evaluate(test)
    print(
        f"beam {task.stages_.decode.get_layer('generator').beam_width}: BLEU {metrics['bleu']:.2f}, "
        f"chrF {metrics['chrf']:.2f}, length {metrics['length_ratio']:.3f}, {metrics['rows']} verses in "
        f"{time.perf_counter() - begun:.0f} s",
        flush=True,
    )
    return metrics


def load_with_beams(folder: Path, beams: int, penalty: float | None = None) -> Any:
    """Load a saved translator, and set its beam width and, if it is given, its length penalty."""
    import dlkit

    task = dlkit.load(folder)
    generator = task.stages_.decode.get_layer("generator")
    generator.beam_width = beams
    generator.length_penalty = generator.length_penalty if penalty is None else penalty
    return task


def seconds_of_epoch(train: dict[str, list[str]], settings: dict[str, Any]) -> float:
    import dlkit

    part = select_rows(train, range(0, len(train["source"]), PROBE))
    timer = clock()
    dlkit.Translator(**settings, epochs=3).fit(part, strategy="one", callbacks=[timer], verbose=0)
    return min(timer.seconds[1:]) * len(train["source"]) / len(part["source"])


def small_fit(**hparams: Any) -> Any:
    """Return a translator of usual size that was hardly trained."""
    import dlkit

    task = dlkit.Translator(**{**HPARAMS, "epochs": 1, **hparams})
    task.fit(select_rows(verses("train"), range(0, 29_000, 100)), strategy="one", verbose=0)
    return task


def decoding() -> None:
    """Print the milliseconds to generate `TOKENS` tokens, with the cache and without."""
    from timing import median_ms

    task = small_fit()
    from dlkit.lazy import tf

    texts = verses("test")["source"]
    for rows in (1, 32):
        made = task.stages_.preprocess({"source": tf.constant(texts[:rows])})
        read = int(tf.reduce_max(tf.reduce_sum(tf.cast(made["padding_mask"], tf.int32), 1)))
        ids, mask = made["token_ids"][:, :read], made["padding_mask"][:, :read]
        cached, uncached = make_loops(task.stages_.network, rows)
        if not bool(tf.reduce_all(cached(ids, mask) == uncached(ids, mask))):
            print(f"batch {rows}: the tokens differ")
        with_cache = median_ms(lambda f=cached, i=ids, m=mask: f(i, m), times=7)
        without = median_ms(lambda f=uncached, i=ids, m=mask: f(i, m), times=3)
        print(
            f"batch {rows}, {TOKENS} tokens: {with_cache:.0f} ms with the cache, {without:.0f} ms without: "
            f"{without / with_cache:.1f} times as fast",
            flush=True,
        )


def make_loops(network: Any, rows: int) -> tuple[Any, Any]:
    """Make two functions that generate `TOKENS` tokens greedily: with the cache, and by the whole network each time."""
    from dlkit.lazy import tf
    from dlkit.tasks.translation.incremental_decoder import make_incremental_decoder
    from dlkit.text.subword_tokenizer import START_ID

    decoder = make_incremental_decoder(network, TOKENS)

    @tf.function
    def cached(ids, mask):
        encoded, cache = decoder.begin(ids, mask, 1)

        def body(step, last, out, cache):
            logits, cache = decoder.step(last, step, encoded, cache)
            last = tf.argmax(logits, 1, tf.int32)
            return step + 1, last, tf.concat([out, last[:, tf.newaxis]], 1), cache

        build_task = (tf.constant(0), tf.fill([rows], START_ID), tf.zeros([rows, 0], tf.int32), cache)
        shapes = (
            tf.TensorShape([]),
            tf.TensorShape([rows]),
            tf.TensorShape([rows, None]),
            decoder.cache_shapes(),
        )
        return tf.while_loop(lambda step, *_: step < TOKENS, body, build_task, shape_invariants=shapes)[2]

    @tf.function
    def uncached(ids, mask):
        def body(step, generated):
            inputs = {"token_ids": ids, "padding_mask": mask, "decoder_ids": generated[:, :TOKENS]}
            logits = network(inputs, training=False)["logits"][:, step]
            last = tf.argmax(logits, 1, tf.int32)
            is_next = tf.one_hot(step + 1, TOKENS + 1, True, False, dtype=tf.bool)
            return step + 1, tf.where(is_next, last[:, tf.newaxis], generated)

        build_task = tf.pad(tf.fill([rows, 1], START_ID), [[0, 0], [0, TOKENS]])
        return tf.while_loop(lambda step, _: step < TOKENS, body, (tf.constant(0), build_task))[1][:, 1:]

    return cached, uncached


def buckets(steps: int) -> None:
    """Target tokens a second in training, with buckets and with padding to the longest row of the data."""
    import dlkit
    from dlkit.lazy import tf
    from dlkit.padding import row_lengths
    from dlkit.training.batches import make_batches
    from dlkit.training.compile_network import compile_network
    from dlkit.training.order import Order
    from dlkit.training.prepare import build_task, encode_rows

    task = dlkit.Translator(**HPARAMS, max_tokens=128, epochs=1)
    rows = task.read(verses("train"))
    rows = rows.with_table(rows.table.take(range(0, 29_000, 3)))
    build_task(task, rows)
    store, _ = encode_rows(task, rows, None, quiet=True)
    tensors, targets = store.all()
    longest = max(int((ids > 0).sum(1).max()) for ids in (tensors["token_ids"], targets["logits"]))
    speeds = {}
    for name, lengths in (("buckets", row_lengths(store, task.padding)), ("padding", None)):
        order = Order(store.rows, task.batch_size, task.seed, lengths)
        if lengths is None:
            task.padding = tuple(dataclasses.replace(padding, multiple=longest) for padding in task.padding)
        trainer, _ = compile_network(task, order.steps)
        batches = list(make_batches(task, store, order)(0).take(steps + 5))
        source_slots = target_slots = tokens = 0
        for number, batch in enumerate(batches):
            if number == 5:  # the first ones trace
                begun = time.perf_counter()
            trainer.train_on_batch(*batch)
            if number >= 5:
                tokens += int(tf.reduce_sum(tf.cast(batch[1]["logits"] > 0, tf.int32)))
                source_slots += int(tf.size(batch[0]["token_ids"]))
                target_slots += int(tf.size(batch[0]["decoder_ids"]))
        speeds[name] = tokens / (time.perf_counter() - begun)
        print(
            f"{name}: {speeds[name]:.0f} target tokens a second; {1 - tokens / target_slots:.0%} of the target "
            f"slots are padding, {target_slots + source_slots:,} slots in {len(batches) - 5} steps",
            flush=True,
        )
    print(f"{speeds['buckets'] / speeds['padding']:.2f} times as fast with buckets, longest row {longest} tokens")


if __name__ == "__main__":
    main()
