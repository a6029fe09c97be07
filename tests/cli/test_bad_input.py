"""What cannot be used is refused by name, in one line, with the cure, and leaves nothing half-written behind."""

import errno
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import dlkit
from dlkit import DlkitError, model_folder
from dlkit.classification.labels import compute_label_weights
from dlkit.columns import Label
from dlkit.data.table import Table
from dlkit.training import checkpoint_files
from dlkit.training import store as store_module

MLP = ["--network", "mlp", "--epochs", 1, "--batch-size", 8]
FULL = OSError(errno.ENOSPC, "No space left on device")


def texts(folder, rows, name="texts.csv", header="text,label"):
    path = folder / name
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    return path


@pytest.fixture
def reviewed(tmp_path):
    """40 short texts in a csv: `good` and `very bad`."""
    return texts(tmp_path, [f"{word} film {n},{label}" for n in range(20)
                            for word, label in (("nice", "good"), ("dull", "very bad"))])  # fmt: skip


def entries(folder):
    return sorted(str(path) for path in folder.rglob("*"))


# Images.


@pytest.fixture(scope="module")
def broken_photos(photos, png, tmp_path_factory):
    """The photos with five more that cannot be used, among the first in their order: name to what is said of it."""
    folder = tmp_path_factory.mktemp("broken") / "photos"
    shutil.copytree(photos, folder)
    good = (photos / "red" / "1.png").read_bytes()
    broken = {
        "empty": (b"", "not a JPEG, PNG, GIF, BMP or still WebP file (0 bytes)"),
        "text": (b"hello", "not a JPEG, PNG, GIF, BMP or still WebP file (5 bytes)"),
        "truncated": (good[:60], "the file is truncated, or its length differs from its header (60 bytes)"),
        "huge": (png((1, 1, 1), 100), "100 x 100 pixels, allowed: 1 to 5000"),
        "gone": (None, "No such file"),
    }
    for name, (data, _) in broken.items():
        path = folder / "dark blue" / f"00 {name}.png"
        if data is None:
            path.symlink_to(folder / "nowhere.png")
        else:
            path.write_bytes(data)
    return folder, {f"00 {name}.png": said for name, (_, said) in broken.items()}


def test_unusable_images_are_left_out_of_training_by_name(broken_photos, capsys, proven_here, tmp_path):
    folder, broken = broken_photos
    task = dlkit.ImageClassifier(network="mlp", epochs=1, batch_size=8, max_pixels=5000, validation_split=0)
    task.fit(str(folder), save=tmp_path / "model", verbose=2)
    said = capsys.readouterr().err
    assert "5 of 45 rows skipped" in said
    (remark,) = [remark for remark in task.report_["remarks"] if "skipped" in remark]
    assert remark.splitlines()[0] in said  # what is kept names no folder
    for name, reason in broken.items():
        assert any(name in line and reason in line for line in said.splitlines()), name
    assert task.fingerprint_["rows"] == 40
    assert len(task.examples_) == 8
    assert task.export(tmp_path / "served").name == "1"  # none of the broken ones is among its requests


def test_unusable_images_are_refused_by_name_elsewhere(broken_photos, photos, refused, photo_model, tmp_path):
    folder, broken = broken_photos
    good, task = photos / "red" / "1.png", dlkit.load(photo_model)
    for name, reason in broken.items():
        bad = folder / "dark blue" / name
        table = texts(tmp_path, [f"{good},red", f"{bad},red"], "one.csv", "image,label")
        for refusal in (lambda: task.predict([good, bad]), lambda: task.evaluate(str(table), allow_outside=True)):  # noqa: B023
            with pytest.raises(DlkitError) as raised:
                refusal()
            assert name in str(raised.value) or f"{table}, line 3" in str(raised.value)
            assert reason in str(raised.value)
            assert "1.png" not in str(raised.value)
    assert "00 gone.png" in refused("evaluate", photo_model, "--data", folder)
    assert "00 empty.png" in refused("predict", photo_model, good, folder / "dark blue" / "00 empty.png")
    assert "cannot read the image" in refused("predict", photo_model, "no.png", "--json")
    assert "cannot read the image" in refused("predict", photo_model, "a\0b.png")


