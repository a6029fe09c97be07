"""Measure tasks with their defaults on data of kinds that no recipe uses, beside what a user would pick instead.

python benchmarks/default_images.py orientation
python benchmarks/default_images.py photos|masks --minutes 5 [--only SET] [--seeds 0 1 2] [--option refit=True]
python benchmarks/default_images.py fashion_mnist --minutes 10 [--seeds 0 1 2]

orientation prints what the tests for flips and rotations find. The peers of photos and masks, plain Keras networks with
flips and shifts or rotations, train for the CPU time that dlkit took, so that the load of the machine does not matter.

Data, none of which is distributed: windows of the 36 photographs in style_transfer, of which separate blocks are the
test part; the photographed objects of Debian's tuxpaint-stamps-default (--stamps FOLDER) on such windows, other objects
in the test part; the images of nuclei in the PyPI package stardist (--nuclei FOLDER), a fluorescence micrograph and
slices of a simulated volume, other regions in the test part; letters in the installed fonts.
"""

from __future__ import annotations

import argparse
import ast
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from machine import DATA, print_machine
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits

import dlkit
from dlkit.columns import Image as ImageColumn
from dlkit.data.table import Table
from dlkit.vision.orientation_tests import compare_mirrored, compare_orientations

Parts = dict[str, dict[str, Any]]
SIDE = 32  # of photos, in pixels
STAMPS = {
    "mammals": "animals/mammals",
    "birds": "animals/birds",
    "fruit": "food/fruit",
    "flowers": "plants/flowers",
    "insects": "animals/insects",
    "vegetables": "food/vegetables",
    "vehicles": "vehicles",
    "fish": "animals/fish",
    "tools": "household",
}


def places() -> Parts:
    """Windows of photographs, labeled by the place: 7,920 and 2,160 rows of 36 classes, from separate blocks."""
    random, rows = np.random.default_rng(0), {"train": ([], []), "test": ([], [])}
    for path, photograph in _photographs().items():
        photograph.thumbnail((768, 768))
        width, height = photograph.width // 4, photograph.height // 2
        for part, count in (("train", 220), ("test", 60)):
            blocks = [(x, y) for x in range(4) for y in range(2) if ((x + y) % 3 == 0) == (part == "test")]
            for _ in range(count):
                x, y = blocks[random.integers(len(blocks))]
                block = photograph.crop((x * width, y * height, (x + 1) * width, (y + 1) * height))
                rows[part][0].append(_window(block, random, 48, 160))
                rows[part][1].append(path)
    return _shuffled(rows, random)


