"""Where the real data and the independent tools lie, two devices in every test, and pairs of workers, for all tests."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dlkit.lazy import load_tensorflow
from dlkit.training.strategies import logical_cpus

ROOT = Path(__file__).parent.parent
load_tensorflow()
logical_cpus(
    2
)  # before anything is computed, after which TensorFlow takes no new ones: `mirrored:2` trains in any test


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, `DLKIT_DATA`; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("DLKIT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: set DLKIT_DATA (looked at {folder})")
    return folder


@pytest.fixture(scope="session")
def two_workers():
    """Runs a program as two workers on this machine that know one another by TF_CONFIG; both must end well."""
    return _two_workers


def _two_workers(folder, *argv, timeout=300):
    addresses = _free_addresses(2)
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        env = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
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


def _free_addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses
