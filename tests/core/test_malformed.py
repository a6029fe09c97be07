"""Malformed files of every kind that dlkit reads: each is read, or refused by an error of dlkit's own.

They are small good files that were changed at places drawn by a seed, so that a failure can be repeated: it names the
kind and the seed.
"""

import contextlib
import copy
import gzip
import io
import json
import random
import resource
import shutil
import signal
import tarfile
import time
import traceback
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
from PIL import Image as Picture

import dlkit
from dlkit.columns import Image
from dlkit.data.read_chunks import read_chunks
from dlkit.data.read_options import ReadOptions
from dlkit.errors import DlkitError
from dlkit.serving.prove import lint_export
from dlkit.serving.reference_examples import load_reference_examples, save_reference_examples
from dlkit.serving.verify import find_version_directory
from dlkit.tasks import find_task
from dlkit.tasks.recommendation.catalogue import inspect_features
from dlkit.training.checkpoint_files import Checkpoint, CheckpointFiles
from dlkit.training.strategies import resolve_strategy
from dlkit.vision.image_facts import image_size, read_orientation

SECONDS = 20.0  # for one file, on a machine that does other things too
GROWTH = 500  # MB
FORMATS = ("png", "jpeg", "gif", "bmp", "webp", "tiff")
STAGES = "sentiment-mlp/stages-1"
MODELS = Path(__file__).parents[1] / "tasks" / "texts_saved_before.tar.xz"
REVIEWS = [("good, really", "yes"), ("bad", "no"), ('a "quoted" one', "yes"), ("née", "no")] * 5
ODD = [
    None,
    True,
    -1,
    0,
    1e308,
    float("nan"),
    10**400,
    "",
    "\0",
    "x" * 5000,
    [],
    {},
    [[[]]],
    {"": []},
    "../../x",
    "/etc",
]


class TooSlow(BaseException):
    """Not an `Exception`, so that no reader takes it for a fault of the file."""


# Kinds: how a good file is written into a folder, and read.


def csv_of(rows, head, comma=","):
    lines = [head, *rows]
    return "".join(
        comma.join(f'"{cell}"' if '"' not in str(cell) else str(cell) for cell in row) + "\n" for row in lines
    )


REVIEW_ROWS = [(text.replace('"', ""), label) for text, label in REVIEWS]
SERIES = [(f"2020-01-{day:02d}", name, day * 1.5) for name in ("a", "b") for day in range(1, 29)]
EVENTS = [(f"u{user}", f"i{(user * item) % 7}", user + item) for user in range(9) for item in range(6)]
QUESTION = {"question": "who?", "id": "1", "answers": [{"text": "Ann", "answer_start": 0}], "is_impossible": False}
SQUAD = {"data": [{"title": "t", "paragraphs": [{"context": "Ann is here.", "qas": [QUESTION] * 3}]}]}
OUTLINE = {"bbox": [1, 1, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5]], "iscrowd": 0}
COCO = {
    "images": [{"id": n, "file_name": f"{n}.png", "height": 8, "width": 8} for n in range(3)],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [{"id": n, "image_id": n, "category_id": 1 + n % 2, **OUTLINE} for n in range(3)],
}
RLE = {"counts": [10, 20, 34], "size": [8, 8]}
COCO_RLE = copy.deepcopy(COCO)
COCO_RLE["annotations"][0]["segmentation"] = RLE
COCO_RLE["annotations"][1]["segmentation"] = {"counts": "0`0k0", "size": [8, 8]}
VOC = (
    "<annotation><filename>0.png</filename><size><width>8</width><height>8</height></size><object><name>cat</name>"
    "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"
)
TMX = '<tmx version="1.4"><header srclang="en"/><body>' + "".join(
    f'<tu><tuv xml:lang="en"><seg>one <ph/>{n}</seg></tuv><tuv xml:lang="es"><seg>uno <hi>{n}</hi></seg></tuv></tu>'
    for n in range(4)
) + "</body></tmx>"  # fmt: skip
WORKERS = {"cluster": {"worker": ["localhost:1234", "localhost:1235"]}, "task": {"type": "worker", "index": 0}}


def pictures(folder, count=3):
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(pixels).save(folder / f"{number}.png")


def encoded(form, **options):
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (12, 10, 3), np.uint8)
    Picture.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def arrays(**values):
    file = io.BytesIO()
    np.savez_compressed(file, **values)
    return file.getvalue()


def parquet(**columns):
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def looked_at(name, **options):
    """Reads as `dlkit check` does, then every row as training would."""

    def read(path):
        task = find_task(name)()
        task.check(str(path), **options)
        rows = task.read(str(path), **options).cleaned()
        columns = {**task.inputs, **task.target}
        for row in range(min(len(rows.table), 50)):
            with contextlib.suppress(DlkitError):  # one row's is its own
                rows.table.raw(row, columns)

    return read


def picture(path):
    data = Image().raw(str(path))
    image_size(data)
    read_orientation(path)


def parted(path):
    task = find_task("recommendation")()
    for table in read_chunks(str(path), task.inputs | {"item_id": next(iter(task.inputs.values()))}, ReadOptions()):
        len(table)


def good_images(folder):
    pictures(folder / "images")


def good_masks(folder):
    good_images(folder)
    for number in range(3):
        (folder / "masks").mkdir(exist_ok=True)
        Picture.fromarray(np.full((8, 8), number, np.uint8)).save(folder / "masks" / f"{number}.png")


def good_yolo(folder):
    good_images(folder)
    (folder / "labels").mkdir()
    for number in range(3):
        (folder / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "data.yaml").write_text("names: [cat, dog]\n")


def good_voc(folder):
    pictures(folder / "JPEGImages")
    (folder / "Annotations").mkdir()


def good_photos(folder):
    for label in ("cat", "dog"):
        pictures(folder / label, 4)


def good_model(folder):
    with tarfile.open(MODELS) as archive:
        archive.extractall(folder, filter="data")


def good_export(folder):
    version = folder / "1"
    (version / "assets.extra").mkdir(parents=True)
    module = tf.Module()
    module.weights = tf.Variable([1.0, 2.0])
    function = tf.function(lambda x: {"y": x * module.weights}, input_signature=[tf.TensorSpec([None, 2], name="x")])
    tf.saved_model.save(module, str(version), signatures={"serving_default": function})
    contract = {"format": 1, "libraries": [], "ops_beyond_core": [], "versions": {}, "name": "m"}
    signature = {"method": "predict", "inputs": {"x": {}}, "outputs": {"y": {"atol": 1e-6}}}
    contract["signatures"] = {"serving_default": signature}
    (version / "assets.extra" / "dlkit.json").write_text(json.dumps(contract))
    pair = {"x": np.float32([[1, 2]]), "t": np.array([b"a", b"bc"], object)}, {"y": np.float32([[1, 4]])}
    save_reference_examples(version / "assets.extra" / "dlkit_reference_examples.npz", {"serving_default": [pair]})


def good_checkpoint(folder):
    files = CheckpointFiles(folder, keep=2)
    files.write(3, Checkpoint({"step": 3}, {"variable/0": np.zeros(10), "variable/1": np.ones((2, 3))}))


def examined(path):
    version = find_version_directory(path.parents[1] if path.parent.name == "assets.extra" else path.parent)
    lint_export(version)
    load_reference_examples(version / "assets.extra" / "dlkit_reference_examples.npz")


