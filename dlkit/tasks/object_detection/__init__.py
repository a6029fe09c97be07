"""Object detection: modules that are used by this task only. `task.py` holds the class."""

from __future__ import annotations
