"""Starts the processes that the benchmarks of distributed training measure."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_workers(
    script: str, arguments: Sequence[str], count: int, cores: Sequence[set[int]] = ()
) -> list[subprocess.Popen]:
    """Starts a script in `count` processes that know one another by TF_CONFIG; one alone gets none.

    Args:
        script: the path of a Python file.
        arguments: its arguments.
        count: how many.
        cores: which cores each may use; all where it is empty.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    started = []
    for index in range(count):
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if count > 1:
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment["TF_CONFIG"] = json.dumps(cluster)
        command = [sys.executable, script, *arguments]
        if cores:
            listed = ",".join(map(str, sorted(cores[index])))
            command = ["taskset", "--cpu-list", listed, *command]
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    return started