def surroundings(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CONFIG", path.read_text(errors="replace").replace("\0", ""))
        patch.setattr("dlkit.training.strategies._over_workers", lambda source: tf.distribute.get_strategy())
        resolve_strategy("multiworker")


SENTIMENT, PHOTOS = looked_at("sentiment"), looked_at("image_classification")
TRANSLATION = looked_at("translation", columns={"source": "en", "target": "es"})
BOXES, MASKS = looked_at("object_detection"), looked_at("image_segmentation")
QUESTIONS, SERIES_READ = looked_at("question_answering"), looked_at("forecasting")
EVENTS_READ = looked_at("recommendation")
TEXTS, LABELS = [text for text, _ in REVIEWS], [label for _, label in REVIEWS]
TABLE = csv_of(REVIEW_ROWS, ("text", "label"))
CORNERS = ("image", "xmin", "ymin", "xmax", "ymax", "label")
ANSWERED = {"question": "who?", "context": "Ann.", "answers": {"text": ["Ann"], "answer_start": [0]}}
NAMED = {"road": [0, 0, 0], "sky": [1, 1, 1], "car": [2, 2, 2]}
STEPS = {"ds": [row[0] for row in SERIES], "unique_id": [row[1] for row in SERIES], "y": [row[2] for row in SERIES]}
HAD = csv_of(EVENTS, ("user_id", "item_id", "time"))


def lines_of(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def features(path):
    inspect_features(str(path), "item_id")


def newest(path):
    CheckpointFiles(path.parent, 2).newest()


# Name to what lies beside, the file that is changed, its good content (None: what lies there), and how it is read: of
# FOLDERS the folder, of the others the file.
KINDS = {
    "csv": (None, "a.csv", TABLE, SENTIMENT),
    "tsv": (None, "a.tsv", csv_of(REVIEW_ROWS, ("text", "label"), "\t"), SENTIMENT),
    "csv.gz": (None, "a.csv.gz", gzip.compress(TABLE.encode()), SENTIMENT),
    "jsonl": (None, "a.jsonl", lines_of({"text": text, "label": label} for text, label in REVIEWS), SENTIMENT),
    "json": (None, "a.json", [{"text": text, "label": label} for text, label in REVIEWS], SENTIMENT),
    "parquet": (None, "a.parquet", parquet(text=TEXTS, label=LABELS), SENTIMENT),
    "npz": (None, "a.npz", arrays(images=np.zeros((9, 8, 8), np.uint8), labels=np.arange(9) % 3), PHOTOS),
    "texts.npz": (None, "a.npz", arrays(text=np.array(TEXTS), label=np.array(LABELS)), SENTIMENT),
    "tmx": (None, "a.tmx", TMX, TRANSLATION),
    "tmx.gz": (None, "a.tmx.gz", gzip.compress(TMX.encode()), TRANSLATION),
    "pairs.jsonl": (
        None, "a.jsonl", lines_of({"translation": {"en": f"a {n}", "es": f"b {n}"}} for n in range(9)), TRANSLATION,
    ),
    "squad": (None, "a.json", SQUAD, QUESTIONS),
    "answers.jsonl": (None, "a.jsonl", lines_of([ANSWERED] * 6), QUESTIONS),
    "coco": (pictures, "annotations.json", COCO, BOXES),
    "coco masks": (pictures, "annotations.json", COCO, MASKS),
    "coco rle": (pictures, "annotations.json", COCO_RLE, MASKS),
    "voc": (good_voc, "Annotations/0.xml", VOC, BOXES),
    "yolo labels": (good_yolo, "labels/0.txt", None, BOXES),
    "yolo names": (good_yolo, "data.yaml", "names: {0: cat, 1: dog}\nkpt_shape: [2, 3]\na: &x [1]\nb: *x\n", BOXES),
    "boxes": (pictures, "labels.csv", csv_of([(f"{n}.png", 1, 1, 5, 5, "cat") for n in range(3)], CORNERS), BOXES),
    "classes": (good_masks, "classes.json", NAMED, MASKS),
    "mask": (good_masks, "masks/0.png", None, MASKS),
    "photo": (good_photos, "cat/0.png", None, PHOTOS),
    "photos.csv": (pictures, "a.csv", csv_of([(f"{n}.png", "ab"[n % 2]) for n in range(3)], CORNERS[::5]), PHOTOS),
    **{f"{form} picture": (None, f"a.{form}", encoded(form), picture) for form in FORMATS},
    "series": (None, "a.csv", csv_of(SERIES, ("ds", "unique_id", "y")), SERIES_READ),
    "series.parquet": (None, "a.parquet", parquet(**STEPS), SERIES_READ),
    "events": (None, "a.csv", HAD, EVENTS_READ),
    "events in parts": (None, "a.csv", HAD, parted),
    "features": (
        None, "a.csv", csv_of([(f"i{n}", n, "a|b") for n in range(9)], ("item_id", "size", "words")), features,
    ),
    "features.parquet": (None, "a.parquet", parquet(item_id=list("abc"), size=[1.0, None, 2.0]), features),
    "index of a model": (good_model, "sentiment-mlp/dlkit.json", None, lambda path: dlkit.load(path.parent)),
    "stage of a model": (good_model, f"{STAGES}/network.keras", None, lambda path: dlkit.load(path.parents[1])),
    "contract": (good_export, "1/assets.extra/dlkit.json", None, examined),
    "reference_examples": (good_export, "1/assets.extra/dlkit_reference_examples.npz", None, examined),
    "saved_model.pb": (good_export, "1/saved_model.pb", None, examined),
    "checkpoint": (good_checkpoint, "step-000000000003.npz", None, newest),
    "TF_CONFIG": (None, "tf_config.json", WORKERS, surroundings),
}  # fmt: skip
FOLDERS = ("coco", "coco masks", "coco rle", "voc", "yolo labels", "yolo names", "boxes", "classes", "mask", "photo")


# Changes.


def change_tree(value, draw):
    """One value somewhere inside JSON becomes another: an odd one, one of another place, deep, or none at all."""
    value = copy.deepcopy(value)
    places = []

    def walk(held):
        for key in held.keys() if isinstance(held, dict) else range(len(held)):
            places.append((held, key))
            if isinstance(held[key], (dict, list)):
                walk(held[key])

    walk(value)
    for _ in range(draw.choice((1, 1, 2))):
        held, key = draw.choice(places)
        if draw.random() < 0.2:
            with contextlib.suppress(KeyError, IndexError):
                del held[key]
        elif draw.random() < 0.2 and isinstance(held, dict):
            held[draw.choice(["..", "stages_", "__class__", "x" * 300])] = copy.deepcopy(draw.choice(ODD))
        else:
            other, at = draw.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                held[key] = copy.deepcopy(draw.choice([*ODD, other[at] if other is not held else 7]))
    return value


def change_bytes(data, draw):
    """Bytes cut off, left out, doubled, turned, or with something odd put in."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(len(data) + 1)
        end = min(len(data), place + draw.choice((1, 2, 4, 16, 200)))
        how = draw.randrange(7)
        if how == 0:
            del data[place:]
        elif how == 1:
            del data[place:end]
        elif how == 2:
            data[place:place] = data[place:end] * draw.choice((1, 50))
        elif how == 3:
            data[place:end] = draw.randbytes(end - place)
        elif how == 4:
            data[place:end] = draw.choice((b"\xff", b"\0", b"9", b"-")) * (end - place)
        elif how == 5:
            odd = (b"[" * 20_000, b"<a>" * 20_000, b"{", b'"', b"\0", b"\xff\xfe", b"1e999", b"&a;", b"\r", b"../../x")
            data[place:place] = draw.choice(odd)
        elif data:
            data[place % len(data)] ^= 1 << draw.randrange(8)
    return bytes(data)


def change_zip(data, draw):
    """A file in an archive is changed, and packed again with the right checksum."""
    source = zipfile.ZipFile(io.BytesIO(data))
    chosen, file = draw.choice(source.namelist()), io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            content = source.read(name)
            if name == chosen and name.endswith(".json") and draw.random() < 0.7:
                content = json.dumps(change_tree(json.loads(content), draw)).encode()
            elif name == chosen:
                head = 128 if draw.random() < 0.7 else len(content)  # the header of an array
                content = change_bytes(content[:head], draw) + content[head:]
            archive.writestr(name, content)
    return file.getvalue()


def changed(content, draw):
    """A malformed file, of good content."""
    if not isinstance(content, (bytes, str)):
        if draw.random() < 0.7:
            return json.dumps(change_tree(content, draw)).encode()
        content = json.dumps(content)
    data = content.encode() if isinstance(content, str) else content
    if data.startswith(b"PK") and draw.random() < 0.6:
        return change_zip(data, draw)
    if data.startswith(b"\x1f\x8b") and draw.random() < 0.6:
        return gzip.compress(change_bytes(gzip.decompress(data), draw))
    return change_bytes(data, draw)


# The look at them.


@contextlib.contextmanager
def time_limit(seconds):
    def stop(number, frame):
        raise TooSlow(f"{seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def memory(name):
    """VmRSS or VmHWM, the most since `forget_peak`, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextlib.contextmanager
def memory_limit(more):
    """So that a file which takes all memory there is takes no other program with it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int((memory("VmSize") + more) * 2**20), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def forget_peak():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def read_malformed(folder, kinds, seeds):
    """Reads a changed file of each kind by each seed. Returns the faults, and how many were read and refused."""
    faults, counts, slowest, most = [], {"read": 0, "refused": 0}, (0.0, ""), 0.0
    for kind in kinds:
        beside, name, content, read = KINDS[kind]
        good = folder / kind.replace(" ", "-")
        good.mkdir()
        if beside:
            beside(good)
        file = good / name
        if content is None:
            content = file.read_bytes()
            content = json.loads(content) if file.suffix == ".json" else content
        for seed in seeds:
            data = changed(content, random.Random(f"{kind} {seed}"))
            file.write_bytes(data)
            path = good if kind in FOLDERS else file
            forget_peak()
            before, start = memory("VmRSS"), time.perf_counter()
            try:
                with time_limit(SECONDS), memory_limit(4 * GROWTH):
                    read(path)
                counts["read"] += 1
            except DlkitError as error:
                counts["refused"] += 1
                if "\n" in str(error) or len(str(error)) > 4000:
                    faults.append(
                        f"{kind}, seed {seed}: an error of {len(str(error))} characters: {str(error)[:300]!r}"
                    )
            except (Exception, TooSlow):
                faults.append(f"{kind}, seed {seed}: {''.join(traceback.format_exc()[-1500:])}")
            slowest = max(slowest, (time.perf_counter() - start, f"{kind}, seed {seed}"))
            grown = memory("VmHWM") - before
            if grown > GROWTH:
                faults.append(f"{kind}, seed {seed}: the memory grew by {grown:.0f} MB")
            most = max(most, grown)
        shutil.rmtree(good)
    return faults, counts, slowest, most


@pytest.fixture
def look(tmp_path, monkeypatch, capsys):
    def look(seeds):
        monkeypatch.setenv("DLKIT_MAX_UNPACKED", "100MB")
        before = memory("VmRSS")
        faults, counts, slowest, most = read_malformed(tmp_path, KINDS, seeds)
        growth = memory("VmRSS") - before
        capsys.readouterr()
        with capsys.disabled():
            print(
                f"\n{sum(counts.values())} malformed files of {len(KINDS)} kinds: {counts['refused']} refused, "
                f"{counts['read']} read, {len(faults)} faults; {growth:.0f} MB more at the end, {most:.0f} MB for one "
                f"file; the slowest {slowest[0]:.1f} s ({slowest[1]})"
            )
        assert not faults, "\n\n".join(faults)
        assert growth <= GROWTH, f"the memory grew by {growth:.0f} MB"
        return counts

    return look


def test_some_malformed_files(look):
    counts = look(range(2))
    assert sum(counts.values()) >= 60 and counts["refused"] >= 30


@pytest.mark.slow
def test_many_malformed_files(look):
    counts = look(range(100, 115))
    assert sum(counts.values()) >= 300 and counts["refused"] >= 150


@pytest.mark.slow
def test_good_files_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("test_malformed.changed", lambda content, draw: written(content))
    faults, counts, *_ = read_malformed(tmp_path, KINDS, [0])
    assert not faults and counts == {"read": len(KINDS), "refused": 0}


def written(content):
    content = content if isinstance(content, (bytes, str)) else json.dumps(content)
    return content.encode() if isinstance(content, str) else content
