"""Image generation: quality on Fashion-MNIST and emoji, equal bytes for equal seeds, and training speed.

python benchmarks/image_generation.py fashion_mnist --minutes 8
python benchmarks/image_generation.py fashion_mnist --minutes 8 --set network=vae
python benchmarks/image_generation.py fashion_mnist --held-out --cpu-minutes 4 --set width=32
python benchmarks/image_generation.py emoji64 --minutes 20 --sheet docs/image_generation.png
python benchmarks/image_generation.py same --model MODEL --cload PROGRAM
python benchmarks/image_generation.py speed --torch PYTHON

With network=vae, also the bound of the test images, and how well upside-down ones are found as anomalies.

The metrics of Fashion-MNIST are in the 64 features of a classifier trained on it, `feature_net.keras` in the data
folder (73k parameters, 0.93 of the test labels right), for n images against the test images; with `--held-out`, for
choosing options, against 5,000 training images that are not trained on. `--cpu-minutes` decides the number of steps
from the CPU time of a few of them, for machines that do other work. `image_generation_peers.py` trains plain Keras
networks, which are measured in the same way.

`same` counts images of a model whose PNG bytes differ alone, in batches of 8, and from an export in a program that runs
it. `speed` trains the default network and the same one in plain Keras by turns, an epoch each, and PyTorch in another
process (`image_generation_torch.py`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import DATA, print_machine

import dlkit
from dlkit.data.table import Table
from dlkit.lazy import keras, tf
from dlkit.tasks.image_generation.metrics import compute_fid, compute_mean_kid, compute_precision_and_recall
from dlkit.tasks.image_generation.plots import plot_sheet

HELD_OUT = 5000  # training images of Fashion-MNIST
SPEED_ROWS, BATCH = 6400, 64


def load_fashion_mnist(part: str) -> dict[str, Any]:
    """Load images, (n, 28, 28) uint8, and labels "0" to "9"."""
    arrays = np.load(DATA / "fashion_mnist" / f"{part}.npz")
    return {"image": arrays["images"], "label": [str(label) for label in arrays["labels"]]}


def load_parts(held_out: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load what to train on, and what to compare with: the test part, or images held out from the training part."""
    train = load_fashion_mnist("train")
    if not held_out:
        return train, load_fashion_mnist("test")
    order = np.random.default_rng(0).permutation(len(train["image"]))
    parts = order[HELD_OUT:], order[:HELD_OUT]
    first, second = ({"image": train["image"][rows], "label": [train["label"][row] for row in rows]} for rows in parts)
    return first, second


