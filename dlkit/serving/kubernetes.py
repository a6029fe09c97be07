"""A Kubernetes manifest of a server for exported models: its configuration, the server with probes, and a service."""

from __future__ import annotations

import json
from collections.abc import Mapping

METRICS = "/monitoring/prometheus/metrics"  # where a server tells them; `monitoring.config` says so too
CONFIG, MODELS = "/config", "/models"  # folders as the server sees them
GRPC, REST = 8500, 8501
NAME = "tensorflow-serving"


def server_arguments() -> list[str]:
    """The arguments of `tensorflow_model_server` that read the files of `dlkit server-config`."""
    return [
        f"--port={GRPC}",
        f"--rest_api_port={REST}",
        f"--model_config_file={CONFIG}/models.config",
        "--enable_batching",
        f"--batching_parameters_file={CONFIG}/batching_parameters.txt",
        f"--monitoring_config_file={CONFIG}/monitoring.config",
    ]


def manifest(image: str, model: str, files: Mapping[str, str]) -> str:
    """The manifest, in YAML.

    Args:
        image: of the container, pinned.
        model: one of the served names: the server is ready when that one is. It listens when all are loaded.
        files: name to text of the server's configuration.
    """
    probe = f"{{ httpGet: {{ path: {json.dumps(f'/v1/models/{model}')}, port: {REST} }}, periodSeconds: 5"
    return f"""\
# The exports lie on a volume of your own, the claim `{NAME}-models`: NAME/VERSION for each. Set memory and cores by
# the table of docs/serving.md and by what you measure.
apiVersion: v1
kind: ConfigMap
metadata: {{ name: {NAME} }}
data:
{"".join(_block(name, text) for name, text in files.items())}\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {NAME}, labels: {{ app: {NAME} }} }}
spec:
  replicas: 1
  selector: {{ matchLabels: {{ app: {NAME} }} }}
  template:
    metadata:
      labels: {{ app: {NAME} }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "{REST}"
        prometheus.io/path: {METRICS}
    spec:
      containers:
        - name: {NAME}
          image: {json.dumps(image)}
          command: [tensorflow_model_server]
          args: {json.dumps(server_arguments())}
          ports:
            - {{ name: grpc, containerPort: {GRPC} }}
            - {{ name: rest, containerPort: {REST} }}
          startupProbe: {probe}, failureThreshold: 120 }}
          readinessProbe: {probe} }}
          livenessProbe: {{ tcpSocket: {{ port: {GRPC} }}, periodSeconds: 10, failureThreshold: 6 }}
          volumeMounts:
            - {{ name: models, mountPath: {MODELS}, readOnly: true }}
            - {{ name: config, mountPath: {CONFIG}, readOnly: true }}
      volumes:
        - {{ name: models, persistentVolumeClaim: {{ claimName: {NAME}-models, readOnly: true }} }}
        - {{ name: config, configMap: {{ name: {NAME} }} }}
---
apiVersion: v1
kind: Service
metadata: {{ name: {NAME}, labels: {{ app: {NAME} }} }}
spec:
  selector: {{ app: {NAME} }}
  ports:
    - {{ name: grpc, port: {GRPC}, targetPort: grpc }}
    - {{ name: rest, port: {REST}, targetPort: rest }}
"""


def _block(name: str, text: str) -> str:
    """A file as a literal block of YAML."""
    return f"  {name}: |\n" + "".join(f"    {line}\n" for line in text.splitlines())
