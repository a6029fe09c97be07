"""Start the processes that the benchmarks of distributed training measure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from dlkit.cli.launch import worker_environments


def start_workers(
    script: str, arguments: Sequence[str], count: int, cores: Sequence[set[int]] = ()
) -> list[subprocess.Popen]:
    """Start a script in `count` processes that know one another by TF_CONFIG; one alone gets none.

    Args:
        script: the path of a Python file.
        arguments: its arguments.
        count: how many.
        cores: which cores each may use; all where it is empty.
    """
    started = []
    for index, environment in enumerate(worker_environments(count) if count > 1 else [dict(os.environ)]):
        environment["PYTHONUNBUFFERED"] = "1"
        command = [sys.executable, script, *arguments]
        if cores:
            listed = ",".join(map(str, sorted(cores[index])))
            command = ["taskset", "--cpu-list", listed, *command]
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    return started
