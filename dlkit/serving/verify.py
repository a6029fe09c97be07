"""Runs the proof of an export in a process of its own. Imports no TensorFlow."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
from collections.abc import Sequence

from dlkit.child_process import child_environment, python_command
from dlkit.errors import ExportError
from dlkit.reading_errors import as_data_error

_KINDS: dict[str, type] = {"signatures": dict, "libraries": list, "ops_beyond_core": list}
FORMAT = 2  # of dlkit.json


def verify(directory: str | os.PathLike, libraries: Sequence[str] = ()) -> dict:
    """Proves an export that is on disk: the graph's nodes, the reference example answers, wrong requests.

    Args:
        directory: a version directory, or the folder above, of which the highest version is taken.
        libraries: packages whose operations the graph may need, beyond those that dlkit knows. What else the export
            names is not imported: it may be anyone's.

    Returns:
        The report of `dlkit.serving.prove`, with `version_dir`.

    Raises:
        ExportError: if it is not an export of dlkit, or if the proof fails; the message names each finding.
    """
    path = find_version_directory(directory)
    report = run_proof(path, libraries)
    if not report["ok"]:
        raise ExportError(f"{path} cannot be served:\n- " + "\n- ".join(report["problems"]))
    return report


def find_version_directory(directory: str | os.PathLike) -> pathlib.Path:
    """The version directory that a path means, after a look at its contract.

    Raises:
        ExportError: if there is none, or if a newer dlkit wrote it.
    """
    path = pathlib.Path(directory)
    if not path.is_dir():
        raise ExportError(f"{path} is not a folder. Give a folder that `export` wrote, or one of its versions.")
    if not (path / "saved_model.pb").is_file():
        versions = [entry for entry in path.iterdir() if entry.name.isdecimal() and entry.is_dir()]
        if not versions:
            raise ExportError(
                f"{path} holds neither a saved_model.pb nor numbered versions: it is not an exported model. Give a "
                "folder that `export` wrote."
            )
        path = max(versions, key=lambda entry: int(entry.name))
        if not (path / "saved_model.pb").is_file():
            raise ExportError(f"{path} has no saved_model.pb: it is not an exported model. Remove it and export again.")
    read_contract(path)
    return path


def read_contract(version_dir: pathlib.Path) -> dict:
    """Reads `assets.extra/dlkit.json`.

    Raises:
        ExportError: if it is missing, not JSON, or of another format.
    """
    file = pathlib.Path(version_dir) / "assets.extra" / "dlkit.json"
    if not file.exists():
        raise ExportError(f"{version_dir} is a SavedModel that dlkit did not export: {file} is missing.")
    with as_data_error(file, "what `export` writes", "It is corrupt: export the model again.", error=ExportError):
        contract = json.loads(file.read_text("utf-8"))
        number = int(contract["format"])
        if number != FORMAT:
            written = contract.get("versions", {}).get("dlkit", "unknown")
            cure = "Upgrade dlkit." if number > FORMAT else "Export the model again, or verify it with that version."
            raise ExportError(
                f"{file} has format {number}, written by dlkit {written}; this dlkit reads format {FORMAT}. {cure}"
            )
        held = {name: contract.get(name, kind()) for name, kind in _KINDS.items()}
        for name, kind in _KINDS.items():
            if not isinstance(held[name], kind):
                raise TypeError(f"{name!r} is of the type {type(held[name]).__name__}, not {kind.__name__}")
        if not all(isinstance(value, dict) for value in held["signatures"].values()):
            raise TypeError("a signature is not a JSON object")
        if not all(isinstance(name, str) for name in (*held["libraries"], *held["ops_beyond_core"])):
            raise TypeError("a package or an operation is not a string")
        return contract


def run_proof(version_dir: pathlib.Path, libraries: Sequence[str] = ()) -> dict:
    """Runs `dlkit.serving.prove` on a version directory in a child process and returns its report.

    `libraries` are the packages that it may import, beyond those that dlkit knows. A child that dies becomes a failed
    report that says during which step.
    """
    environment = child_environment(TF_CPP_MIN_LOG_LEVEL="3")
    environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # this process may hold most of the GPU's memory
    path = str(pathlib.Path(version_dir).resolve())
    command = python_command(
        "-m", "dlkit.serving.prove", "--worker", *(f"--library={name}" for name in libraries), path
    )
    child = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    lines = child.stdout.splitlines()
    reports = [line for line in lines if line.startswith("report: ")]
    if child.returncode == 0 and reports:
        report = json.loads(reports[-1].removeprefix("report: "))
    else:
        steps = [line.removeprefix("progress: ") for line in lines if line.startswith("progress: ")]
        report = {"ok": False, "problems": [_describe_crash(child, steps)], "signatures": {}, "seconds": 0.0}
    return {"version_dir": str(version_dir), **report}


def _describe_crash(child: subprocess.CompletedProcess, steps: list[str]) -> str:
    during = steps[-1] if steps else "start-up"
    said = [line for line in child.stderr.strip().splitlines() if line.strip()]
    fatal = [line for line in said if re.match(r"F\d{4} |Fatal", line)]  # an abort prints its stack below this
    detail = f" Its output: {(fatal or said)[-1][:300]}" if said else ""
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        return f"the verification process was killed by {name} during: {during}. A server would crash as well.{detail}"
    return f"the verification exited with code {child.returncode} during: {during}.{detail}"