def test_no_usable_image_at_all(not_trained, png, tmp_path):
    for label in ("a", "b"):
        (tmp_path / "all" / label).mkdir(parents=True)
        for number in range(8):
            (tmp_path / "all" / label / f"{number}.png").write_bytes(b"hello")
    assert "0.png is not a readable image file" in not_trained("image_classification", *MLP, "--data", tmp_path / "all")
    for path in (tmp_path / "all").rglob("*.png"):
        path.write_bytes(png((1, 2, 3)))
    line = not_trained("image_classification", *MLP, "--data", tmp_path / "all", "--max-pixels", 10)
    assert "8 x 8 pixels, allowed: 10" in line


# Tables.


@pytest.mark.parametrize(
    ("rows", "flags", "said"),
    [
        ([], [], ["texts.csv", "has a header and no rows"]),
        (["nice,a"] * 40, ["--column", "text=review"], ["no column 'review'", "'text', 'label'", "--column"]),
        (["nice,a"] * 64, ["--validation-split", 0], ["at least two labels", "Found: a, in 64 rows"]),
        (["nice,a"], [], ["at least two labels", "Found: a, in 1 rows"]),
        (["nice,a", "dull,"] * 40, [], ["line 3", "the label in column 'label' is empty"]),
        (["nice,a", "dull,b,c"] * 40, [], ["line 3", "expected 2 cells"]),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(not_trained, tmp_path, rows, flags, said):
    line = not_trained("sentiment", "--data", texts(tmp_path, rows), *flags)
    for part in said:
        assert part in line


def test_sources_that_are_none(not_trained, refused, sentiment_model, tmp_path):
    (tmp_path / "empty.csv").touch()
    assert "empty.csv is empty" in not_trained("sentiment", "--data", tmp_path / "empty.csv")
    assert "there is no '" in not_trained("sentiment", "--data", tmp_path / "gone.csv")
    (tmp_path / "folder").mkdir()
    assert "no class folders" in not_trained("image_classification", "--data", tmp_path / "folder")
    assert "there is no '" in refused("evaluate", sentiment_model, "--data", tmp_path / "gone.csv")


def test_text_that_is_not_utf_8(not_trained, refused, sentiment_model, typed, tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("text,label\nnice,a\ncafé,b\n".encode("latin1"))
    for line in (not_trained("sentiment", "--data", path), refused("evaluate", sentiment_model, "--data", path)):
        assert f"{path}, line 3" in line
        assert "not UTF-8 (byte 0xe9)" in line
        assert "iconv" in line
    assert "'caf\\udce9' is not UTF-8" in refused("predict", sentiment_model, "good", "caf\udce9")
    typed(b"good\ncaf\xe9\n")
    assert "standard input, line 2" in refused("predict", sentiment_model, "-")
    with pytest.raises(DlkitError, match=r"input 1.*not UTF-8: byte 0xe9 at position 3"):
        dlkit.load(sentiment_model).predict(["good", b"caf\xe9"])


def test_labels_never_seen_in_training(not_trained, refused, sentiment_model, reviewed, tmp_path):
    other = texts(tmp_path, ["fine,good", "fine,goood"], "other.csv")
    line = not_trained("sentiment", "--data", reviewed, "--validation", other, "--batch-size", 8)
    assert f"{other}, line 3: the label 'goood' does not occur in the training data" in line
    assert "Did you mean 'good'?" in line
    line = refused("evaluate", sentiment_model, "--data", texts(tmp_path, ["a,positive", "b,mixed"]))
    assert "line 3: the label 'mixed' does not occur in the training data. Expected one of: negative, positive" in line


def test_tiny_sets_train(tmp_path):
    task = dlkit.SentimentClassifier(epochs=1, batch_size=1)
    history = task.fit({"text": ["nice", "dull"], "label": ["a", "b"]}, {"text": ["x"], "label": ["b"]}, verbose=0)
    assert np.isfinite(history["val_loss"][0])
    history = task.fit({"text": ["nice", "dull"], "label": ["a", "b"]}, verbose=0)
    assert "val_loss" not in history, "neither of two rows can be held out: each is the only example of its class"
    assert task.labels_ == ["a", "b"]


# Hyperparameters.


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--epochs", -1], "--epochs must be at least 0. Received: --epochs -1"),
        (["--dropout", "1.5"], "--dropout must be at least 0 and at most 0.95"),
        (["--learning-rate", "nan"], "--learning-rate must be finite"),
        (["--epochs", "ten"], "argument --epochs: invalid int value: 'ten'"),
        (["--network", "cn"], "--network does not accept 'cn'"),
        (["--epoch", 3], "unknown argument '--epoch'. Did you mean --epochs?"),
        (["--learning_rate", 3], "unknown argument '--learning_rate'. Did you mean --learning-rate?"),
        (["extra"], "unknown argument 'extra'"),
        (["--tokenizer", "wordpiece", "--network", "cnn"], "--tokenizer wordpiece needs --vocabulary-file"),
        (
            ["--tokenizer", "wordpiece", "--network", "cnn", "--vocabulary-file", "no.txt"],
            "--vocabulary-file: there is no 'no",
        ),
        (["--network", "transformer", "--width", 127], "--width must be a multiple of `heads`"),
        (["--freeze", "embeding", "--network", "cnn"], "--freeze is not a layer with weights: 'embeding'"),
        (["--freeze", "99"], "--freeze 99 leaves nothing to train"),
        (["--monitor", "acuracy"], "--monitor is not a metric: 'acuracy'"),
        (["--class-weights", "balenced"], '--class-weights must be "balanced" or "name=number,..."'),
    ],
)
def test_hparams_that_cannot_be_used(not_trained, reviewed, flags, said):
    line = not_trained("sentiment", "--data", reviewed, "--batch-size", 8, "--no-character-ngrams", *flags)
    assert said in line
    if "names no" in said or "does not accept" in said:
        assert "Did you mean '" in line


def test_image_hparams_that_cannot_be_used(not_trained, photos):
    train = ["image_classification", "--data", photos, "--batch-size", 8]
    assert "--channels must be 0, 1 or 3" in not_trained(*train, "--channels", 2)
    assert "--depth must be 6n + 2" in not_trained(*train, "--depth", 7)
    assert "--depth of vgg must be one of 11" in not_trained(*train, "--network", "vgg", "--depth", 12)
    assert "at least 8 x 8" in not_trained(*train, "--network", "alexnet", "--image-size", 4)
    assert "cannot be built" in not_trained(*train, "--network", "preset:no_such_folder/model")


def test_hparams_in_python():
    with pytest.raises(DlkitError, match=r"has no option 'epoch'.*Did you mean 'epochs'"):
        dlkit.ImageClassifier(epoch=1)
    with pytest.raises(DlkitError, match=r'`epochs` must be an integer. Received: epochs="3" \(str\)'):
        dlkit.ImageClassifier(epochs="3")


def test_commands_and_tasks_that_are_none(refused):
    assert "Did you mean 'sentiment'?" in refused("train", "sentimnt", "--network", "cnn")
    assert "there is no task 'x'" in refused("train", "x")
    assert "invalid choice: 'trian'" in refused("trian")
    assert "COMMAND" in refused()
    assert "--data" in refused("evaluate", "model")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("good=1,very bed=2", r"unknown label 'very bed'.*Did you mean 'very bad'"),
        ("very bad=two", "numbers, at least 0. Received: 'very bad=two'"),
        ("good=1, very bad=-1", "numbers, at least 0. Received: 'very bad=-1'"),
        ("good=inf", "numbers, at least 0"),
        ("good,very bad", 'must be "balanced" or "name=number'),
    ],
)
def test_class_weights_that_cannot_be_used(weights, said):
    known, table = ["good", "very bad"], Table("rows", {"label": ["good", "very bad"]}, str)
    with pytest.raises(DlkitError, match=said):
        compute_label_weights(weights, known, table, Label())
    assert compute_label_weights("very bad=2, good = 0.5", known, table, Label()) == [0.5, 2.0]


