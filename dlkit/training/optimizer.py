"""Optimizers and learning-rate schedules, all of them Keras's, from a task's hparams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.lazy import keras

if TYPE_CHECKING:
    from dlkit.training.trainable import Trainable


def make_optimizer(task: Trainable, network: keras.Model, steps: int) -> keras.optimizers.Optimizer:
    """Make the optimizer of a run of `steps` steps from the task's hyperparameters.

    Weight decay is decoupled (Loshchilov & Hutter, 2017, arXiv:1711.05101) and leaves out vectors: biases and the
    scales of normalization layers.
    """
    common = {
        "learning_rate": make_schedule(task, steps),
        "weight_decay": task.weight_decay or None,
        "global_clipnorm": task.clip_norm or None,
    }
    if task.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=task.momentum, nesterov=task.momentum > 0, **common)
    elif task.optimizer == "rmsprop":
        optimizer = keras.optimizers.RMSprop(momentum=task.momentum, **common)
    else:
        from dlkit.training.fused_adam import FusedAdam

        optimizer = FusedAdam(beta_1=task.momentum, **common)
    if task.weight_decay:
        vectors = [variable for variable in network.trainable_variables if len(variable.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=vectors)
    optimizer.build(network.trainable_variables)  # before anything is frozen: later unfreezing finds its slots
    return optimizer


def make_schedule(task: Trainable, steps: int) -> keras.optimizers.schedules.LearningRateSchedule | float:
    """Make the learning-rate schedule of a run of `steps` steps, with the peak `learning_rate`.

    `constant` and `cosine` rise linearly over the share `warmup` of the steps, then stay or fall to 0.
    `one_cycle` rises from 1/25 of the peak over `warmup` or, where that is 0, 0.3 of the steps and falls as a cosine
    to 0 (Smith & Topin, 2017, arXiv:1708.07120, without the cycle of the momentum).
    """
    peak = task.learning_rate
    share = task.warmup or (0.3 if task.schedule == "one_cycle" else 0.0)
    warm = min(int(share * steps), steps - 1)
    if task.schedule == "constant" and not warm:
        return peak
    return keras.optimizers.schedules.CosineDecay(
        peak / 25 if task.schedule == "one_cycle" else 0.0 if warm else peak,
        decay_steps=max(steps - warm, 1),
        alpha=1.0 if task.schedule == "constant" else 0.0,
        warmup_target=peak if warm else None,
        warmup_steps=warm,
    )