def compute_features(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features, (n, 64), and the predicted labels, (n,), of the classifier."""
    network = keras.models.load_model(DATA / "fashion_mnist" / "feature_net.keras")
    both = keras.Model(network.input, [network.get_layer("features").output, network.output])
    parts = [both(images[start : start + 500, ..., None].astype("float32")) for start in range(0, len(images), 500)]
    features, logits = (tf.concat(values, 0).numpy() for values in zip(*parts, strict=True))
    return features, logits.argmax(1)


def generate(model: Any, count: int, **options: Any) -> tuple[np.ndarray, list[str]]:
    """Generate images of all labels in turn, with the seeds from 0."""
    labels = [model.labels_[number % len(model.labels_)] for number in range(count)]
    requests = [{"label": label, "seed": seed, **options} for seed, label in enumerate(labels)]
    return np.stack([answer["image"] for answer in model.predict(requests)]), labels


def report(name: str, images: np.ndarray, labels: list[str], real: np.ndarray) -> None:
    """Print the metrics of images with their labels, in comparison with real ones; precision and recall of 5,000."""
    (of_real, _), (features, predicted) = compute_features(real), compute_features(images)
    precision, recall = compute_precision_and_recall(of_real[:HELD_OUT], features[:HELD_OUT])
    right = np.mean([str(label) == wanted for label, wanted in zip(predicted, labels, strict=True)])
    classes = len(set(predicted.tolist()))
    kid, fid = compute_mean_kid(of_real, features), compute_fid(of_real, features)
    print(
        f"{name}: n {len(images)}, KID x 1000 {1000 * kid:.1f}, FID {fid:.3f}, precision {precision:.3f}, recall "
        f"{recall:.3f}, labels right {right:.3f}, {classes} labels",
        flush=True,
    )


def compute_auroc(usual: np.ndarray, unusual: np.ndarray) -> float:
    """Return the share of pairs in which the unusual image has the higher score; of equal ones, half."""
    ordered = np.sort(usual)
    below = np.searchsorted(ordered, unusual, "left") + np.searchsorted(ordered, unusual, "right")
    return float(below.mean() / 2 / len(usual))


def report_bound(model: Any, images: np.ndarray) -> None:
    """Print the bound of the test images, and whether images that stand on their heads are found by their scores."""
    started = time.perf_counter()
    usual, unusual = (model.anomaly_scores([*part]) for part in (images, images[:, ::-1]))
    rate = 2 * len(images) / (time.perf_counter() - started)
    nats = np.mean([score["negative_elbo"] for score in usual])
    scores = ([score[name] for score in part] for part in (usual, unusual) for name in ("anomaly", "negative_elbo"))
    anomaly, bound, anomaly_unusual, bound_unusual = (np.array(values) for values in scores)
    print(
        f"negative ELBO {nats:.2f} nats ({nats / np.log(2) / images[0].size:.4f} bits per dimension), AUROC of images "
        f"upside down {compute_auroc(anomaly, anomaly_unusual):.3f}, by the negative ELBO alone "
        f"{compute_auroc(bound, bound_unusual):.3f}, {rate:.0f} images/s",
        flush=True,
    )


def steps_of_cpu_minutes(data: dict[str, Any], options: dict[str, Any], minutes: float) -> int:
    """Return how many training steps take so much CPU time, from that of 20 steps after 10 others."""
    seconds = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            seconds.append(time.process_time())

    few = {"image": data["image"][:3000], "label": data["label"][:3000]}
    task = dlkit.ImageGenerator(**{**options, "feature_model": "patches", "validation_split": 0.0})
    task.fit(few, steps=30, callbacks=[Watch()], verbose=0)
    return round(60 * minutes / ((seconds[-1] - seconds[9]) / (len(seconds) - 10)))


def train(args: argparse.Namespace, data: Any) -> Any:
    """Train a model, or load the one that is given."""
    if args.model:
        return dlkit.load(args.model)
    options = {name: type(getattr(dlkit.ImageGenerator(), name))(value) for name, value in args.set}
    model, begun, cpu = dlkit.ImageGenerator(seed=args.seed, **options), time.perf_counter(), time.process_time()
    length: dict[str, Any] = {"minutes": args.minutes}
    if args.cpu_minutes:
        length = {"steps": steps_of_cpu_minutes(data, options, args.cpu_minutes)}
    model.fit(data, **length, save=args.save, overwrite=True, verbose=2)
    took = (time.perf_counter() - begun) / 60, (time.process_time() - cpu) / 60
    print(f"training took {took[0]:.1f} minutes, {took[1]:.1f} of CPU time; {options}", flush=True)
    return model


def fashion_mnist(args: argparse.Namespace) -> None:
    """Print the metrics for each guidance and number of steps."""
    data, test = load_parts(args.held_out)
    if args.floor:
        report("real training images", data["image"][: args.count], data["label"][: args.count], test["image"])
    model = train(args, data)
    settings: list[dict[str, Any]] = [{}]
    if "steps" in model.inputs:
        settings = [{"guidance": guidance, "steps": steps} for guidance in args.guidance for steps in args.steps]
    for options in settings:
        begun = time.perf_counter()
        images, labels = generate(model, args.count, **options)
        rate = args.count / (time.perf_counter() - begun)
        report(f"{options or model.network}, {rate:.1f} images/s", images, labels, test["image"])
    if model.network == "vae":
        report_bound(model, test["image"])
    draw(model, args.sheet)


def emoji64(args: argparse.Namespace) -> None:
    """Print the metrics of `evaluate`, which are in the features of the classifier that `fit` has trained."""
    model = train(args, str(DATA / "emoji64" / "train"))
    print(json.dumps(model.evaluate(str(DATA / "emoji64" / "test")), indent=1))
    draw(model, args.sheet)


def draw(model: Any, path: str) -> None:
    """Draw a sheet with a row for each label."""
    if path:
        images, labels = generate(model, 10 * len(model.labels_))
        order = sorted(range(len(labels)), key=lambda row: model.labels_.index(labels[row]))
        plot_sheet([images[row] for row in order], [labels[row] for row in order], columns=10).savefig(path, dpi=80)


def same(args: argparse.Namespace) -> None:
    """Count the images whose bytes depend on how they are asked for."""
    model = dlkit.load(args.model)
    names = ["", *model.labels_]
    asked = [{"label": names[row % len(names)], "seed": 1000 + row} for row in range(64)]
    if "steps" in model.inputs:
        asked = [{**row, "steps": 5 + number % 3, "guidance": 1.0 + number % 2} for number, row in enumerate(asked)]
    rows = [{name: row.get(name, column.default) for name, column in model.inputs.items()} for row in asked]
    alone = [_bytes_of(model, [row])[0] for row in rows]
    batches = [found for start in range(0, len(rows), 8) for found in _bytes_of(model, rows[start : start + 8])]
    print(f"{model.network}, batches of 8: {_count_differing(alone, batches)} of {len(rows)} images differ")
    if args.cload:
        with tempfile.TemporaryDirectory() as folder:
            version = model.export(Path(folder) / "model")
            found = [
                each for at in range(0, len(rows), 8) for each in _run_cload(args.cload, version, rows[at : at + 8])
            ]
        print(f"from {args.cload.name}: {_count_differing(alone, found)} of {len(rows)} images differ")


def _bytes_of(model: Any, rows: list[dict[str, Any]]) -> list[bytes]:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    files: list[bytes] = model.predict_table(Table("the requests", columns, str))["image_bytes"]
    return files


def _run_cload(program: Path, version: Path, rows: list[dict[str, Any]]) -> list[bytes]:
    """Answer rows with a program that runs a signature of an export; their labels go through files."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = []
        for number, row in enumerate(rows):
            (Path(folder) / str(number)).write_text(row["label"])
            arguments.append(f"label=@{folder}/{number}")
        numbers = [name for name in rows[0] if name != "label"]
        arguments += [f"{name}=num:{','.join(str(row[name]) for row in rows)}" for name in numbers]
        done = subprocess.run([program, version, "serving_default", *arguments], capture_output=True, check=True)
    return [text.encode("latin-1") for text in json.loads(done.stdout.decode("latin-1"))["image_bytes"]]


def _count_differing(first: list[bytes], second: list[bytes]) -> int:
    return sum(one != other for one, other in zip(first, second, strict=True))


def speed(args: argparse.Namespace) -> None:
    """Print training images a second of `fit`, and of the same network in plain Keras and in PyTorch."""
    from image_generation_peers import fit_diffusion, plain_unet
    from throughput import Turns

    part = load_fashion_mnist("train")
    rows = {"image": part["image"][:SPEED_ROWS], "label": part["label"][:SPEED_ROWS]}
    options = {"validation_split": 0.0, "feature_model": "patches", "epochs": args.rounds + 1, "batch_size": BATCH}
    task = dlkit.ImageGenerator(**options)
    own = Turns(lambda turns: task.fit(rows, callbacks=[turns], strategy="one", verbose=0))
    network = plain_unet((28, 28, 1), 10, width=task.width, blocks=task.blocks, patch=2, depth=2)
    peer = Turns(lambda turns: fit_diffusion(network, rows, BATCH, epochs=args.rounds + 1, callbacks=[turns]))
    for turns in (own, peer):
        turns.epoch()
    pairs, torch = [], []
    for number in range(args.rounds):
        order = (own, peer) if number % 2 else (peer, own)
        seconds = {id(turns): turns.epoch() for turns in order}
        pairs.append((SPEED_ROWS / seconds[id(own)], SPEED_ROWS / seconds[id(peer)]))
        if args.torch:
            torch.append((pairs[-1][0], _run_torch(args.torch, task)))
    counts = [
        sum(int(np.prod(weight.shape)) for weight in each.trainable_weights) for each in (task.stages_.network, network)
    ]
    print(f"parameters: {counts[0]:,}; plain Keras {counts[1]:,}")
    for name, each in {"plain Keras": pairs, "PyTorch": torch}.items():
        if each:
            ratios = [first / second for first, second in each]
            medians = [statistics.median(values) for values in zip(*each, strict=True)]
            print(
                f"{medians[0]:.0f} images a second, {name} {medians[1]:.0f}: {statistics.median(ratios):.2f} times as "
                f"fast ({min(ratios):.2f} to {max(ratios):.2f}, {len(each)} pairs)"
            )


def _run_torch(python: str, task: Any) -> float:
    script = Path(__file__).with_name("image_generation_torch.py")
    sizes = [f"--width={task.width}", f"--blocks={task.blocks}", f"--batch={BATCH}"]
    done = subprocess.run([python, script, *sizes], capture_output=True, check=True, text=True)
    return float(json.loads(done.stdout)["images_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {kind.__name__: kind for kind in (fashion_mnist, emoji64, same, speed)}
    parser.add_argument("what", choices=kinds)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--cpu-minutes", type=float, default=0, help="CPU time of training, instead of --minutes")
    parser.add_argument("--held-out", action="store_true", help="compare with training images that are held out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=5000, help="images to generate")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 1.5, 2.0])
    parser.add_argument("--steps", type=int, nargs="+", default=[20])
    parser.add_argument("--save", default=None)
    parser.add_argument("--model", default="", help="measure this model instead of training one")
    parser.add_argument("--floor", action="store_true", help="measure real training images, too")
    parser.add_argument("--sheet", default="", help="image file for a sheet of generated images")
    parser.add_argument("--cload", type=Path, help="of `same`: a program that runs a signature of a version directory")
    parser.add_argument("--torch", default="", help="of `speed`: the Python of an environment that has torch")
    parser.add_argument("--rounds", type=int, default=5, help="of `speed`: pairs of measurements")
    parser.add_argument("--set", nargs="*", default=[], type=lambda text: text.split("="), help="options: width=32")
    args = parser.parse_args()
    print_machine()
    kinds[args.what](args)


if __name__ == "__main__":
    main()