def test_a_loss_that_becomes_nan(refused, photos, tmp_path):
    model = tmp_path / "model"
    train = ["train", "image_classification", *MLP, "--data", photos, "--validation-split", 0]
    train += ["--learning-rate", "1e30", "--schedule", "constant"]
    line = refused(*train, "--save", model, "--checkpoint-every", 1)
    found = re.search(
        r"the loss of step (\d) \(epoch 1, batch (\d) of 5\) is not a finite number, at a learning rate of 1e\+30\. "
        r"Its 8 rows begin with (.*)\. Lower --learning-rate \(1e\+30\), set --clip-norm",
        line,
    )
    assert found, line
    assert 1 < int(found[1]) == int(found[2]) <= 5
    named = [Path(path) for path in found[3].split(", ")]
    assert len(set(named)) == 3
    assert all(path.is_file() and path.is_relative_to(photos) for path in named)
    assert line.endswith("resume from the last good checkpoint with --resume and --allow-changes.")
    assert "holds an interrupted run" in refused("predict", model, "a.png")
    paths = sorted(model.glob("checkpoints/*"))
    assert paths[-1].name == f"step-{int(found[1]) - 1:012d}.npz"
    for path in paths:
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays.files)
    assert refused(*train).endswith("set --clip-norm to 1, or increase --warmup.")  # there is no checkpoint to go to


