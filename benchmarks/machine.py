"""Shared by all benchmarks: the location of the data, and a description of the machine."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

DATA = Path(os.environ.get("DLKIT_DATA") or Path(__file__).parent.parent.parent / "shared" / "data")


def print_machine() -> None:
    """Print the line that every benchmark begins with: processor, cores, versions and date."""
    cores = len(os.sched_getaffinity(0))
    versions = [f"python {platform.python_version()}"]
    for package in ("tensorflow", "keras", "torch"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    print(f"{_processor()}, {cores} cores; {', '.join(versions)}; {datetime.date.today()}", flush=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
