"""Graphs of their own for what many graphs hold: traced once in a process, and called by each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from dlkit.lazy import tf

TRACING_LOCK = (
    threading.RLock()
)  # of this process: Keras's functions are replaced meanwhile, and eight first answers wait


def trace_function(function: Callable[..., Any], *specs: Any) -> Callable[..., Any]:
    """A function of tensors, traced now: a graph that calls it holds one operation, and is traced as much sooner."""
    with tf.init_scope():  # it is no part of the graph that asks for it first
        return tf.function(function, autograph=False).get_concrete_function(*specs)
