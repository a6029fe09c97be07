"""Losses that Keras lacks.

A loss of a batch is the mean of its rows' losses, and a row's does not depend on the others: so any number of replicas
gives the same.
"""

from dlkit.lazy import load_tensorflow

load_tensorflow()
