"""A SavedModel in a session, as a server holds it: what the graph does not check is not checked."""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from dlkit.serving.lint import INIT_SIGNATURE, shape_of
from dlkit.serving.reference_examples import Arrays

if TYPE_CHECKING:
    from tensorflow.core.protobuf import meta_graph_pb2


class LoadedSignature:
    """One loaded signature.

    Attributes:
        inputs: name -> shape, None for a free dimension.
        outputs: the names of the outputs, sorted.
    """

    def __init__(self, session: tf.compat.v1.Session, signature: meta_graph_pb2.SignatureDef) -> None:
        self.inputs = {key: shape_of(info) or [] for key, info in sorted(signature.inputs.items())}
        self.outputs = sorted(signature.outputs)
        options = config_pb2.CallableOptions(
            feed=[signature.inputs[key].name for key in self.inputs],
            fetch=[signature.outputs[key].name for key in self.outputs],
        )
        # `tf.saved_model.load` and `Session.run` compare shapes in Python; this hands them on to the graph.
        self._run = session._make_callable_from_options(options)

    def __call__(self, inputs: Arrays) -> Arrays:
        """Runs arrays (strings: object arrays of bytes) of any shape; raises what the graph raises."""
        values = self._run(*[inputs[key] for key in self.inputs])
        return dict(zip(self.outputs, values, strict=True))


@contextlib.contextmanager
def load_signatures(version_dir: pathlib.Path) -> Iterator[dict[str, LoadedSignature]]:
    """Loads a version directory and gives its signatures by name."""
    tf.get_logger().setLevel(logging.ERROR)  # the session loader is said to be deprecated, at length
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(version_dir))
        names = sorted(set(graph.signature_def) - {INIT_SIGNATURE})
        yield {name: LoadedSignature(session, graph.signature_def[name]) for name in names}
