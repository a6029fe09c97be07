"""TensorFlow and Keras, imported on first use: the import takes seconds, and `--help` must not wait for it."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import keras_rs
    import tensorflow as tf
    from keras import layers as layers
    from keras import ops as ops


_import_lock = threading.RLock()  # TensorFlow's modules import one another in circles: two threads would see halves
_imported: set[str] = set()  # the modules that are there in whole


class _LazyModule:
    """Stands for a module until one of its attributes is accessed."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if self._name not in _imported:
            with _import_lock:
                load_tensorflow()
                # Keras draws the seeds of weights from `random`, and so does keras_rs (0.4) while it is imported: the
                # first model of a process would differ from the next.
                random_state = random.getstate()
                importlib.import_module(self._name)
                random.setstate(random_state)
                _imported.add(self._name)
        return getattr(sys.modules[self._name], attribute)


def load_tensorflow() -> None:
    """Import TensorFlow without the startup messages of its C++ libraries, which no log level suppresses.

    They come before the logging library is initialised and go straight to file descriptor 2, so that is where they
    are held back. They are printed after all if the import fails.
    """
    if "tensorflow" in _imported:
        return
    with _import_lock:
        if "tensorflow" in _imported:  # another thread has done it meanwhile
            return
        if "tensorflow" not in sys.modules:
            # At 2, oneDNN's complaint about joining integers on some processors would pass. What fails raises, at any
            # level.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            with _buffer_stderr():
                tensorflow = importlib.import_module("tensorflow")
                tensorflow.get_logger().setLevel("ERROR")  # its warnings on retracing count all models together
                tensorflow.config.list_physical_devices()  # looks for a GPU, and complains where there is none
        else:
            importlib.import_module("tensorflow")  # by the program's own import, which another thread may be in
        _imported.add("tensorflow")


@contextlib.contextmanager
def _buffer_stderr() -> Iterator[None]:
    sys.stderr.flush()
    with tempfile.TemporaryFile() as buffer:
        stderr = os.dup(2)
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except BaseException:
            buffer.seek(0)
            os.write(stderr, buffer.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


if not TYPE_CHECKING:
    tf = _LazyModule("tensorflow")
    keras = _LazyModule("keras")
    layers = _LazyModule("keras.layers")
    ops = _LazyModule("keras.ops")
    keras_rs = _LazyModule("keras_rs")
