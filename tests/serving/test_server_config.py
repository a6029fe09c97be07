"""Configuration for the server, read back with the server's own message where it is installed."""

import shlex

import pytest
from google.protobuf import text_format

from dlkit.errors import ExportError
from dlkit.serving.server_config import (
    make_serve_commands,
    write_batching_parameters,
    write_models_config,
    write_server_files,
)


def test_models_config(tmp_path):
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    path = write_models_config(
        tmp_path / "models.config",
        {"photos": "/models/photos", "köln": '/models/a "b"'},
        {"photos": {"stable": 3, "canary": 4}},
    )
    parsed = text_format.Parse(path.read_text("utf-8"), config.ModelServerConfig())
    photos, other = parsed.model_config_list.config
    assert (photos.name, photos.base_path, photos.model_platform) == (
        "photos",
        "/models/photos",
        "tensorflow",
    )
    assert dict(photos.version_labels) == {"stable": 3, "canary": 4}
    assert list(photos.model_version_policy.specific.versions) == [3, 4]
    assert (other.name, other.base_path) == ("köln", '/models/a "b"')


def test_models_config_refuses_unknown_names_and_versions(tmp_path):
    path = tmp_path / "models.config"
    with pytest.raises(ExportError, match="at least one model"):
        write_models_config(path, {})
    with pytest.raises(ExportError, match=r"`b`.*has a"):
        write_models_config(path, {"a": "/a"}, {"b": {"x": 1}})
    with pytest.raises(ExportError, match="positive integer"):
        write_models_config(path, {"a": "/a"}, {"a": {"x": 0}})
    assert not path.exists()


def test_batching_parameters(tmp_path):
    path = write_batching_parameters(tmp_path / "b.txt", max_batch_size=64, num_batch_threads=2)
    assert path.read_text().splitlines() == [
        "max_batch_size { value: 64 }",
        "batch_timeout_micros { value: 1000 }",
        "max_enqueued_batches { value: 100 }",
        "num_batch_threads { value: 2 }",
    ]
    with pytest.raises(ExportError, match="max_batch_size=0"):
        write_batching_parameters(path, max_batch_size=0)


def test_commands(exported, contract):
    lines = make_serve_commands(exported.parent, contract, port=9000)
    serve, query = shlex.split(lines["serve"]), shlex.split(lines["query"])
    assert serve[-1] == "tensorflow/serving:2.20.0" and "MODEL_NAME=tiny" in serve
    assert f"{exported.parent}:/models/tiny" in serve and "9000:8501" in serve
    assert query[-1] == "http://localhost:9000/v1/models/tiny:predict"
    assert query[2] == f"@{exported}/assets.extra/request.json"  # too long for a command line
    short = {
        "name": "m",
        "signatures": {"serving_default": {"example": {"rest": {"request": {"instances": ["it's"]}}}}},
    }
    assert shlex.split(make_serve_commands("m", short)["query"])[2] == '{"instances": ["it\'s"]}'


def test_server_files(exported, tmp_path):
    yaml = pytest.importorskip("yaml")
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    line = write_server_files([exported.parent], tmp_path / "server", max_batch_size=8)
    folder = tmp_path / "server"
    parsed = text_format.Parse((folder / "models.config").read_text("utf-8"), config.ModelServerConfig())
    assert [(model.name, model.base_path) for model in parsed.model_config_list.config] == [("tiny", "/models/tiny")]
    monitoring = pytest.importorskip("tensorflow_serving.config.monitoring_config_pb2").MonitoringConfig()
    text_format.Parse((folder / "monitoring.config").read_text(), monitoring)
    assert monitoring.prometheus_config.enable
    settings, deployment, service = yaml.safe_load_all((folder / "kubernetes.yaml").read_text("utf-8"))
    for name in ("models.config", "batching_parameters.txt", "monitoring.config"):
        assert settings["data"][name] == (folder / name).read_text("utf-8")
    assert "max_batch_size { value: 8 }" in settings["data"]["batching_parameters.txt"]
    pod = deployment["spec"]["template"]
    assert pod["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8501",
        "prometheus.io/path": monitoring.prometheus_config.path,
    }
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "tensorflow/serving:2.20.0"
    assert container["readinessProbe"]["httpGet"] == {"path": "/v1/models/tiny", "port": 8501}
    assert {"startupProbe", "livenessProbe"} <= set(container)
    assert pod["metadata"]["labels"] == service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    words = shlex.split(line)
    assert words[-len(container["args"]) :] == container["args"] and "tensorflow/serving:2.20.0" in words
    assert f"{exported.parent}:/models/tiny:ro" in words and f"{folder}:/config:ro" in words


def test_server_files_refuse_what_cannot_be_served(exported, tmp_path):
    with pytest.raises(ExportError, match="a single version"):
        write_server_files([exported], tmp_path / "server")
    with pytest.raises(ExportError, match="same name"):
        write_server_files([exported.parent, exported.parent], tmp_path / "server")
    with pytest.raises(ExportError, match="not a folder"):
        write_server_files([tmp_path / "none"], tmp_path / "server")
    assert not (tmp_path / "server").exists()
