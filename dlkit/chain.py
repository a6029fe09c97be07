"""Joins functional models by the names of their tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Parted:
    """A functional model of a chain that takes at most so many rows at a time."""

    model: keras.Model
    rows: int

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def input(self) -> Any:
        """The model's."""
        return self.model.input

    def __call__(self, tensors: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        from dlkit.layers.by_parts import by_parts

        return by_parts(self.model, tensors, self.rows)


def chain(*models: keras.Model | Parted) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """One function that runs the models in turn, at inference.

    Each model reads the tensors that its inputs name, from the caller's or from those of any model before it, and
    adds its outputs by name: what `preprocess` makes reaches `postprocess` with no plumbing through the network.

    Returns:
        A function from named tensors to those tensors and all that the models made.
    """

    def run(tensors: Mapping[str, Any]) -> dict[str, Any]:
        known = dict(tensors)
        for model in models:
            missing = [name for name in model.input if name not in known]
            if missing:
                raise ValueError(f"{model.name} reads {missing}, which nothing before it makes: {sorted(known)}.")
            known.update(model({name: known[name] for name in model.input}, training=False))
        return known

    return run
