"""Keras layers that Keras, KerasHub and KerasRS lack, one idea a file."""

from __future__ import annotations

from dlkit.lazy import load_tensorflow

load_tensorflow()