# Saved models.


@pytest.fixture
def copied(sentiment_model, tmp_path):
    """A copy of the text model, to be damaged."""
    shutil.copytree(sentiment_model, tmp_path / "copy")
    return tmp_path / "copy"


def edit(folder, **changes):
    index = json.loads((folder / "dlkit.json").read_text("utf-8"))
    (folder / "dlkit.json").write_text(json.dumps({**index, **changes}))
    return index


def test_folders_that_are_no_saved_models(refused, copied, tmp_path):
    for command in (["predict", tmp_path, "x"], ["export", tmp_path, "y"], ["evaluate", tmp_path, "--data", "z"]):
        assert f"{tmp_path} is not a saved model: it has no dlkit.json" in refused(*command)
    for content in ("{", "[]", "{}", "\udcff"):
        (copied / "dlkit.json").write_text(content, errors="surrogateescape")
        assert f"the saved model {copied} cannot be read" in refused("predict", copied, "x")


def test_damaged_stages(refused, copied):
    network = next(copied.glob("stages-*/network.keras"))
    whole = network.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", None):
        network.unlink()
        if damaged is not None:
            network.write_bytes(damaged)
        assert f"the saved model {copied} cannot be read" in refused("predict", copied, "x")
        network.touch()


def test_models_of_a_newer_dlkit_or_of_another_task(refused, copied):
    index = edit(copied, format=99, dlkit="9.1")
    line = refused("predict", copied, "x")
    assert "saved by dlkit 9.1 in format 99; this dlkit reads format 2" in line
    assert "pip install --upgrade dlkit-keras" in line
    edit(copied, format=2, hparams={**index["hparams"], "novelty": 3})
    line = refused("predict", copied, "x")
    assert f"saved by dlkit 9.1; this is {dlkit.__version__}: " in line
    assert "no option 'novelty'" in line
    edit(copied, task="telepathy")
    assert "no task 'telepathy'" in refused("predict", copied, "x")
    with pytest.raises(DlkitError, match="'telepathy', not 'image_classification'"):
        dlkit.ImageClassifier.load(copied)


