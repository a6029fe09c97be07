"""Values as strict JSON can hold them, and sources without the folders that they lie in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np


def finite(value: Any) -> Any:
    """The same value with null for each number that strict JSON (RFC 8259) does not have: NaN and the infinities."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def name_of(source: Any) -> str:
    """A source without the folders that it lies in: of several, joined by commas, each."""
    parts = [re.split(r"[/\\]", part.rstrip("/\\"))[-1] for part in str(source).split(", ")]
    return ", ".join(parts)


def without_folders(value: Any, source: str) -> Any:
    """Texts, or lists and dicts of them, in which a source stands without the folders that it lies in."""
    if isinstance(value, Mapping):
        return {key: without_folders(item, source) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item, source) for item in value]
    if not isinstance(value, str):
        return value
    for part in source.split(", "):
        value = value.replace(part, name_of(part)) if part else value
    return value
