"""The functional models of a task, and how they are chained by the names of their tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Stages:
    """The functional models of a task. Each reads the tensors that it names and adds its own by name.

    Attributes:
        preprocess: raw input to the network's tensors.
        network: what is trained.
        postprocess: the network's outputs to the answer.
        decode: replaces `network` when answering, for tasks that generate. Its weights are the network's own, in
            their order; those that serve training alone come last in the network, and it lacks them.
        judge: what metrics of answers need, such as a network in whose features images are compared. It is saved with
            the model, and is no part of exports.
    """

    preprocess: keras.Model
    network: keras.Model
    postprocess: keras.Model
    decode: keras.Model | None = None
    judge: keras.Model | None = None

    def serving_models(self) -> tuple[keras.Model, ...]:
        """Return the models that the serving graph chains."""
        return self.preprocess, self.decode or self.network, self.postprocess

    def tensor_names(self) -> set[str]:
        """Return the names of all tensors of the serving graph."""
        models = self.serving_models()
        return set(models[0].input).union(*(model.output for model in models))

    def sync_decode_weights(self) -> None:
        """Copy the network's weights to `decode`, if it has its own copies, as after loading from files."""
        if self.decode is None:
            return
        decode_weights = self.decode.weights
        weights = self.network.weights[: len(decode_weights)]
        if any(copy is not weight for copy, weight in zip(decode_weights, weights, strict=True)):
            self.decode.set_weights([weight.numpy() for weight in weights])


@dataclass(frozen=True)
class MicroBatched:
    """A functional model in a chain that runs on a limited number of rows at a time."""

    model: keras.Model
    rows: int

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.name

    @property
    def input(self) -> Any:
        """Inputs of the model."""
        return self.model.input

    def __call__(self, tensors: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        from dlkit.layers.micro_batches import in_micro_batches

        return in_micro_batches(self.model, tensors, self.rows)


def chain(*models: keras.Model | MicroBatched) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return a function that runs the models in turn, at inference.

    Each model reads the tensors that its inputs name, from the caller's or from those of any model before it, and
    adds its outputs by name: what `preprocess` makes reaches `postprocess` with no plumbing through the network.

    Returns:
        A function from named tensors to those tensors and all that the models made.
    """

    def run(tensors: Mapping[str, Any]) -> dict[str, Any]:
        tensors_so_far = dict(tensors)
        for model in models:
            missing = [name for name in model.input if name not in tensors_so_far]
            if missing:
                raise ValueError(
                    f"{model.name} reads {missing}, which no earlier stage produces: {sorted(tensors_so_far)}."
                )
            tensors_so_far.update(model({name: tensors_so_far[name] for name in model.input}, training=False))
        return tensors_so_far

    return run
