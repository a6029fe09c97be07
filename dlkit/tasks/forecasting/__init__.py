"""Forecasting: all that this task alone uses. `task.py` holds the class."""

from __future__ import annotations
