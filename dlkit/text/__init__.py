"""Tokenizers as Keras layers in core TensorFlow operations: a stock server runs them as they are."""

from __future__ import annotations

from dlkit.lazy import load_tensorflow

load_tensorflow()
