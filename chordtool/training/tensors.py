"""A batch on its device: augmented, normalised, padded with zeros."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chordtool.frontend import FrontEnd
from chordtool.training import augment
from chordtool.training.config import TrainConfig
from chordtool.training.data import Batch


@dataclass(frozen=True)
class Tensors:
    """What a step works on."""

    features: Tensor
    """float32 [batch, frames, bins], normalised; 0 where padded."""
    labels: Tensor
    """int16 [batch, frames], -1 where unknown or padded."""
    weights: Tensor
    """float32 [batch]"""
    teacher: Tensor | None
    """Logits float32 [batch, frames, classes], or ``None``."""
    has_teacher: Tensor | None
    """bool [batch, frames], or ``None``."""


def to_tensors(
    batch: Batch,
    front_end: FrontEnd,
    device: torch.device,
    *,
    augmented_for: tuple[TrainConfig, int] | None = None,
) -> Tensors:
    """Bring a batch to a device.

    Args:
        batch: from :class:`~chordtool.training.data.Segments`.
        front_end: whose mean and deviation normalise.
        device: where to.
        augmented_for: configuration and epoch, to augment; ``None`` for validation.
    """
    x = torch.from_numpy(batch.features).to(device).float()
    x = x + torch.from_numpy(batch.levels).to(device)[:, None, None]
    lengths = torch.from_numpy(batch.lengths).to(device)
    inside = torch.arange(x.shape[1], device=device) < lengths[:, None]
    draws = None
    if augmented_for is not None and augment.is_on(augmented_for[0]):
        config, epoch = augmented_for
        draws = augment.draw(config, epoch, batch.index, device)
        x = augment.augment(x, draws, config, front_end.bins_per_octave)
    x = (x - front_end.mean) / front_end.std
    if draws is not None and augmented_for is not None:
        x = augment.mask(x, draws, augmented_for[0])
    teacher = has_teacher = None
    if batch.teacher is not None:
        teacher = torch.from_numpy(batch.teacher).to(device)
        has_teacher = inside & torch.from_numpy(batch.has_teacher).to(device)[:, None]
    return Tensors(
        features=x * inside[..., None],
        labels=torch.from_numpy(batch.labels).to(device),
        weights=torch.from_numpy(batch.weights).to(device),
        teacher=teacher,
        has_teacher=has_teacher,
    )
