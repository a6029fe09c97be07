"""Predict for raw requests with an export, in a process that imports TensorFlow and not dlkit.

python serve_requests.py VERSION_DIR REQUESTS_JSON [SIGNATURE] prints the predictions as JSON; bytes are latin-1 texts
in both.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

assert "dlkit" not in sys.modules


def main(version: str, path: str, signature: str = "serving_default") -> None:
    requests = json.loads(Path(path).read_text())
    serve = tf.saved_model.load(version).signatures[signature]
    inputs = {}
    for name, spec in serve.structured_input_signature[1].items():
        values = requests[name]
        if spec.shape.rank == 2:
            longest, empty = max(map(len, values)), "" if spec.dtype == tf.string else float("nan")
            values = [[*value, *[empty] * (longest - len(value))] for value in values]
        if spec.dtype == tf.string:
            values = np.vectorize(lambda value: value.encode("latin-1"), otypes=[object])(np.array(values, object))
        inputs[name] = tf.constant(values, spec.dtype)
    answers = {name: tensor.numpy() for name, tensor in serve(**inputs).items()}
    json.dump(
        {name: np.vectorize(plain, otypes=[object])(array).tolist() for name, array in answers.items()}, sys.stdout
    )


def plain(value):
    return value.decode("latin-1") if isinstance(value, bytes) else np.asarray(value).item()


if __name__ == "__main__":
    main(*sys.argv[1:])
