"""Image generation on Fashion-MNIST and emoji: training, metrics in the features of a classifier, a sheet of images.

python benchmarks/image_generation.py fashion_mnist --minutes 8
python benchmarks/image_generation.py fashion_mnist --minutes 8 --set network=vae
python benchmarks/image_generation.py emoji64 --minutes 20 --sheet docs/image_generation.png

With network=vae, also the bound of the test images, and how well upside-down ones are found as anomalies.

The metrics of Fashion-MNIST are in the 64 features of a classifier trained on it, `feature_net.keras` in the data
folder (73k parameters, 0.93 of the test labels right), for n images against the test images.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from machine import DATA, print_machine

import dlkit
from dlkit.lazy import keras, tf
from dlkit.tasks.image_generation.metrics import compute_fid, compute_kid, compute_precision_and_recall
from dlkit.tasks.image_generation.plots import plot_sheet


def load_fashion_mnist(part: str) -> dict[str, Any]:
    """Load images, (n, 28, 28) uint8, and labels "0" to "9"."""
    arrays = np.load(DATA / "fashion_mnist" / f"{part}.npz")
    return {"image": arrays["images"], "label": [str(label) for label in arrays["labels"]]}


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


def compute_mean_kid(real: np.ndarray, generated: np.ndarray, subsets: int = 20, size: int = 1000) -> float:
    """Return the mean kernel distance of random subsets, as it is usually given."""
    generator = np.random.default_rng(0)
    sizes = [min(size, len(real), len(generated))] * subsets
    pairs = ([part[generator.choice(len(part), n, False)] for part in (real, generated)] for n in sizes)
    return float(np.mean([compute_kid(*pair) for pair in pairs]))


def report(name: str, images: np.ndarray, labels: list[str]) -> None:
    """Print the metrics of images with their labels."""
    real, _ = compute_features(load_fashion_mnist("test")["image"])
    features, predicted = compute_features(images)
    precision, recall = compute_precision_and_recall(real[:5000], features[:5000])
    right = np.mean([str(label) == wanted for label, wanted in zip(predicted, labels, strict=True)])
    kid = compute_mean_kid(real, features)
    print(
        f"{name}: n {len(images)}, KID x 1000 {1000 * kid:.1f}, FID {compute_fid(real, features):.3f}, "
        f"precision {precision:.3f}, recall {recall:.3f}, labels right {right:.3f}",
        flush=True,
    )


def compute_auroc(usual: np.ndarray, unusual: np.ndarray) -> float:
    """Return the share of pairs in which the unusual image has the higher score; of equal ones, half."""
    ordered = np.sort(usual)
    below = np.searchsorted(ordered, unusual, "left") + np.searchsorted(ordered, unusual, "right")
    return float(below.mean() / 2 / len(usual))


def report_bound(model: Any) -> None:
    """Print the bound of the test images, and whether images that stand on their heads are found by their scores."""
    images = load_fashion_mnist("test")["image"]
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


def run(args: argparse.Namespace) -> None:
    """Train, measure and draw."""
    print_machine()
    options = {name: type(getattr(dlkit.ImageGenerator(), name))(value) for name, value in args.set}
    model = dlkit.ImageGenerator(seed=args.seed, **options)
    started = time.perf_counter()
    if args.model:
        model = dlkit.load(args.model)
    elif args.data == "fashion_mnist":
        model.fit(load_fashion_mnist("train"), minutes=args.minutes, save=args.save, overwrite=True, verbose=2)
    else:
        model.fit(str(DATA / args.data / "train"), minutes=args.minutes, save=args.save, overwrite=True, verbose=2)
    print(f"training took {(time.perf_counter() - started) / 60:.1f} minutes", flush=True)
    if args.data == "fashion_mnist":
        if args.floor:
            train = load_fashion_mnist("train")
            report("real training images", train["image"][: args.count], train["label"][: args.count])
        has_steps = "steps" in model.inputs
        settings = [{"guidance": g, "steps": s} for g in args.guidance for s in args.steps] if has_steps else [{}]
        for setting in settings:
            started = time.perf_counter()
            images, labels = generate(model, args.count, **setting)
            rate = args.count / (time.perf_counter() - started)
            told = [f"{name} {value:g}" for name, value in setting.items()]
            report(", ".join([*told, f"{rate:.1f} images/s"]), images, labels)
        if model.network == "vae":
            report_bound(model)
    else:
        print(model.evaluate(str(DATA / args.data / "test")))
    if args.sheet:
        images, labels = generate(model, 8 * len(model.labels_))
        order = sorted(range(len(labels)), key=lambda row: model.labels_.index(labels[row]))
        sheet = plot_sheet([images[row] for row in order], [labels[row] for row in order], columns=16)
        sheet.savefig(args.sheet, dpi=80)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("fashion_mnist", "emoji64"))
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=5000, help="images to generate")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 1.5, 2.0])
    parser.add_argument("--steps", type=int, nargs="+", default=[20])
    parser.add_argument("--save", default=None)
    parser.add_argument("--model", default="", help="measure this model instead of training one")
    parser.add_argument("--floor", action="store_true", help="measure real training images, too")
    parser.add_argument("--sheet", default="", help="image file for a sheet of generated images")
    parser.add_argument("--set", nargs="*", default=[], type=lambda text: text.split("="), help="options: width=32")
    run(parser.parse_args())
