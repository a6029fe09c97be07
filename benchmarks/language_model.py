"""Measure language models: bits per byte, generation and training speed, and whether answers change with their batch.

python benchmarks/language_model.py bits [--minutes M] [--seeds 0 1] [--peer] [--held-out] [HPARAM=VALUE ...]
python benchmarks/language_model.py cache [HPARAM=VALUE ...]
python benchmarks/language_model.py generate --torch PYTHON [--requests 2] [HPARAM=VALUE ...]
python benchmarks/language_model.py train --torch PYTHON [--strategy cores] [HPARAM=VALUE ...]
python benchmarks/language_model.py same [HPARAM=VALUE ...]

`bits` trains for so many minutes, reading and encoding included, on five novels (austen) and prints the bits per byte
of the served scores of a sixth, which no option was chosen on, beside those of n-gram models and xz, and with `--peer`
those of a plain Keras GPT of the same size that is trained for as long. With `--held-out`, it trains on four novels and
scores the fifth: options are chosen there. `cache` times the generation of 64 tokens after a prompt of 192, with cached
keys and values against reading all tokens again at each step. `generate` compares the served signature with the
`generate` of transformers' GPT-2 of the same size, both greedy; `train` compares training with a PyTorch loop over the
same network and batch. Both run `language_model_torch.py` by an environment that has torch and transformers, in turns:
the ratios are medians over pairs. `same` counts the answers to 500 prompts, with all options mixed, that change with
their batch, its padding, or the export.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from machine import DATA, print_machine
from timing import clock, hparams_of, median_ms

AUSTEN = DATA / "austen"
HELD_OUT = "northanger_abbey.txt"
PROMPT, NEW = 192, 64  # tokens of a prompt, and generated after it
ROWS = (1, 32)
ROUNDS = 5  # pairs of measurements
PROMPTS = 500
TRAIN_BYTES = 400_000  # an epoch of some hundred steps, whose beginning and end count little


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("bits", "cache", "generate", "train", "same"))
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--peer", action="store_true", help="train a plain Keras GPT, too")
    parser.add_argument("--saved", type=Path, help="folder to save the model of `bits` in")
    parser.add_argument("--torch", type=Path, help="the Python of an environment with torch and transformers")
    parser.add_argument("--requests", type=int, default=1, help="that share the 32 rows of `generate`, at once")
    parser.add_argument("--strategy", default="one", help="that `train` trains with: one, or cores")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_intermixed_args()
    given.hparams = hparams_of(given.hparams)
    print_machine()
    work = {"bits": bits, "cache": cache, "generate": generate, "train": train, "same": same}
    work[given.what](given)


def novels(held_out: bool) -> tuple[list[str], str]:
    """Return the files to train on, and the one to score."""
    files = sorted(map(str, (AUSTEN / "train").glob("*.txt")))
    if not held_out:
        return files, str(AUSTEN / "test" / "persuasion.txt")
    return [file for file in files if not file.endswith(HELD_OUT)], str(AUSTEN / "train" / HELD_OUT)


def bits(given: argparse.Namespace) -> None:
    """Print the bits per byte of the trained models and the baselines."""
    import dlkit

    train_files, test_file = novels(given.held_out)
    for seed in given.seeds:
        task = dlkit.LanguageModel(**{"validation_split": 0.0, **given.hparams, "seed": seed})
        begun = time.perf_counter()
        task.fit(train_files, minutes=given.minutes, strategy="one", verbose=2)
        seconds = time.perf_counter() - begun
        begun = time.perf_counter()
        metrics = task.evaluate(test_file)
        print(
            f"seed {seed}: {metrics['bits_per_byte']:.4f} bits per byte, perplexity {metrics['perplexity']:.1f}, "
            f"{seconds / 60:.1f} minutes, {task.plan_['steps']} steps, "
            f"{task.plan_['steps'] / task.plan_['steps_per_epoch']:.2f} passes, context {metrics['context_length']}, "
            f"stride {metrics['stride']}, {task.stages_.network.count_params():,} parameters and counts, scored in "
            f"{time.perf_counter() - begun:.0f} s",
            flush=True,
        )
        prompts = prompts_of(task, 32, length=32)
        for name, options in (("greedy", {}), ("sampled", {"temperature": 0.8, "seed": list(range(32))})):
            found = task.measure_samples(prompts, max_tokens=NEW, **options)
            print(f"32 texts, {name}: {', '.join(f'{key} {value:.3f}' for key, value in found.items())}", flush=True)
        if given.saved:
            task.save(given.saved, overwrite=True)
    tokens = [tokens_of(task, file) for file in (*train_files, test_file)]
    print_baselines([Path(file).read_bytes() for file in (*train_files, test_file)], tokens, task)
    if given.peer:
        score = fit_plain_keras(tokens[:-1], tokens[-1], task.tokenizer.vocabulary_size, given.minutes)
        print(f"plain Keras GPT: {score / Path(test_file).stat().st_size:.4f} bits per byte", flush=True)


def tokens_of(task: Any, file: str) -> np.ndarray:
    """Return the tokens of a file, without end token."""
    return task.tokenizer.tokenize([Path(file).read_bytes()]).flat_values.numpy()


def print_baselines(texts: list[bytes], tokens: list[np.ndarray], task: Any) -> None:
    """Print the bits per byte of the last text by models of the others."""
    from dlkit.tasks.language_model.compression import lzma_bits
    from dlkit.text.kneser_ney import KneserNey

    size, end = len(texts[-1]), 256
    of_bytes = [np.frombuffer(text, np.uint8).astype(int) for text in texts]
    for name, streams, vocabulary_size, end_id, order in (
        ("6-grams of bytes", of_bytes, 257, end, 6),
        ("4-grams of the same tokens", tokens, task.tokenizer.vocabulary_size, task.end_id, 4),
    ):
        begun = time.perf_counter()
        joined = np.concatenate([np.append(ids, end_id) for ids in streams[:-1]])
        found = KneserNey(joined, vocabulary_size, order, end_id).bits(streams[-1]).sum() / size
        print(f"Kneser-Ney, {name}: {found:.4f} bits per byte, {time.perf_counter() - begun:.0f} s", flush=True)
    print(f"xz: {lzma_bits(b''.join(texts[:-1]), texts[-1]) / size:.4f} bits per byte", flush=True)


def fit_plain_keras(train_ids: list[np.ndarray], test: np.ndarray, size: int, minutes: float) -> float:
    """Train a GPT as one writes it in Keras, and return the bits of the test tokens."""
    from dlkit.lazy import keras, load_tensorflow

    load_tensorflow()
    keras.utils.set_random_seed(0)
    length, width, heads, blocks, batch = 256, 192, 6, 4, 16
    ids = keras.Input((length,), dtype="int32")
    places = keras.ops.arange(length)
    x = keras.layers.Embedding(size, width)(ids) + keras.layers.Embedding(length, width)(places)
    for _ in range(blocks):
        y = keras.layers.LayerNormalization()(x)
        x += keras.layers.MultiHeadAttention(heads, width // heads)(y, y, use_causal_mask=True)
        y = keras.layers.LayerNormalization()(x)
        x += keras.layers.Dense(width)(keras.layers.Dense(4 * width, "gelu")(y))
    model = keras.Model(ids, keras.layers.Dense(size)(keras.layers.LayerNormalization()(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    stream = np.concatenate(train_ids)
    windows = stream[: len(stream) // (length + 1) * (length + 1)].reshape(-1, length + 1)
    begun = time.perf_counter()

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, number, logs=None):
            self.model.stop_training = time.perf_counter() - begun > 60 * minutes
            self.steps = self.steps + 1 if hasattr(self, "steps") else 1

    stop = Stop()
    model.fit(windows[:, :-1], windows[:, 1:], batch_size=batch, epochs=1000, verbose=0, callbacks=[stop])
    print(
        f"plain Keras GPT: {model.count_params():,} parameters, {stop.steps * batch / len(windows):.2f} passes in "
        f"{(time.perf_counter() - begun) / 60:.1f} minutes",
        flush=True,
    )
    return score_plain_keras(model, test, length)


def score_plain_keras(model: Any, test: np.ndarray, length: int) -> float:
    """Return the bits of tokens in windows that overlap by a half, each token with the longest context."""
    stride, total, done = length // 2, float(np.log2(model.output_shape[-1])), 1  # the first token has no context
    for start in range(0, len(test) - 1, stride):
        window = test[start : start + length + 1]
        logits = model(np.pad(window[:-1], (0, length + 1 - len(window)))[np.newaxis], training=False).numpy()[0]
        logits = logits[: len(window) - 1].astype(np.float64)
        highest = logits.max(1, keepdims=True)
        log_probs = logits - highest - np.log(np.exp(logits - highest).sum(1, keepdims=True))
        new = slice(done - start - 1, None)
        total -= log_probs[np.arange(len(window) - 1), window[1:]][new].sum() / np.log(2)
        done = start + len(window)
        if done >= len(test):
            break
    return total


def small_task(hparams: dict[str, Any], steps: int = 30) -> Any:
    """Return a language model of usual size that was hardly trained, on one novel."""
    import dlkit

    task = dlkit.LanguageModel(**{"validation_split": 0.0, "max_tokens": NEW, **hparams})
    task.fit(str(AUSTEN / "train" / HELD_OUT), steps=steps, strategy="one", verbose=0)
    return task


def prompts_of(task: Any, count: int, length: int = PROMPT) -> list[str]:
    """Return passages of the test novel of exactly so many tokens, the end token before them included."""
    from dlkit.text.subword_tokenizer import make_spellings

    ids = tokens_of(task, novels(held_out=False)[1])
    spellings = make_spellings(task.tokenizer.subwords)
    prompts, start = [], 0
    while len(prompts) < count:
        text = b"".join(spellings[token] for token in ids[start : start + length - 1])
        start += length
        if len(task.tokenizer.tokenize([text]).flat_values) == length - 1:
            prompts.append(text.decode(errors="replace"))
    return prompts


def make_requests(prompts: list[str]) -> dict[str, Any]:
    """Return greedy requests for `NEW` tokens each, as tensors."""
    from dlkit.lazy import tf

    rows = len(prompts)
    return {
        "prompt": tf.constant(prompts),
        **{name: tf.fill([rows], value) for name, value in {"max_tokens": NEW, "top_k": 0, "seed": 0}.items()},
        **{name: tf.ones([rows]) for name in ("top_p", "repetition_penalty")},
        "temperature": tf.zeros([rows]),
        "stop": tf.fill([rows, 0], ""),
    }


def served(task: Any) -> Any:
    """Return the graph of the signature `generate`; requests give names to values."""
    signature = next(signature for signature in task.signatures() if signature.name == "generate")
    from dlkit.lazy import tf

    return tf.function(signature.function, autograph=False)


def check_lengths(answers: dict[str, Any]) -> None:
    """Exit if an answer ended early: times would not be of `NEW` tokens."""
    if any(reason != b"length" for reason in answers["finish_reason"].numpy()):
        sys.exit("an answer ended before its last token; use other prompts")


def cache(given: argparse.Namespace) -> None:
    """Print how much faster generation is with the cache."""
    from dlkit.lazy import tf

    task = small_task(given.hparams)
    prompts, generator = prompts_of(task, max(ROWS)), task.generator
    cached = generator.decoder

    class Uncached(type(cached)):
        """Reads all tokens again at each step."""

        def begin(self, token_ids, segment_ids, positions):
            features, *_ = super().begin(token_ids, segment_ids, positions)
            return features, {}, [token_ids]

        def cache_shapes(self):
            return [tf.TensorShape([None, None])]

        def step(self, ids, position, encoded, cache):
            so_far = tf.concat([cache[0], ids[:, tf.newaxis]], 1)
            known = tf.cast(so_far > 0, tf.int32)
            features = self.features(so_far, known, tf.cumsum(known, 1, exclusive=True))[:, -1]
            logits = self.logits(features)
            if hasattr(self, "_mixture"):
                logits = self._mixture.mix(features, logits, so_far, known)
            return logits, [so_far]

    uncached, graphs = copy.copy(cached), {}
    uncached.__class__ = Uncached
    for name, decoder in (("with", cached), ("without", uncached)):
        vars(generator)["decoder"] = decoder
        graphs[name] = served(task)
        for rows in ROWS:  # traces
            check_lengths(graphs[name](make_requests(prompts[:rows])))
    for rows in ROWS:
        requests = make_requests(prompts[:rows])
        texts = [graphs[name](requests)["text"].numpy().tolist() for name in graphs]
        pairs = [tuple(milliseconds(graphs[name], requests) for name in graphs) for _ in range(given.rounds)]
        fast, slow = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(slow / fast for fast, slow in pairs)
        print(
            f"batch {rows}: {fast:.0f} ms with the cache, {slow:.0f} ms without: {ratio:.1f} times as fast; "
            f"{sum(map(str.__eq__, *[[text.decode() for text in each] for each in texts]))} of {rows} texts are equal",
            flush=True,
        )


def milliseconds(graph: Any, requests: dict[str, Any]) -> float:
    """Return the time of one call."""
    begun = time.perf_counter()
    graph(requests)["text"].numpy()
    return 1e3 * (time.perf_counter() - begun)


def run_torch(given: argparse.Namespace, *arguments: Any) -> dict[str, Any]:
    """Run a measurement of `language_model_torch.py` and return what it prints."""
    if not given.torch:
        sys.exit("--torch PYTHON is needed: the Python of an environment with torch and transformers")
    command = [str(given.torch), str(Path(__file__).with_name("language_model_torch.py")), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def network_of(task: Any) -> dict[str, int]:
    """Return the sizes of a network, for the peers."""
    return {
        "vocabulary": task.tokenizer.vocabulary_size,
        "width": task.width,
        "blocks": task.blocks,
        "heads": task.heads,
        "context": task.context_length,
    }


def generate(given: argparse.Namespace) -> None:
    """Print generated tokens a second, served against transformers' GPT-2."""
    task = small_task(given.hparams)
    graph, prompts = served(task), prompts_of(task, max(ROWS))
    at_once = max(given.requests, 1)
    requests = {
        rows: [make_requests(prompts[:rows][part::at_once]) for part in range(min(at_once, rows))] for rows in ROWS
    }
    for rows in ROWS:
        for request in requests[rows]:
            check_lengths(graph(request))
    threads = ThreadPoolExecutor(at_once)

    def answer(rows: int) -> None:
        for answers in threads.map(graph, requests[rows]):
            answers["text"].numpy()

    pairs: dict[int, list[tuple[float, float]]] = {rows: [] for rows in ROWS}
    for _ in range(given.rounds):
        sizes = [f"--{name}={value}" for name, value in network_of(task).items()]
        peer = run_torch(given, "generate", *sizes, "--prompt", PROMPT, "--new", NEW, "--rows", *ROWS)
        for rows in ROWS:
            own = 1e3 * rows * NEW / median_ms(lambda r=rows: answer(r), times=3)
            pairs[rows].append((own, peer["tokens_per_second"][str(rows)]))
    print_pairs({f"batch {rows}, {NEW} tokens after {PROMPT}": each for rows, each in pairs.items()}, "transformers")
    print(f"dlkit: {count_trained(task):,} trained parameters; transformers {peer['version']}: {peer['parameters']:,}")


