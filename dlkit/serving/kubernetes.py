"""A Kubernetes manifest of a server for exported models: its configuration, the server with probes, and a service."""

from __future__ import annotations

import json
from collections.abc import Mapping

METRICS_PATH = "/monitoring/prometheus/metrics"  # the server's path of Prometheus metrics, as in `monitoring.config`
CONFIG_FOLDER, MODELS_FOLDER = "/config", "/models"  # folders inside the container
GRPC_PORT, REST_PORT = 8500, 8501
APP_NAME = "tensorflow-serving"


def list_server_arguments() -> list[str]:
    """Return the arguments of `tensorflow_model_server` that read the files of `dlkit server-config`."""
    return [
        f"--port={GRPC_PORT}",
        f"--rest_api_port={REST_PORT}",
        f"--model_config_file={CONFIG_FOLDER}/models.config",
        "--enable_batching",
        f"--batching_parameters_file={CONFIG_FOLDER}/batching_parameters.txt",
        f"--monitoring_config_file={CONFIG_FOLDER}/monitoring.config",
    ]


def make_manifest(image: str, model: str, files: Mapping[str, str]) -> str:
    """Return the manifest, in YAML.

    Args:
        image: the container image, with a pinned version.
        model: the name of one model, whose status the probes request; the server listens when all models are loaded.
        files: texts of the server's configuration files by name.
    """
    probe = f"{{ httpGet: {{ path: {json.dumps(f'/v1/models/{model}')}, port: {REST_PORT} }}, periodSeconds: 5"
    return f"""\
# Provide the exports, as NAME/VERSION, in a volume with the claim `{APP_NAME}-models`. Set memory and CPU resources
# based on the table in docs/serving.md and on your own measurements.
apiVersion: v1
kind: ConfigMap
metadata: {{ name: {APP_NAME} }}
data:
{"".join(_block(name, text) for name, text in files.items())}\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {APP_NAME}, labels: {{ app: {APP_NAME} }} }}
spec:
  replicas: 1
  selector: {{ matchLabels: {{ app: {APP_NAME} }} }}
  template:
    metadata:
      labels: {{ app: {APP_NAME} }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "{REST_PORT}"
        prometheus.io/path: {METRICS_PATH}
    spec:
      containers:
        - name: {APP_NAME}
          image: {json.dumps(image)}
          command: [tensorflow_model_server]
          args: {json.dumps(list_server_arguments())}
          ports:
            - {{ name: grpc, containerPort: {GRPC_PORT} }}
            - {{ name: rest, containerPort: {REST_PORT} }}
          startupProbe: {probe}, failureThreshold: 120 }}
          readinessProbe: {probe} }}
          livenessProbe: {{ tcpSocket: {{ port: {GRPC_PORT} }}, periodSeconds: 10, failureThreshold: 6 }}
          volumeMounts:
            - {{ name: models, mountPath: {MODELS_FOLDER}, readOnly: true }}
            - {{ name: config, mountPath: {CONFIG_FOLDER}, readOnly: true }}
      volumes:
        - {{ name: models, persistentVolumeClaim: {{ claimName: {APP_NAME}-models, readOnly: true }} }}
        - {{ name: config, configMap: {{ name: {APP_NAME} }} }}
---
apiVersion: v1
kind: Service
metadata: {{ name: {APP_NAME}, labels: {{ app: {APP_NAME} }} }}
spec:
  selector: {{ app: {APP_NAME} }}
  ports:
    - {{ name: grpc, port: {GRPC_PORT}, targetPort: grpc }}
    - {{ name: rest, port: {REST_PORT}, targetPort: rest }}
"""


def _block(name: str, text: str) -> str:
    """Format a file as a literal block of YAML."""
    return f"  {name}: |\n" + "".join(f"    {line}\n" for line in text.splitlines())
