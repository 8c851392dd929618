"""The learning rate: a function of how far the run has come, and of the plateau so far."""

from __future__ import annotations

import math

from chordtool.training.config import TrainConfig


def learning_rate(config: TrainConfig, epoch: float, plateau_scale: float = 1.0) -> float:
    """The learning rate at a point of the run.

    - All schedules: linear from ``lr_start`` to ``lr`` over ``warmup_epochs``.
    - ``cosine``: from there along half a cosine to ``lr_end`` at ``epochs``.
    - ``plateau``: ``lr * plateau_scale``, not below ``lr_end``.
    - ``constant``: ``lr``.

    Args:
        config: the run.
        epoch: epochs done, with the fraction of the present one, 0..epochs.
        plateau_scale: product of the plateau's factors so far.
    """
    if epoch < config.warmup_epochs:
        return config.lr_start + (config.lr - config.lr_start) * epoch / config.warmup_epochs
    if config.schedule == "constant":
        return config.lr
    if config.schedule == "plateau":
        return max(config.lr * plateau_scale, min(config.lr_end, config.lr))
    left = config.epochs - config.warmup_epochs
    progress = min(1.0, (epoch - config.warmup_epochs) / left) if left > 0 else 1.0
    return config.lr_end + (config.lr - config.lr_end) * 0.5 * (1.0 + math.cos(math.pi * progress))
