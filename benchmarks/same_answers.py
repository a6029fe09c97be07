"""Two checkouts side by side: do models saved by one answer alike in the other, and does training give the same?

    python benchmarks/same_answers.py BEFORE AFTER [--tasks forecasting ...]

Both are folders of a checkout; the environment that runs this serves for both. Every task is trained on its sample with
several networks, one epoch each, by the code of BEFORE and by that of AFTER: weights, history, the fingerprint of
the encoded rows and metrics must be the same to the byte. Then the models that BEFORE saved are loaded by AFTER, and
must give the same metrics. Ends with exit code 1 and the differences where they are not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

Runs = dict[str, tuple[str, dict[str, Any]]]


def runs() -> Runs:
    """The name of each run: its task and hparams."""
    made: Runs = {}

    def add(task: str, *variants: dict[str, Any], **usual: Any) -> None:
        for number, variant in enumerate(variants):
            made[f"{task}-{number}"] = (task, {"epochs": 1, **usual, **variant})

    add("image_classification", *({"network": name} for name in ("resnet", "mlp", "alexnet")),
        {"network": "lenet", "image_size": 12, "class_weights": "balanced"},
        {"network": "mlp", "flip_average": True, "rand_augment": 0.5, "mixup": 0.2, "shift": 1},
        learning_rate=0.005)  # fmt: skip
    add("sentiment", *({"network": name, "class_weights": "balanced"} for name in ("mlp", "cnn", "gru", "transformer")),
        {"network": "lstm", "tokens": "characters"}, max_tokens=24)  # fmt: skip
    add("object_detection", *({"network": name} for name in ("centernet", "retinanet", "yolo_v8")),
        width=8, image_size=64)  # fmt: skip
    add("image_segmentation", *({"network": name} for name in ("unet", "deeplab_v3", "segformer")),
        {"network": "unet", "tiles": True, "class_weights": "balanced"}, width=8, depth=2, image_size=64)  # fmt: skip
    add("translation", {"network": "transformer"}, {"network": "gru", "positions": "relative"},
        {"positions": "relative", "beam_width": 1}, width=16, blocks=1, vocabulary_size=400, max_tokens=24)  # fmt: skip
    add("question_answering", {"network": "bidaf"}, {"network": "transformer"},
        embedding=16, units=8, window=160, max_question=24)  # fmt: skip
    networks = ("nlinear", "dlinear", "mlp", "lstm", "gru", "tcn", "transformer")
    add("forecasting", *({"network": name} for name in networks), {"validation_split": 0.0, "origins": 2},
        units=16, members=2, batch_size=16)  # fmt: skip
    networks = ("two_tower", "mf", "sasrec", "gru4rec", "neumf", "dcn", "ease")
    add("recommendation", *({"network": name} for name in networks), {"validation_split": 0.2, "negatives": 20},
        *({"network": name, "objective": "ratings"} for name in ("mf", "neumf")), width=16, hidden=32)  # fmt: skip
    return made


def fit(folder: Path, names: list[str]) -> None:
    """Trains and saves each run below the folder, and prints a line of facts for each."""
    from dlkit.tasks import find_task

    for name in names:
        task_name, hparams = runs()[name]
        task = find_task(task_name)(**hparams)
        data = _data(task)
        begun = time.perf_counter()
        task.fit(data["train"], data.get("validation"), strategy="one", verbose=0)
        task.save(folder / name)
        weights = hashlib.sha256()
        for stage in ("preprocess", "network", "postprocess", "decode"):
            for variable in getattr(getattr(task.stages_, stage), "variables", []):
                weights.update(variable.numpy().tobytes())
        facts = {"weights": weights.hexdigest(), "history": task.history_, "fingerprint": task.fingerprint_}
        facts |= {"samples": task.examples_, "metrics": task.evaluate(data["test"])}
        _tell(name, facts, begun)


def evaluate(folder: Path, names: list[str]) -> None:
    """Scores each model that `fit` saved, and prints a line for each."""
    import dlkit

    for name in names:
        begun = time.perf_counter()
        task = dlkit.load(folder / name)
        _tell(name, {"metrics": task.evaluate(_data(task)["test"])}, begun)


def _data(task: Any) -> dict[str, Any]:
    data = task.samples()
    if getattr(task, "validation_split", 0) and task.task_name() in ("recommendation", "forecasting"):
        data.pop("validation", None)  # held out by the task itself
    if getattr(task, "objective", "") != "ratings":
        return data
    rows = range(60)  # users; the sample has no ratings, so these are made up
    ratings = {"user_id": [], "item_id": [], "rating": []}
    for user in rows:
        for item in range(20):
            if (user * 7 + item * 3) % 5:
                ratings["user_id"].append(f"u{user}")
                ratings["item_id"].append(f"i{item}")
                ratings["rating"].append(float(1 + (user + 2 * item) % 5))
    return {"train": ratings, "test": {name: values[::9] for name, values in ratings.items()}}


def _tell(name: str, facts: dict[str, Any], begun: float) -> None:
    text = json.dumps({"run": name, **facts}, ensure_ascii=False, default=str)
    print(text, flush=True)
    print(f"  {name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)


def _in_checkout(checkout: Path, what: str, folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "PYTHONHASHSEED": "0"}
    command = [sys.executable, __file__, f"--{what}", str(folder), "--runs", *names]
    done = subprocess.run(command, env=environment, cwd=checkout, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{checkout}: --{what} ended with {done.returncode}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"run"')]
    return {line.pop("run"): line for line in lines}


def compare(before: Path, after: Path, names: list[str], saved: Path | None) -> int:
    """Prints what differs, and how many runs agree. Returns how many do not."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = (saved or Path(temporary)).resolve()  # each checkout runs in its own folder
        kept = folder / "facts.json"
        if not kept.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(_in_checkout(before, "fit", folder, list(runs()))))
        first = json.loads(kept.read_text())
        second = _in_checkout(after, "fit", Path(temporary) / "after", names)
        loaded = _in_checkout(after, "evaluate", folder, names)
    bad = 0
    for name in names:
        differ = [key for key in first[name] if json.dumps(first[name][key]) != json.dumps(second[name][key])]
        if json.dumps(first[name]["metrics"]) != json.dumps(loaded[name]["metrics"]):
            differ.append("metrics of the saved model")
        bad += bool(differ)
        if differ:
            print(f"{name} {runs()[name][1]}: differ: {', '.join(differ)}")
    print(f"{len(names) - bad} of {len(names)} runs: the same weights, history, fingerprint, requests and metrics; "
          "models saved before give the same metrics")  # fmt: skip
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="a checkout")
    parser.add_argument("after", type=Path, nargs="?", help="another")
    parser.add_argument("--tasks", nargs="*", default=[], help="the tasks to compare; default: all")
    parser.add_argument("--saved", type=Path, help="keeps what BEFORE trained in this folder, and takes it from there")
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--evaluate", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--runs", nargs="*", default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    for work, folder in ((fit, given.fit), (evaluate, given.evaluate)):
        if folder:
            work(folder, given.runs)
            return 0
    names = [name for name, (task, _) in runs().items() if not given.tasks or task in given.tasks]
    return min(compare(given.before, given.after, names, given.saved), 1)


if __name__ == "__main__":
    sys.exit(main())
