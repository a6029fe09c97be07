"""Answers to whole files: speed against the serving graph alone, peak memory, and runs that are killed.

python benchmarks/bulk.py speed [sentiment|recommendation|images ...] [--rows N] [--pairs N]
python benchmarks/bulk.py memory [csv|jsonl|parquet ...] [--rows N] [--times N]
python benchmarks/bulk.py kill [csv|jsonl|parquet ...] [--rows N] [--kills N]

`speed` trains small models on made-up data, and answers a file (texts in a csv, users in a csv, a folder of JPEGs) by
`predict_to` into parquet, in turns with the serving graph alone: the same raw rows, which are in memory as bytes, in
the same batches, answers left as tensors. `memory` answers texts of a csv in a process of its own, and ten times as
many. `kill` ends `dlkit predict --output` by SIGKILL at random moments, again and again until it is done, and compares
the files with those of a run that was not killed, for each form.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import print_machine

WORDS = "lovely great warm dull awful cold film story actor scene plot the a of and never quite with without é"


def make_texts(file: Path, count: int, bad: int = 0) -> None:
    """Writes `count` texts of 5 to 80 words, and every `bad`th line with too few cells."""
    chance = random.Random(0)
    with file.open("w") as to:
        to.write("id,text\n")
        for number in range(count):
            to.write(f"{number},{' '.join(chance.choices(WORDS.split(), k=chance.randint(5, 80)))}\n")
            if bad and number % bad == bad - 1:
                to.write("broken\n")


def sentiment() -> Any:
    """A classifier of texts, fitted for an epoch."""
    import dlkit

    chance = random.Random(1)
    texts = [" ".join(chance.choices(WORDS.split(), k=30)) for _ in range(400)]
    task = dlkit.SentimentClassifier(epochs=1)
    task.fit([{"text": text, "label": "pos" if "lovely" in text else "neg"} for text in texts], verbose=0)
    return task


def texts(folder: Path, rows: int) -> tuple[Any, Path]:
    make_texts(folder / "rows.csv", rows)
    return sentiment(), folder / "rows.csv"


def users(folder: Path, rows: int) -> tuple[Any, Path]:
    """Requests of users of a recommender of 2,000 items."""
    import dlkit

    chance = random.Random(0)
    task = dlkit.Recommender(epochs=1)
    read = [
        {"user_id": f"u{user}", "item_id": f"i{int(2000 * chance.random() ** 2)}"}
        for user in range(2000)
        for _ in range(20)
    ]
    task.fit(read, verbose=0)
    with (folder / "rows.csv").open("w") as file:
        file.write("user_id\n")
        file.writelines(f"u{chance.randrange(2000)}\n" for _ in range(rows))
    return task, folder / "rows.csv"


def images(folder: Path, rows: int) -> tuple[Any, Path]:
    """JPEGs of 96 by 96 pixels, and the default network for images of 28."""
    from memory import make_images

    import dlkit

    make_images(folder / "photos", rows)
    task = dlkit.ImageClassifier(epochs=1)
    task.fit({name: values[:1000] for name, values in task.samples()["train"].items()}, verbose=0)
    flat = folder / "flat"
    flat.mkdir()
    for file in (folder / "photos").rglob("*.jpg"):
        file.rename(flat / f"{file.parent.name}{file.name}")
    return task, flat


KINDS: dict[str, tuple[Callable[[Path, int], tuple[Any, Path]], int]] = {
    "sentiment": (texts, 20_000),
    "recommendation": (users, 20_000),
    "images": (images, 5_000),
}


FORMS = ["csv", "jsonl", "parquet"]


def speed(kind: str, rows: int, pairs: int) -> None:
    """Prints rows a second of both, and the median of the ratios."""
    from dlkit.columns import to_batch
    from dlkit.data.read_options import ReadOptions
    from dlkit.data.record_chunks import record_chunks
    from dlkit.graph_predictor import BATCH_SIZE

    with tempfile.TemporaryDirectory(prefix="dlkit-bulk-") as folder:
        task, data = KINDS[kind][0](Path(folder), rows)
        graph = task.served()["serving_default"].graph
        raw: list[dict[str, Any]] = []
        for part in record_chunks(str(data), task.inputs, ReadOptions()):
            raw += [part.table.raw(row, task.inputs) for row in range(len(part.table))]

        def alone() -> float:
            begun = time.perf_counter()
            for start in range(0, len(raw), BATCH_SIZE):
                graph(**to_batch(raw[start : start + BATCH_SIZE], task.inputs))
            return time.perf_counter() - begun

        def written() -> float:
            begun = time.perf_counter()
            task.predict_to(str(data), Path(folder) / "answers.parquet", overwrite=True, verbose=False)
            return time.perf_counter() - begun

        alone()
        ratios, rates, shares = [], [], []
        for pair in range(pairs):
            order = (alone, written) if pair % 2 else (written, alone)
            took, computed = {}, {}
            for work in order:
                begun = time.process_time()
                took[work] = work()
                computed[work] = time.process_time() - begun
            shares.append(computed[alone] / computed[written])
            ratios.append(took[alone] / took[written])
            rates.append((len(raw) / took[alone], len(raw) / took[written]))
        both = " and ".join(f"{statistics.median(rate[way] for rate in rates):,.0f}" for way in (0, 1))
        listed = ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
        print(f"{kind}, {len(raw):,} rows: {both} rows/s alone and into a file; {statistics.median(ratios):.3f} times "
              f"the graph's speed ({listed}); of the processor time {statistics.median(shares):.3f} is the graph's",
              flush=True)  # fmt: skip


def answer(model: str, data: str, output: str) -> None:
    """Answers, and prints this process's largest resident set in MB."""
    import dlkit

    dlkit.load(model).predict_to(data, output, verbose=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def memory(rows: int, times: int, forms: list[str]) -> None:
    """Prints the peaks of both, in processes of their own."""
    with tempfile.TemporaryDirectory(prefix="dlkit-bulk-") as folder:
        in_child("--fit", f"{folder}/model")
        for suffix in forms:
            peaks = []
            for count in (rows, times * rows):
                make_texts(Path(folder) / "rows.csv", count)
                output = f"{folder}/{count}.{suffix}"
                peaks.append(float(in_child("--answer", f"{folder}/model", f"{folder}/rows.csv", output)))
            print(f"{suffix}: {rows:,} rows {peaks[0]:.0f} MB, {times * rows:,} rows {peaks[1]:.0f} MB: "
                  f"{peaks[1] / peaks[0]:.3f} times the peak", flush=True)  # fmt: skip


def kill(rows: int, kills: int, forms: list[str]) -> None:
    """Prints how often each run was killed, and whether its files are the same."""
    with tempfile.TemporaryDirectory(prefix="dlkit-bulk-") as folder:
        in_child("--fit", f"{folder}/model")
        make_texts(Path(folder) / "rows.csv", rows, bad=500)
        chance = random.Random(0)
        for suffix in forms:
            command = [sys.executable, "-c", "from dlkit.cli.main import main; raise SystemExit(main())"]
            command += ["predict", f"{folder}/model", f"{folder}/rows.csv", "--keep-columns", "id", "--output"]
            quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run([*command, f"{folder}/whole.{suffix}"], check=True, **quiet)
            killed, moments = 0, list[str]()
            while True:
                run = subprocess.Popen([*command, f"{folder}/killed.{suffix}"], **quiet)
                progress = Path(f"{folder}/killed.{suffix}.progress")
                before = progress.stat().st_mtime_ns if progress.exists() else 0
                try:
                    if killed == kills:
                        run.wait()
                    while run.poll() is None and not (progress.exists() and progress.stat().st_mtime_ns != before):
                        time.sleep(0.01)  # until it has begun to write
                    run.wait(chance.uniform(0, 1))
                except subprocess.TimeoutExpired:
                    run.kill()
                    run.wait()
                    if Path(f"{folder}/killed.{suffix}").exists() and not progress.exists():
                        break  # all was done but for the end of the process
                    killed += 1
                    moments.append(f"{sum(path.stat().st_size for path in Path(folder).glob('killed.*.partial')):,}")
                    continue
                if run.returncode:
                    raise SystemExit(f"the run ended with {run.returncode}")
                break
            same = [
                Path(f"{folder}/whole{end}").read_bytes() == Path(f"{folder}/killed{end}").read_bytes()
                for end in (f".{suffix}", ".bad.jsonl")
            ]
            left = [path.name for path in Path(folder).glob("killed*.p*") if path.suffix != ".parquet"]
            print(f"{suffix}, {rows:,} rows: killed {killed} times (at {', '.join(moments)} bytes); answers the same: "
                  f"{same[0]}, bad rows the same: {same[1]}; left over: {left or 'nothing'}", flush=True)  # fmt: skip
            for path in Path(folder).glob("*.bad.jsonl"):
                path.unlink()


def in_child(*arguments: str) -> str:
    # Of this process's memory a child inherits the peak; it must not import TensorFlow itself.
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.argv[1:2] == ["--fit"]:
        return sentiment().save(sys.argv[2])
    if sys.argv[1:2] == ["--answer"]:
        return answer(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory", "kill"))
    parser.add_argument(
        "kinds",
        nargs="*",
        metavar="KIND",
        help=f"of speed: {', '.join(KINDS)}; else the form: {', '.join(FORMS)}; default: all",
    )
    parser.add_argument("--rows", type=int, help="default: 20,000 (5,000 images), of memory 10,000, of kill 30,000")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--times", type=int, default=10, help="as many rows the second time (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=4)
    given = parser.parse_intermixed_args()
    print_machine()
    if given.what == "memory":
        memory(given.rows or 10_000, given.times, given.kinds or FORMS)
    elif given.what == "kill":
        kill(given.rows or 30_000, given.kills, given.kinds or FORMS)
    for kind in (given.kinds or KINDS) if given.what == "speed" else ():
        speed(kind, given.rows or KINDS[kind][1], given.pairs)
    return None


if __name__ == "__main__":
    main()