def objects(stamps: Path) -> Parts:
    """Photographed objects on windows of photographs: 7,992 and 1,494 rows of 9 classes, of separate objects."""
    random, rows = np.random.default_rng(0), {"train": ([], []), "test": ([], [])}
    photographs = list(_photographs().values())
    for name, folder in STAMPS.items():
        files = [path for path in sorted((stamps / folder).rglob("*.png")) if "cartoon" not in str(path)]
        files = [files[number] for number in random.permutation(len(files))]
        held_out = max(1, len(files) // 4)
        for part, own, count in (("test", files[:held_out], 166), ("train", files[held_out:], 888)):
            stamped = [Image.open(path).convert("RGBA") for path in own]
            for _ in range(count):
                photograph = photographs[random.integers(len(photographs))]
                background = Image.fromarray(_window(photograph, random, 96, 300, 64))
                stamp = stamped[random.integers(len(stamped))].copy()
                side = int(random.integers(40, 64))
                stamp.thumbnail((side, side))
                place = (random.integers(65 - stamp.width), random.integers(65 - stamp.height))
                background.paste(stamp, tuple(map(int, place)), stamp)
                small = np.asarray(background.resize((SIDE, SIDE), Image.Resampling.BOX)) * random.uniform(0.7, 1.2)
                rows[part][0].append(np.clip(small, 0, 255).astype(np.uint8))
                rows[part][1].append(name)
    return _shuffled(rows, random)


def nuclei(folder: Path) -> Parts:
    """Tiles of a fluorescence micrograph with masks of nuclei: 48 and 16 of 64 x 64 pixels, from separate rows."""
    image, mask = (_frames(folder / f"{name}2d.tif")[0] for name in ("img", "mask"))
    tiles = [(y, x) for y in range(0, 512, 64) for x in range(0, 512, 64)]
    return {
        part: {
            "image": [image[y : y + 64, x : x + 64] for y, x in own],
            "mask": [(mask[y : y + 64, x : x + 64] > 0).astype(np.uint8) for y, x in own],
        }
        for part, own in (
            ("train", [tile for tile in tiles if tile[0] < 384]),
            ("test", [tile for tile in tiles if tile[0] >= 384]),
        )
    }


def volume(folder: Path) -> Parts:
    """Slices of a simulated volume of nuclei with masks, cut in two: the left parts train, the right parts test."""
    images, masks = (_frames(folder / f"{name}3d.tif") for name in ("img", "mask"))
    return {
        part: {
            "image": [image[:, own] for image in images],
            "mask": [np.where(mask[:, own] > 0, 1, 0).astype(np.uint8) for mask in masks],
        }
        for part, own in (("train", slice(0, 36)), ("test", slice(36, None)))
    }


def letters() -> dict[str, Any]:
    """Capital letters in the installed fonts, 28 x 28 pixels in grayscale."""
    random, images, labels = np.random.default_rng(0), [], []
    for font in sorted(Path("/usr/share/fonts").rglob("*.[to]tf")):
        for letter in 4 * "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            image = Image.new("L", (28, 28))
            place = (int(random.integers(3, 9)), int(random.integers(0, 5)))
            drawn = ImageFont.truetype(str(font), int(random.integers(16, 24)))
            ImageDraw.Draw(image).text(place, letter, fill=255, font=drawn)
            images.append(np.asarray(image))
            labels.append(letter)
    return {"image": images, "label": labels}


def orientation(given: argparse.Namespace) -> None:
    """Print what the tests find on data of several kinds."""
    digits = load_digits()
    fashion = np.load(DATA / "fashion_mnist" / "train.npz")
    emoji = sorted((DATA / "emoji64" / "train").rglob("*.png"))
    labeled: dict[str, Any] = {
        "digits": {"image": (digits.images * 15.9).astype(np.uint8), "label": digits.target},
        "letters": letters(),
        "fashion_mnist": {"image": fashion["images"], "label": fashion["labels"]},
        "emoji64": {"image": emoji, "label": [path.parent.name for path in emoji]},
        **{name: parts["train"] for name, parts in _photo_sets(given)},
    }
    for name, data in labeled.items():
        found = compare_mirrored(_table(data["image"]), ImageColumn(), [str(label) for label in data["label"]], 10**8)
        kept = (found.mirrored - found.chance) / (found.accuracy - found.chance)
        print(f"{name}: accuracy {found.accuracy:.2f}, of mirror images {found.mirrored:.2f}, kept {kept:.2f}")
    unlabeled: dict[str, Any] = {
        name: sorted((DATA / folder).rglob("*.[jp][pn]g"))
        for name, folder in (
            ("trees", "trees/train/images"),
            ("tissue", "tissue/train/images"),
            ("photographs", "style_transfer/contents"),
            ("paintings", "style_transfer/styles"),
        )
    }
    unlabeled |= {name: parts["train"]["image"] for name, parts in _mask_sets(given)}
    for name, images in unlabeled.items():
        told = compare_orientations(_table(images), ImageColumn(), 10**8)
        print(f"{name}: mirrored {told.horizontal:.2f}, upside down {told.vertical:.2f}, rotated {told.rotated:.2f}")


def photos(given: argparse.Namespace) -> None:
    """Classify small photos in color, beside ResNet-20 of plain Keras with flips and shifts."""
    for name, parts in _photo_sets(given):
        classes = sorted(set(parts["train"]["label"]))
        numbers = {part: np.array([classes.index(label) for label in data["label"]]) for part, data in parts.items()}
        images = {part: np.stack(data["image"]) for part, data in parts.items()}

        def peer(seconds: float, seed: int, images: Any = images, numbers: Any = numbers) -> float:
            model = _plain_resnet(len(set(numbers["train"])), seed)
            _train_plain(model, images["train"], numbers["train"], seconds, 128, seed)
            guessed = model.predict(images["test"], batch_size=256, verbose=0).argmax(-1)
            return float((guessed == numbers["test"]).mean())

        _compare(name, dlkit.ImageClassifier, parts, "accuracy", peer, given)


def masks(given: argparse.Namespace) -> None:
    """Segment microscopy, beside U-Net of plain Keras with flips."""
    for name, parts in _mask_sets(given):
        images = {part: np.stack(data["image"])[..., np.newaxis] for part, data in parts.items()}
        true = {part: np.stack(data["mask"]) for part, data in parts.items()}

        def peer(seconds: float, seed: int, images: Any = images, true: Any = true) -> float:
            model = _plain_unet(images["train"].shape[1:], seed)
            _train_plain(model, images["train"], true["train"], seconds, 4, seed)
            height, width = true["test"].shape[1:]  # at most those of the training images, which the network takes
            more = [(0, most - side) for most, side in zip(images["train"].shape[1:3], (height, width), strict=True)]
            padded = np.pad(images["test"], ((0, 0), *more, (0, 0)))
            found = model.predict(padded, verbose=0).argmax(-1)[:, :height, :width]
            ious = [
                ((found == c) & (true["test"] == c)).sum() / ((found == c) | (true["test"] == c)).sum() for c in (0, 1)
            ]
            return float(np.mean(ious))

        _compare(name, dlkit.ImageSegmenter, parts, "mean_iou", peer, given)


def fashion_mnist(given: argparse.Namespace) -> None:
    """Classify Fashion-MNIST with the defaults."""
    folder = DATA / "fashion_mnist"
    parts = {part: str(folder / f"{part}.npz") for part in ("train", "test")}
    _compare("fashion_mnist", dlkit.ImageClassifier, parts, "accuracy", None, given)


def _compare(
    name: str,
    task_class: Any,
    parts: Any,
    metric: str,
    peer: Callable[[float, int], float] | None,
    given: argparse.Namespace,
) -> None:
    for seed in given.seeds:
        task, begun = task_class(**given.option, seed=seed), time.process_time()
        task.fit(parts["train"], steps=given.steps, minutes=given.minutes, verbose=0, strategy="one")
        seconds = time.process_time() - begun
        score = task.evaluate(parts["test"])[metric]
        shown = f"{name}, seed {seed}: {metric} {score:.4f}, {task.plan_['steps']} steps, {seconds:.0f} s of CPU time"
        print(shown + (f"; plain Keras {peer(seconds, seed):.4f}" if peer else ""), flush=True)


def _train_plain(
    model: keras.Model, images: np.ndarray, targets: np.ndarray, seconds: float, batch: int, seed: int
) -> None:
    """Train until the CPU time is used up, with a cosine schedule over the steps that fit into it."""
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    flips = np.random.default_rng(seed)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            rows = flips.choice(len(images), min(batch, len(images)), replace=False)
            x, y = images[rows], targets[rows]
            if flips.random() < 0.5:
                x, y = x[:, :, ::-1], y[:, :, ::-1] if y.ndim > 1 else y
            if y.ndim > 1:
                if flips.random() < 0.5:
                    x, y = x[:, ::-1], y[:, ::-1]
            else:
                down, across = flips.integers(-4, 5, 2)
                padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
                x = padded[:, 4 + down : 4 + down + x.shape[1], 4 + across : 4 + across + x.shape[2]]
            yield x, y

    source, begun = batches(), time.process_time()
    for _ in range(3):
        model.train_on_batch(*next(source))
    timed = time.process_time()
    for _ in range(10):
        model.train_on_batch(*next(source))
    steps = max(int((seconds - (time.process_time() - begun)) / ((time.process_time() - timed) / 10)), 1)
    for step in range(steps):
        model.optimizer.learning_rate = 1e-3 * (1 + np.cos(np.pi * step / steps))
        model.train_on_batch(*next(source))


def _plain_resnet(classes: int, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(image)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(x)))
    for width in (16, 32, 64):
        for block in range(3):
            stride = 2 if width > 16 and block == 0 else 1
            y = layers.Conv2D(width, 3, stride, "same", use_bias=False)(x)
            y = layers.ReLU()(layers.BatchNormalization()(y))
            y = layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same", use_bias=False)(y))
            x = layers.Conv2D(width, 1, stride, use_bias=False)(x) if x.shape[-1] != width else x
            x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(image, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


def _plain_unet(shape: tuple[int, ...], seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = keras.layers

    def block(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
        for _ in range(2):
            x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same", use_bias=False)(x)))
        return x

    image = keras.Input(shape)
    height, width = (-side % 8 for side in shape[:2])
    x = layers.ZeroPadding2D(((0, height), (0, width)))(layers.Rescaling(1 / 127.5, -1.0)(image))
    skips = []
    for filters in (16, 32, 64):
        x = block(x, filters)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = block(x, 128)
    for filters in (64, 32, 16):
        x = block(layers.Concatenate()([layers.UpSampling2D()(x), skips.pop()]), filters)
    return keras.Model(image, layers.Cropping2D(((0, height), (0, width)))(layers.Conv2D(2, 1)(x)))


def _photo_sets(given: argparse.Namespace) -> Iterator[tuple[str, Parts]]:
    if given.only in ("", "places"):
        yield "places", places()
    if given.stamps and given.only in ("", "objects"):
        yield "objects", objects(given.stamps)


def _mask_sets(given: argparse.Namespace) -> Iterator[tuple[str, Parts]]:
    for name, made in (("nuclei", nuclei), ("volume", volume)):
        if given.nuclei and given.only in ("", name):
            yield name, made(given.nuclei)


def _photographs() -> dict[str, Image.Image]:
    paths = sorted((DATA / "style_transfer" / "contents").glob("*.jpg"))
    return {path.stem: Image.open(path).convert("RGB") for path in paths}


def _window(image: Image.Image, random: Any, least: int, most: int, side: int = SIDE) -> np.ndarray:
    shorter = min(image.size)
    size = int(random.integers(min(least, shorter), min(most, shorter) + 1))
    x, y = int(random.integers(image.width - size + 1)), int(random.integers(image.height - size + 1))
    return np.asarray(image.crop((x, y, x + size, y + size)).resize((side, side), Image.Resampling.BOX))


def _frames(path: Path) -> list[np.ndarray]:
    """The frames of a TIFF file; those of an image, scaled to 8 bits, those of a mask as they are."""
    with Image.open(path) as image:
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image).astype(np.float64))
    if path.name.startswith("mask"):
        return frames
    low, high = np.min(frames), np.percentile(frames, 99.5)
    return [np.uint8(255 * np.clip((frame - low) / (high - low), 0, 1)) for frame in frames]


def _shuffled(rows: dict[str, tuple[list, list]], random: Any) -> Parts:
    made = {}
    for part, (images, labels) in rows.items():
        order = random.permutation(len(images))
        made[part] = {"image": [images[n] for n in order], "label": [labels[n] for n in order]}
    return made


def _table(images: Any) -> Table:
    return Table("images", {"image": list(images)}, lambda row: f"image {row}")


def _option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


KINDS = {"orientation": orientation, "photos": photos, "masks": masks, "fashion_mnist": fashion_mnist}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--minutes", type=float, default=0.0, help="the time budget of each fit; 0 for none")
    parser.add_argument("--steps", type=int, default=0, help="the steps of each fit, on a machine with other work")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", default="", help="one of the sets")
    parser.add_argument("--option", type=_option, action="append", default=[], help="an option of the task, NAME=VALUE")
    parser.add_argument("--stamps", type=Path, help="tuxpaint's folder of stamps: /usr/share/tuxpaint/stamps")
    parser.add_argument("--nuclei", type=Path, help="stardist's folder data/images")
    given = parser.parse_args()
    given.option = dict(given.option)
    print_machine()
    KINDS[given.kind](given)


if __name__ == "__main__":
    main()
