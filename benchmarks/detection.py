"""Detectors on real photographs and on the built-in scenes.

python benchmarks/detection.py accuracy trees|scenes [--minutes M] [--seeds 0 1 2] [--network NAME]
    [--picture FILE] [HPARAM=VALUE ...]
python benchmarks/detection.py networks [--minutes M]
python benchmarks/detection.py latency
python benchmarks/detection.py digits

`accuracy` trains for so many minutes, reading and encoding not included, and prints COCO's metrics of the served
answers on the test images, which nothing is chosen on. `networks` gives every network the same minutes on the trees,
and prints seconds of a step, parameters, size of the export and average precision. `latency` asks the served graph for
one JPEG of 640 x 480, whole and in parts. `digits` tells the digits of the scenes apart without finding them: what a
support vector machine makes of their ink alone, 20 pixels high, is about the most that AP50 on scenes can be.
"""

from __future__ import annotations

import functools
import statistics
import tempfile
from pathlib import Path
from typing import Any

from machine import DATA, print_machine
from timing import bytes_of, clock, image_arguments, median_ms, noise_jpeg, print_scores

NETWORKS = ("centernet", "retinanet", "yolo_v8")
# Chosen on scenes of the part for validation; the trees' from the kind of pictures, nothing is held out of so few.
HPARAMS: dict[str, dict[str, Any]] = {
    "trees": {"flip": "both", "turn": True, "validation_split": 0.0, "score_threshold": 0.02},
    "scenes": {
        "flip": "none",
        "mosaic": 0.0,
        "scale": 0.2,
        "crop": 0.8,
        "colour": 0.3,
        "learning_rate": 0.004,
        "image_size": 192,  # of 128: digits of 14 pixels are told apart better, and boxes are nearer
        "width": 20,
        "box_weight": 10.0,
        "precision": "mixed_bfloat16",
        "validation_split": 0.0,
        "score_threshold": 0.02,
    },
}


def main() -> None:
    given = image_arguments(__doc__, HPARAMS, 14.0, "centernet", also=("digits",))
    print_machine()
    if given.what == "digits":
        print_digits()
    elif given.what == "latency":
        for network in NETWORKS:
            print_latency(network)
    elif given.what == "networks":
        for network in NETWORKS:
            print_network(network, given.minutes, given.hparams)
    else:
        scores = []
        for seed in given.seeds:
            task, score = accuracy(given.data, given.network, given.minutes, seed, given.hparams)
            scores.append(score)
        if given.picture:
            task.draw(sources(given.data)[1], given.picture)
        for name in ("AP50", "AP"):
            print_scores(name, [score[name] for score in scores], 3)


def sources(data: str) -> tuple[Any, Any]:
    """Training and test data."""
    if data == "trees":
        return str(DATA / "trees" / "train"), str(DATA / "trees" / "test")
    from dlkit.vision.scenes import scenes

    columns = ("image", "boxes", "labels")
    train, test = scenes(1500, part="train"), scenes(200, part="test")
    return {name: train[name] for name in columns}, {name: test[name] for name in columns}


def accuracy(data: str, network: str, minutes: float, seed: int, hparams: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Trains for so many minutes: the epochs follow from the seconds of one epoch, timed before."""
    import dlkit

    train, test = sources(data)
    settings = {**HPARAMS[data], **hparams, "network": network, "seed": seed}
    if "epochs" not in settings:
        first, later = _seconds_of_epochs(train, settings)
        settings["epochs"] = max(int((minutes * 60 - first) / later), 0) + 1
    timed = clock()
    task = dlkit.ObjectDetector(**settings)
    task.fit(train, strategy="one", callbacks=[timed], verbose=0)
    metrics = task.evaluate(test)
    shown = " ".join(f"{name} {metrics[name]:.3f}" for name in ("AP50", "AP", "AP75", "AR100"))
    took = f"{settings['epochs']} epochs in {sum(timed.seconds) / 60:.1f} minutes"
    print(f"{data}, {network}, seed {seed}: {took}, {shown}", flush=True)
    return task, {**metrics, "seconds": statistics.median(timed.seconds)}


def _seconds_of_epochs(train: Any, settings: dict[str, Any]) -> tuple[float, float]:
    """Of the first one, which traces, and of each later one."""
    import dlkit

    timed = clock()
    dlkit.ObjectDetector(**settings, epochs=3).fit(train, strategy="one", callbacks=[timed], verbose=0)
    return timed.seconds[0], statistics.mean(timed.seconds[1:])


def print_network(network: str, minutes: float, hparams: dict[str, Any]) -> None:
    task, metrics = accuracy("trees", network, minutes, 0, hparams)
    steps = -(-132 // task.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        version = task.export(Path(folder) / "trees")
        size = bytes_of(version)
    print(
        f"  {task.stages_.network.count_params():,} parameters, {metrics['seconds'] / steps:.2f} s a step of "
        f"{task.batch_size}, export of {size / 1e6:.1f} MB",
        flush=True,
    )


def print_latency(network: str) -> None:
    import dlkit
    from dlkit.lazy import load_tensorflow, tf

    load_tensorflow()

    task = dlkit.ObjectDetector(network=network, epochs=1, image_size=320)
    task.fit(sources("trees")[0], strategy="one", verbose=0)
    jpeg = noise_jpeg()
    whole = task.served()["serving_default"].graph
    models = (task.stages_.preprocess, task.stages_.network, task.stages_.postprocess)
    decode, run, detect = (tf.function(functools.partial(model, training=False)) for model in models)
    made = decode({"image": jpeg})
    given = {**run({"image": made["image"]}), "original_size": made["original_size"]}
    served = median_ms(lambda: whole(image=jpeg))
    parts = {
        "decode and resize": median_ms(lambda: decode({"image": jpeg})),
        "network": median_ms(lambda: run({"image": made["image"]})),
        "decoding and suppression": median_ms(lambda: detect(given)),
    }
    shown = ", ".join(f"{name} {ms:.1f} ms ({ms / sum(parts.values()):.0%})" for name, ms in parts.items())
    print(f"{network} at 320 x 320: {served:.1f} ms; {shown}", flush=True)


def print_digits() -> None:
    import numpy as np
    from sklearn.svm import SVC

    from dlkit.vision.digits import digits
    from dlkit.vision.scenes import render_digit

    inks = {}
    for part, data in digits().items():
        covers = [render_digit(image, 20) for image in data["image"]]
        inks[part] = np.stack([np.pad(cover, ((0, 20 - len(cover)), (0, 60 - cover.shape[1]))) for cover in covers])
    labels = {part: data["label"] for part, data in digits().items()}
    machine = SVC(C=10.0).fit(inks["train"].reshape(len(inks["train"]), -1), labels["train"])
    for part in ("validation", "test"):
        share = machine.score(inks[part].reshape(len(inks[part]), -1), labels[part])
        print(f"{len(labels[part])} digits of {part}: {share:.3f} told right by their ink alone")


if __name__ == "__main__":
    main()
