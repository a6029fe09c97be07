"""Configuration files and command lines for `tensorflow_model_server`. Imports no TensorFlow."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
from collections.abc import Sequence

from dlkit.errors import ExportError
from dlkit.serving.kubernetes import (
    CONFIG_FOLDER,
    GRPC_PORT,
    METRICS_PATH,
    MODELS_FOLDER,
    REST_PORT,
    list_server_arguments,
    make_manifest,
)
from dlkit.serving.verify import find_version_directory

_MAX_INLINE_BODY = 200  # characters of a request body that still reads well on a command line
DOCKER_IMAGE = "tensorflow/serving:2.20.0"  # pinned: what reads WebP in one release may not in another


def write_models_config(
    path: str | os.PathLike,
    models: dict[str, str | os.PathLike],
    labels: dict[str, dict[str, int]] | None = None,
) -> pathlib.Path:
    """Writes a `models.config` for `--model_config_file`.

    Args:
        path: the file.
        models: served name -> base directory, as the server sees it (in a container: /models/NAME).
        labels: served name -> label -> version, such as `{"photos": {"stable": 3, "canary": 4}}`. The
            labeled versions are kept loaded; a server needs --allow_version_labels_for_unavailable_models to
            start with them.

    Raises:
        ExportError: for no model, a label of an unknown model, or a version that is no positive integer.
    """
    labels = labels or {}
    if not models:
        raise ExportError("`models` must contain at least one model. Received: {}.")
    for name in labels:
        if name not in models:
            raise ExportError(f"`labels` names the model `{name}`, `models` has {', '.join(sorted(models))}.")
    entries = [_model_entry(name, base, labels.get(name, {})) for name, base in models.items()]
    path = pathlib.Path(path)
    path.write_text("model_config_list {\n" + "".join(entries) + "}\n", "utf-8")
    return path


def _model_entry(name: str, base: str | os.PathLike, labels: dict[str, int]) -> str:
    lines = [
        f"name: {_quoted(name)}",
        f"base_path: {_quoted(os.fspath(base))}",
        'model_platform: "tensorflow"',
    ]
    for label, version in labels.items():
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise ExportError(f"The version of label `{label}` must be a positive integer. Received: {version!r}.")
    if labels:
        versions = " ".join(f"versions: {version}" for version in sorted(set(labels.values())))
        lines.append(f"model_version_policy {{ specific {{ {versions} }} }}")
        lines += [f"version_labels {{ key: {_quoted(label)} value: {version} }}" for label, version in labels.items()]
    return "  config {\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def write_batching_parameters(
    path: str | os.PathLike,
    *,
    max_batch_size: int = 32,
    batch_timeout_micros: int = 1000,
    max_enqueued_batches: int = 100,
    num_batch_threads: int | None = None,
) -> pathlib.Path:
    """Writes a `batching_parameters.txt` for `--enable_batching --batching_parameters_file`.

    Args:
        path: the file.
        max_batch_size: most rows that are run together.
        batch_timeout_micros: the longest that a request waits for others.
        max_enqueued_batches: how many may wait before requests are turned away.
        num_batch_threads: batches that run at once; by default this machine's cores.

    Raises:
        ExportError: for a value that is no positive integer (the timeout may be 0).
    """
    values = {
        "max_batch_size": max_batch_size,
        "batch_timeout_micros": batch_timeout_micros,
        "max_enqueued_batches": max_enqueued_batches,
        "num_batch_threads": num_batch_threads if num_batch_threads is not None else os.cpu_count() or 1,
    }
    for name, value in values.items():
        least = 0 if name == "batch_timeout_micros" else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ExportError(f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}.")
    path = pathlib.Path(path)
    path.write_text("".join(f"{name} {{ value: {value} }}\n" for name, value in values.items()), "utf-8")
    return path


def write_monitoring_config(path: str | os.PathLike) -> pathlib.Path:
    """Writes a `monitoring.config` for `--monitoring_config_file`: Prometheus reads metrics on the REST port."""
    path = pathlib.Path(path)
    path.write_text(f"prometheus_config {{ enable: true path: {_quoted(METRICS_PATH)} }}\n", "utf-8")
    return path


def write_server_files(
    directories: Sequence[str | os.PathLike], output: str | os.PathLike, *, image: str = DOCKER_IMAGE, **batching: int
) -> str:
    """Writes what a server of several exports reads, and a Kubernetes manifest that holds the same.

    Args:
        directories: folders that `export` wrote; the server sees each as /models/NAME.
        output: the folder for `models.config`, `batching_parameters.txt`, `monitoring.config` and `kubernetes.yaml`.
        image: of the server; pinned by default.
        batching: as `write_batching_parameters` takes it.

    Returns:
        The line that starts such a server with Docker.

    Raises:
        ExportError: one is no export, two have one name, or a value is out of range.
    """
    bases: dict[str, pathlib.Path] = {}
    for directory in directories:
        find_version_directory(directory)  # refuses what is none
        base = pathlib.Path(directory).absolute()
        if (base / "saved_model.pb").is_file():
            raise ExportError(
                f"{directory} is a single version. Give its parent folder, whose newest version is served."
            )
        if base.name in bases:
            raise ExportError(f"{bases[base.name]} and {base} would have the same name on the server. Rename one.")
        bases[base.name] = base
    output = pathlib.Path(output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    files = [
        write_models_config(output / "models.config", {name: f"{MODELS_FOLDER}/{name}" for name in bases}),
        write_batching_parameters(output / "batching_parameters.txt", **batching),
        write_monitoring_config(output / "monitoring.config"),
    ]
    texts = {file.name: file.read_text("utf-8") for file in files}
    (output / "kubernetes.yaml").write_text(make_manifest(image, next(iter(bases)), texts), "utf-8")
    line = [
        "docker",
        "run",
        "--rm",
        "-p",
        f"{GRPC_PORT}:{GRPC_PORT}",
        "-p",
        f"{REST_PORT}:{REST_PORT}",
        "-v",
        f"{output}:{CONFIG_FOLDER}:ro",
    ]
    for name, base in bases.items():
        line += ["-v", f"{base}:{MODELS_FOLDER}/{name}:ro"]
    return shlex.join([*line, "--entrypoint", "tensorflow_model_server", image, *list_server_arguments()])


def make_serve_commands(directory: str | os.PathLike, contract: dict, *, port: int = 8501) -> dict[str, str]:
    """The lines that serve an export with Docker and query it: `{"serve", "query"}`.

    Args:
        directory: the base directory.
        contract: its `dlkit.json`.
        port: of the REST interface.
    """
    base, name = pathlib.Path(directory).absolute(), contract["name"]
    rest = contract["signatures"]["serving_default"]["example"]["rest"]
    body = json.dumps(rest["request"], ensure_ascii=False)
    if len(body) > _MAX_INLINE_BODY:
        body = f"@{find_version_directory(base) / 'assets.extra' / 'request.json'}"
    serve = [
        "docker",
        "run",
        "--rm",
        "-p",
        f"{port}:8501",
        "-v",
        f"{base}:/models/{name}",
        "-e",
        f"MODEL_NAME={name}",
    ]
    query = ["curl", "-d", body, f"http://localhost:{port}/v1/models/{name}:predict"]
    return {"serve": shlex.join([*serve, DOCKER_IMAGE]), "query": shlex.join(query)}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # the text format of protobuf escapes as JSON does
