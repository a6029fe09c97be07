"""Values as strict JSON, and names of sources without their folders."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np


def finite(value: Any) -> Any:
    """Replace numbers that strict JSON (RFC 8259) does not have, NaN and the infinities, by None."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def name_of(source: Any) -> str:
    """Return the name of a source, or of several separated by commas, without folders."""
    parts = [re.split(r"[/\\]", part.rstrip("/\\"))[-1] for part in str(source).split(", ")]
    return ", ".join(parts)


def without_folders(value: Any, source: str) -> Any:
    """Remove the folders of a source from strings, also inside lists and dicts."""
    if isinstance(value, Mapping):
        return {key: without_folders(item, source) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item, source) for item in value]
    if not isinstance(value, str):
        return value
    for part in source.split(", "):
        value = value.replace(part, name_of(part)) if part else value
    return value
