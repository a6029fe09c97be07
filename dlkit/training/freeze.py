"""Freezing layers, and unfreezing them gradually during training."""

from __future__ import annotations

import math

from dlkit.errors import HparamError
from dlkit.hparams import nearest
from dlkit.lazy import keras
from dlkit.options import option


def list_weighted_layers(network: keras.Model) -> list[keras.layers.Layer]:
    """List the layers that hold weights themselves, in the network's order, inside nested models too."""
    layers = []
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            layers += list_weighted_layers(layer)
        elif layer.weights:
            layers.append(layer)
    return layers


def freeze(network: keras.Model, upto: str) -> list[keras.layers.Layer]:
    """Make the first layers of a network untrainable.

    Args:
        upto: "" for none; a number of layers; "backbone" for all layers of the nested model of that name, or else of
            the innermost one; or the name of the last layer to freeze.

    Returns:
        The frozen layers, first to last.

    Raises:
        HparamError: no layer has this name, or no layer would be left to train.
    """
    layers = list_weighted_layers(network)
    names = [layer.name for layer in layers]
    if not upto:
        return []
    if upto.isdecimal():
        count = int(upto)
    elif upto == "backbone" and _find_backbone(network) is not None:
        last = list_weighted_layers(_find_backbone(network))[-1]
        count = next(place for place, layer in enumerate(layers) if layer is last) + 1
    elif upto in names:
        count = names.index(upto) + 1
    else:
        raise HparamError(f"{option('freeze')} is not a layer with weights: {upto!r}. {nearest(upto, names)}")
    if count >= len(layers):
        raise HparamError(
            f"{option('freeze', upto)} leaves nothing to train: the network has {len(layers)} layers with weights."
        )
    for layer in layers[:count]:
        layer.trainable = False
    return layers[:count]


def _find_backbone(network: keras.Model) -> keras.Model | None:
    """Return the nested model called "backbone"; otherwise the innermost first nested model, or None if there is
    none. A backbone may contain another one: KerasHub's RetinaNetBackbone adds a new feature pyramid to its own."""
    inner = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    named = next((layer for layer in inner if layer.name == "backbone"), None)
    if not inner:
        return None
    return _find_backbone(named or inner[0]) or named or inner[0]


def make_unfreezing_callback(frozen: list[keras.layers.Layer], every: int) -> keras.callbacks.Callback:
    """Make a callback that unfreezes the topmost quarter of the frozen layers every `every` epochs.

    After Howard & Ruder, 2018, arXiv:1801.06146, section 3.3, by quarters instead of single layers.
    """
    group = math.ceil(len(frozen) / 4)

    class Unfreeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            still = max(len(frozen) - group * (epoch // every), 0)
            if all(layer.trainable for layer in frozen[still:]):
                return
            for layer in frozen[still:]:
                layer.trainable = True
            self.model.make_train_function(force=True)  # the step was traced with fewer trainable variables

    return Unfreeze()
