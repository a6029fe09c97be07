"""Measure segmenters on real slices of tissue and on the built-in scenes.

python benchmarks/segmentation.py accuracy tissue|scenes [--minutes M] [--seeds 0 1 2] [--network NAME]
    [--picture FILE] [HPARAM=VALUE ...]
python benchmarks/segmentation.py networks [--minutes M]
python benchmarks/segmentation.py latency

`accuracy` trains for the given number of minutes, without the time for reading and encoding the data, and prints
metrics of the served masks of the test images, which are not used for any choice. `networks` trains each network for
the same number of minutes on the tissue and prints seconds per step, parameters, size of the export and mean IoU.
`latency` times the served graph, and its parts, on one JPEG of 640 x 480.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from machine import DATA, print_machine
from timing import bytes_of, clock, image_arguments, median_ms, noise_jpeg, print_scores

NETWORKS = ("unet", "deeplab_v3", "segformer")
# Chosen on blocks of the training slices. Brains are symmetric, and all slices have the same orientation.
HPARAMS: dict[str, dict[str, Any]] = {
    "tissue": {"flip": "horizontal", "losses": "cross_entropy", "depth": 3, "validation_split": 0.0},
    "scenes": {"flip": "none", "validation_split": 0.0},
}
STARTUP_SECONDS = 3.0  # seconds that `fit` needs for its first step, not counted as training


def main() -> None:
    arguments = image_arguments(__doc__, HPARAMS, 4.0, "unet")
    print_machine()
    if arguments.what == "latency":
        latency()
    elif arguments.what == "networks":
        for network in NETWORKS:
            print_network(network, arguments.minutes, arguments.hparams)
    else:
        scores = []
        for seed in arguments.seeds:
            task, score = accuracy(arguments.data, arguments.network, arguments.minutes, seed, arguments.hparams)
            scores.append(score)
        if arguments.picture:
            task.draw(sources(arguments.data)[1], arguments.picture)
        print_scores("mean IoU", [score["mean_iou"] for score in scores], 4)


def sources(data: str) -> tuple[Any, Any]:
    """Return training and test data."""
    if data == "tissue":
        return str(DATA / "tissue" / "train"), str(DATA / "tissue" / "test")
    from dlkit.vision.scenes import segmentation_sample

    sample = segmentation_sample()
    return sample["train"], sample["test"]


def accuracy(data: str, network: str, minutes: float, seed: int, hparams: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Train for a number of minutes; the number of epochs follows from the time of one epoch."""
    import dlkit

    train, test = sources(data)
    settings = {**HPARAMS[data], **hparams, "network": network, "seed": seed}
    if "epochs" not in settings:
        settings["epochs"] = max(int((minutes * 60 - STARTUP_SECONDS) / _seconds_of_epoch(train, settings)), 1)
    timer = clock()
    task = dlkit.ImageSegmenter(**settings)
    task.fit(train, strategy="one", callbacks=[timer], verbose=0)
    metrics = task.evaluate(test)
    shown = " ".join(f"{name} {metrics[name]:.4f}" for name in ("mean_iou", "mean_dice", "pixel_accuracy"))
    classes = ", ".join(f"{name} {facts['iou']:.3f}" for name, facts in metrics["per_class"].items())
    print(
        f"{data}, {network}, seed {seed}: {settings['epochs']} epochs in {sum(timer.seconds) / 60:.1f} minutes, "
        f"{shown}; IoU of {classes}",
        flush=True,
    )
    return task, {**metrics, "seconds": statistics.median(timer.seconds)}


def _seconds_of_epoch(train: Any, settings: dict[str, Any]) -> float:
    import dlkit

    timer = clock()
    dlkit.ImageSegmenter(**settings, epochs=3).fit(train, strategy="one", callbacks=[timer], verbose=0)
    return statistics.mean(timer.seconds[1:])


def print_network(network: str, minutes: float, hparams: dict[str, Any]) -> None:
    task, metrics = accuracy("tissue", network, minutes, 0, hparams)
    steps = -(-task.fingerprint_["rows"] // task.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        version = task.export(Path(folder) / "tissue")
        size = bytes_of(version)
    print(
        f"  {task.stages_.network.count_params():,} parameters, {metrics['seconds'] / steps:.2f} s a step of "
        f"{task.batch_size}, export of {size / 1e6:.1f} MB",
        flush=True,
    )


def latency() -> None:
    import dlkit
    from dlkit.lazy import load_tensorflow, tf

    load_tensorflow()

    train, _ = sources("scenes")
    jpeg = noise_jpeg()
    few = {name: values[:32] if name != "classes" else values for name, values in train.items()}
    for network in NETWORKS:
        task = dlkit.ImageSegmenter(network=network, epochs=1, image_size=256)
        task.fit(few, strategy="one", verbose=0)
        served, stages = task.served()["serving_default"].graph, task.stages_
        decode = tf.function(lambda x, model=stages.preprocess: model({"image": x}, training=False))
        run = tf.function(lambda x, model=stages.network: model({"image": x}, training=False)["logits"])
        answer = tf.function(
            lambda x, size, model=stages.postprocess: model({"logits": x, "original_size": size}, training=False)
        )
        made = decode(jpeg)
        logits = run(made["image"])
        whole = median_ms(lambda served=served: served(image=jpeg))
        parts = {
            "decode and resize": median_ms(lambda decode=decode: decode(jpeg)),
            "network": median_ms(lambda run=run, made=made: run(made["image"])),
            "mask": median_ms(lambda answer=answer, logits=logits, made=made: answer(logits, made["original_size"])),
        }
        shown = ", ".join(f"{name} {ms:.1f} ms ({ms / sum(parts.values()):.0%})" for name, ms in parts.items())
        print(f"{network} at 256 x 256: {whole:.1f} ms; {shown}", flush=True)


if __name__ == "__main__":
    main()
