"""Checks of saved models: anyone may have written them, so nothing in them is trusted unseen.

Each function raises a ValueError or TypeError that says what is wrong; `dlkit.reading_errors` makes the error of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlkit.stages import Stages

if TYPE_CHECKING:
    from dlkit.columns import Column

_KINDS = {
    "format": int,
    "finished": bool,
    "stages": str,
    "names": list,
    "dlkit": str,
    "task": str,
    "hparams": dict,
    "fitted": dict,
}
_STAGES = ("preprocess", "network", "postprocess", "decode", "judge")
_TEXTS = ("header_", "labels_")  # lists of texts, by which columns and classes go


def check_index(index: Any) -> None:
    """Check the index of a saved model: its fields, their types, and that it refers to no file outside its folder."""
    if not isinstance(index, dict):
        raise TypeError("it is not a JSON object")
    for name, kind in _KINDS.items():
        if name not in index:
            raise ValueError(f"there is no {name!r}")
        if type(index[name]) is not kind:
            raise TypeError(f"{name!r} is of the type {type(index[name]).__name__}, not {kind.__name__}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", index["stages"]):
        raise ValueError(f"'stages' is not the name of a folder in it: {index['stages'][:60]!r}")
    if not set(_STAGES[:3]) <= {*map(str, index["names"])} <= set(_STAGES) or len(index["names"]) > len(_STAGES):
        raise ValueError(f"'names' are not {', '.join(_STAGES[:3])}: {str(index['names'])[:60]}")


def check_learned(learned: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Check the names and JSON types of learned attributes against those of a new task."""
    for name, value in learned.items():
        if not name.endswith("_") or name.startswith("_") or name == "stages_" or name not in known:
            raise ValueError(f"'fitted' has {name[:60]!r}, which this task does not learn")
        default = known[name]
        if default is not None and _json_kind(value) != _json_kind(default):
            raise TypeError(f"{name!r} is {_json_kind(value)}, not {_json_kind(default)}")
        if name in _TEXTS and not all(isinstance(is_text, str) for is_text in value):
            raise TypeError(f"{name!r} holds a value that is not a string")


def _json_kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", dict: "an object"}
    return "nothing" if value is None else kinds.get(type(value), "a list")


def check_stages(stages: Stages, inputs: Mapping[str, Column], answer: Mapping[str, Column]) -> None:
    """Check that each stage finds its inputs, in the right shape, among the raw inputs and the outputs of earlier
    stages.
    """
    known: dict[str, tuple[tuple[int | None, ...], bool]] = {
        name: ((None, *column.shape), column.dtype == "string") for name, column in inputs.items()
    }
    for model in stages.serving_models():
        for side in (model.input, model.output):
            if not isinstance(side, dict):
                raise TypeError(f"the stage {model.name} does not name its tensors")
        for name, tensor in model.input.items():
            shape, is_text = tuple(tensor.shape), tensor.dtype == "string"
            produced = known.get(name)
            if produced is None:
                raise ValueError(f"the stage {model.name} reads {name!r}, which no earlier stage produces")
            if (
                is_text != produced[1]
                or len(shape) != len(produced[0])
                or not all(map(_sizes_match, shape, produced[0]))
            ):
                raise ValueError(
                    f"the stage {model.name} reads {name!r} of shape {shape}, but its shape is {produced[0]}"
                )
        known |= {name: (tuple(tensor.shape), tensor.dtype == "string") for name, tensor in model.output.items()}
    missing = [name for name in answer if name not in known]
    if missing:
        raise ValueError(f"no stage produces the output {missing[0]!r}")


def _sizes_match(size: int | None, other_size: int | None) -> bool:
    return None in (size, other_size) or size == other_size