def test_checkpoints_that_are_all_broken(refused, copied):
    paths = sorted(copied.glob("checkpoints/*.npz"))
    whole = paths[-1].read_bytes()
    for path in paths:
        path.write_bytes(whole[: len(whole) // 2])
    line = refused("train", "sentiment", "--epochs", 3, "--save", copied, "--resume")
    assert "no checkpoint can be read. " in line
    assert line.count(" is corrupt: ") == len(paths)
    assert "Start over with --overwrite" in line
    for damaged in (b"", b"hello", whole[1000:]):
        paths[-1].write_bytes(damaged)
        with pytest.raises(DlkitError, match=f"no checkpoint can be read. {re.escape(str(paths[-1]))} is corrupt: "):
            checkpoint_files.CheckpointFiles(copied / "checkpoints", 2).newest()


# Full disks and kills.


@pytest.fixture(scope="module")
def fitted():
    """A text classifier that is fitted and not saved."""
    task = dlkit.SentimentClassifier(epochs=1, character_ngrams=False)
    task.fit({name: values[:80] for name, values in task.samples()["train"].items()}, verbose=0)
    return task


@pytest.mark.parametrize("stop", [FULL, KeyboardInterrupt(), PermissionError(errno.EACCES, "Permission denied")])
@pytest.mark.parametrize("at", ["stage", "index", "rename"])
def test_a_stop_in_the_middle_of_saving_leaves_the_model_before(monkeypatch, fitted, tmp_path, stop, at):
    import keras

    def fail(*arguments, **options):
        raise stop

    fitted.save(tmp_path / "m")
    before = (tmp_path / "m" / "dlkit.json").read_bytes()
    with monkeypatch.context() as patched:
        owner, name = {
            "stage": (keras.Model, "save"),
            "index": (os, "fsync"),
            "rename": (model_folder.Path, "replace"),
        }[at]
        patched.setattr(owner, name, fail)
        expected = KeyboardInterrupt if isinstance(stop, KeyboardInterrupt) else DlkitError
        for folder in ("m", "new"):
            with pytest.raises(expected) as raised:
                fitted.save(tmp_path / folder, overwrite=True)
    assert (tmp_path / "m" / "dlkit.json").read_bytes() == before
    assert dlkit.load(tmp_path / "m").predict("nice")
    with pytest.raises(DlkitError, match="not a saved model"):
        dlkit.load(tmp_path / "new")
    if expected is DlkitError:
        assert str(tmp_path) in str(raised.value)
        assert ("the disk is full" in str(raised.value)) == (stop is FULL)
        assert not (tmp_path / "new").exists()
    fitted.save(tmp_path / "m", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "m").iterdir())[:2] == ["config.yaml", "dlkit.json"]
    assert len(list((tmp_path / "m").iterdir())) == 3  # and its stages


def test_a_full_disk_at_a_checkpoint(monkeypatch, fitted, tmp_path):
    monkeypatch.setattr(checkpoint_files.np, "savez", lambda *arguments, **options: (_ for _ in ()).throw(FULL))
    task = dlkit.SentimentClassifier(**fitted.hparams)
    data = {name: values[:80] for name, values in task.samples()["train"].items()}
    with pytest.raises(DlkitError, match=r"the disk is full: .*step-\d+\.npz was not written. Free some space"):
        task.fit(data, save=tmp_path / "m", verbose=0)
    monkeypatch.undo()
    assert not list((tmp_path / "m" / "checkpoints").iterdir())
    assert len(task.fit(data, save=tmp_path / "m", resume=True, verbose=0)["loss"]) == 1
    assert dlkit.load(tmp_path / "m").history_ == task.history_


def test_a_full_disk_while_rows_are_encoded(monkeypatch, not_trained, reviewed):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write(self, data):
            raise FULL

    opened = store_module.Path.open
    monkeypatch.setattr(
        store_module.Path, "open", lambda path, *a, **b: Full() if a == ("ab",) else opened(path, *a, **b)
    )
    line = not_trained("sentiment", "--data", reviewed, "--batch-size", 8, "--cache-mb", 0)
    assert "is full: the preprocessed data needs" in line
    assert "TMPDIR" in line


def test_a_real_full_disk(fitted, tmp_path):
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting a small tmpfs needs rights that this user has not")
    try:
        with pytest.raises(DlkitError, match="the disk is full"):
            fitted.save(tmp_path / "m")
        assert entries(tmp_path) == []
        (tmp_path / "m").mkdir()
        files = checkpoint_files.CheckpointFiles(tmp_path / "m" / "checkpoints", 2)
        arrays = {"variable/0": np.ones(20_000, np.float32)}
        files.write(1, checkpoint_files.Checkpoint({"step": 1}, arrays))
        with pytest.raises(DlkitError, match="the disk is full"):
            files.write(2, checkpoint_files.Checkpoint({"step": 2}, {**arrays, "variable/1": np.ones(30_000)}))
        assert [path.name for path in files.folder.iterdir()] == ["step-000000000001.npz"]
        assert files.newest().state == {"step": 1}
    finally:
        subprocess.run(["umount", tmp_path], check=False)


def test_a_save_that_cannot_be_made_is_refused_before_training(refused, reviewed, tmp_path):
    line = refused("train", "sentiment", "--data", reviewed, "--batch-size", 8, "--save", reviewed / "model")
    assert f"cannot write {reviewed / 'model'}: Not a directory" in line
