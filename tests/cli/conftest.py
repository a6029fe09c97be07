"""Two small models that the command line trained, a folder of photos, and ways to run commands in this process."""

import sys
from pathlib import Path

import numpy as np
import pytest

import dlkit
from dlkit.cli.main import main


@pytest.fixture(scope="session")
def reviews() -> Path:
    """The file of the sample texts, as data."""
    return Path(dlkit.__file__).parent / "tasks" / "sentiment" / "reviews.csv"


@pytest.fixture(scope="session")
def png():
    """Makes a picture: a colour, and how many pixels a side."""
    return _png


def _png(color, size=8):
    import tensorflow as tf

    noise = np.random.default_rng(sum(color)).integers(0, 30, (size, size, 3))
    return tf.io.encode_png(np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)).numpy()


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """Class folders `red` and `dark blue`, 20 images of 8 by 8 pixels each."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    for number in range(20):
        for label, color in (("red", (200 + number, 0, 0)), ("dark blue", (0, 0, 100 + number))):
            (folder / label).mkdir(parents=True, exist_ok=True)
            (folder / label / f"{number}.png").write_bytes(_png(color))
    return folder


@pytest.fixture(scope="session")
def photo_model(photos, tmp_path_factory) -> Path:
    """The folder of an image classifier, which reads up to 5000 pixels an image."""
    folder = tmp_path_factory.mktemp("models") / "photos"
    flags = ["--network", "mlp", "--epochs", "1", "--batch-size", "8", "--max-pixels", "5000", "--seed", "1"]
    assert main(["train", "image_classification", "--data", str(photos), "--save", str(folder), *flags]) == 0
    return folder


@pytest.fixture(scope="session")
def sentiment_model(tmp_path_factory) -> Path:
    """The folder of a text classifier, trained on the sample for 3 epochs."""
    folder = tmp_path_factory.mktemp("models") / "sentiment"
    command = ["train", "sentiment", "--epochs", "3", "--checkpoint-every", "2", "--save", str(folder)]
    assert main(command) == 0
    return folder


@pytest.fixture(scope="module")  # not longer: elsewhere exports are proven in a process of their own
def proven_here():
    """Exports are proven in this process, which spares the seconds that another takes to import TensorFlow."""
    from dlkit.serving import export, verify
    from dlkit.serving.prove import prove

    with pytest.MonkeyPatch.context() as patch:
        for module in (export, verify):
            patch.setattr(
                module, "run_proof", lambda path, libraries=(): {"version_dir": str(path), **prove(path, libraries)}
            )
        yield


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused, in one line; gives the line."""

    def refused(*argv):
        capsys.readouterr()
        code = main([str(arg) for arg in argv])
        error = capsys.readouterr().err
        assert code == 2, error
        (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
        assert error.endswith(f"{line}\n")
        assert "Traceback" not in error
        return line

    return refused


@pytest.fixture
def not_trained(refused, tmp_path):
    """Runs a training that must be refused before anything is written; gives the line."""

    def not_trained(task, *argv):
        folder = tmp_path / "must not appear"
        line = refused("train", task, "--save", folder, *argv)
        assert not folder.exists()
        return line

    return not_trained


@pytest.fixture
def typed(monkeypatch):
    """Puts bytes on standard input."""

    def typed(data):
        import io

        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return typed
