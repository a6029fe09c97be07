"""Molecular property prediction: the modules that only this task uses. `task.py` holds the class."""

from __future__ import annotations