def train(given: argparse.Namespace) -> None:
    """Print training tokens a second, against a loop in PyTorch over the same network and batch."""
    import dlkit

    hparams = {"ngram": 0, **given.hparams, "validation_split": 0.0, "epochs": 1 + given.rounds}
    task = dlkit.LanguageModel(**hparams)
    text = Path(novels(held_out=False)[0][0]).read_bytes()[:TRAIN_BYTES].decode(errors="ignore")
    peers: list[dict[str, Any]] = []

    from dlkit.lazy import keras, load_tensorflow

    load_tensorflow()

    class Between(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch:
                sizes = [f"--{name}={value}" for name, value in network_of(task).items()]
                peers.append(run_torch(given, "train", *sizes, "--rows", task.batch_size))

    timer = clock()
    task.fit({"text": [text]}, strategy=given.strategy, callbacks=[timer, Between()], verbose=0)
    tokens = task.plan_["steps_per_epoch"] * task.batch_size * task.context_length
    speeds = [tokens / seconds for seconds in timer.seconds[1:]]
    pairs = [(own, peer["tokens_per_second"]) for own, peer in zip(speeds, peers, strict=True)]
    print_pairs({f"batch {task.batch_size} x {task.context_length}": pairs}, "PyTorch")
    print(f"dlkit: {count_trained(task):,} trained parameters; torch {peers[0]['version']}: {peers[0]['parameters']:,}")


def count_trained(task: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in task.stages_.network.trainable_variables)


def print_pairs(pairs: dict[str, list[tuple[float, float]]], peer: str) -> None:
    """Print medians of tokens a second, and of the ratios of pairs."""
    for name, each in pairs.items():
        own, other = (statistics.median(values) for values in zip(*each, strict=True))
        ratios = [first / second for first, second in each]
        print(
            f"{name}: {own:.0f} tokens a second, {peer} {other:.0f}: {statistics.median(ratios):.2f} times as fast "
            f"({min(ratios):.2f} to {max(ratios):.2f}, {len(each)} pairs)",
            flush=True,
        )


def mixed_requests(task: Any, count: int) -> list[dict[str, Any]]:
    """Return requests with prompts of any length and all options mixed."""
    rng = np.random.default_rng(0)
    words = Path(novels(held_out=False)[1]).read_text(encoding="utf-8").split(" ")
    requests = []
    for number in range(count):
        start, length = rng.integers(len(words) - 200), int(rng.integers(0, 120)) if number % 10 else 0
        requests.append(
            {
                "prompt": " ".join(words[start : start + length]) + ("" if number % 7 else " é 漢字 🙂"),
                "max_tokens": int(rng.integers(0, 33)),
                "temperature": float(rng.choice([0.0, 0.0, 0.7, 1.0, 1.3])),
                "top_k": int(rng.choice([0, 0, 1, 5, 50])),
                "top_p": float(rng.choice([1.0, 1.0, 0.9, 0.5])),
                "repetition_penalty": float(rng.choice([1.0, 1.0, 1.2, 0.8])),
                "seed": number,
                "stop": [[], ["."], ["\n", ", and"], ["e"]][int(rng.integers(4))],
            }
        )
    return requests


def same(given: argparse.Namespace) -> None:
    """Count answers that change with their batch, its padding, or the export."""
    import tensorflow as tf

    task = small_task(given.hparams, steps=100)
    requests = mixed_requests(task, PROMPTS)

    def ask(rows: list[int]) -> list[tuple[Any, ...]]:
        options = {name: [requests[row][name] for row in rows] for name in requests[0]}
        answers = task.generate(options.pop("prompt"), **options)
        return [(answer["text"], answer["finish_reason"]) for answer in answers]

    alone = [ask([row])[0] for row in range(PROMPTS)]
    order = np.random.default_rng(1).permutation(PROMPTS)
    for size in (2, 7, 32, 128):
        found: dict[int, Any] = {}
        for start in range(0, PROMPTS, size):
            rows = order[start : start + size].tolist()
            found |= dict(zip(rows, ask(rows), strict=True))
        print(f"batches of {size}, shuffled: {count_changes(alone, found)} of {PROMPTS} answers change", flush=True)
    longest = max(range(PROMPTS), key=lambda row: len(requests[row]["prompt"]))
    found = {row: ask([row, longest])[0] for row in range(PROMPTS)}
    print(f"beside the longest prompt: {count_changes(alone, found)} of {PROMPTS} answers change", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        exported = task.export(folder)
        loaded = tf.saved_model.load(str(exported)).signatures["generate"]
        found = {}
        for start in range(0, PROMPTS, 32):
            rows = order[start : start + 32].tolist()
            answers = loaded(**to_tensors([requests[row] for row in rows]))
            texts, reasons = (answers[name].numpy().tolist() for name in ("text", "finish_reason"))
            found |= {
                row: (text.decode(), reason.decode()) for row, text, reason in zip(rows, texts, reasons, strict=True)
            }
    print(f"the export, batches of 32: {count_changes(alone, found)} of {PROMPTS} answers change", flush=True)


def to_tensors(requests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return requests as tensors; lists of stop strings are padded with empty ones."""
    import tensorflow as tf

    kinds = {"prompt": tf.string, "max_tokens": tf.int32, "top_k": tf.int32, "seed": tf.int32}
    tensors = {
        name: tf.constant([request[name] for request in requests], kinds.get(name, tf.float32))
        for name in requests[0]
        if name != "stop"
    }
    return {**tensors, "stop": tf.ragged.constant([request["stop"] for request in requests], tf.string).to_tensor("")}


def count_changes(alone: list[Any], found: dict[int, Any]) -> int:
    return sum(answer != alone[row] for row, answer in found.items())


if __name__ == "__main__":
    main()
