"""A batch on its device: augmented, normalised, padded with zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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


@dataclass(frozen=True)
class OnDevice:
    """A batch as :class:`~chordtool.training.data.Batch` has it, on its device."""

    features: Tensor
    """float16 [batch, frames, bins], not normalised."""
    labels: Tensor
    """int16 [batch, frames], -1 where unknown or padded."""
    lengths: Tensor
    """int64 [batch]: frames that are not padding."""
    weights: Tensor
    """float32 [batch]: how much each segment counts."""
    levels: Tensor
    """float32 [batch]: to be added to the features, because of a pitch shift."""
    teacher: Tensor | None
    """Logits float32 [batch, frames, classes], or ``None``."""
    has_teacher: Tensor
    """bool [batch]"""
    augmented: Tensor
    """bool [batch]: the segments that augmentation changes."""
    index: NDArray[np.int64]
    """[batch]: position of each segment in its epoch, which seeds its augmentation."""

    @classmethod
    def copy(cls, batch: Batch, device: torch.device) -> OnDevice:
        """Bring a batch to a device."""

        def there(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device)

        return cls(
            there(batch.features), there(batch.labels), there(batch.lengths), there(batch.weights),
            there(batch.levels), None if batch.teacher is None else there(batch.teacher),
            there(batch.has_teacher), there(batch.augmented), batch.index,
        )  # fmt: skip


def to_tensors(
    batch: OnDevice, front_end: FrontEnd, *, augmented_for: tuple[TrainConfig, int] | None = None
) -> Tensors:
    """Augment and normalise a batch.

    Args:
        batch: on its device.
        front_end: whose mean and deviation normalise.
        augmented_for: configuration and epoch, to augment; ``None`` for validation.
    """
    device = batch.features.device
    x = batch.features.float() + batch.levels[:, None, None]
    inside = torch.arange(x.shape[1], device=device) < batch.lengths[:, None]
    draws = None
    if augmented_for is not None and augment.is_on(augmented_for[0]):
        config, epoch = augmented_for
        draws = augment.draw(config, epoch, batch.index, device)
        changed = augment.augment(
            _quietly_padded(x, inside), draws, config, front_end.bins_per_octave
        )
        x = torch.where(batch.augmented[:, None, None], changed, x)
    x = (x - front_end.mean) / front_end.std
    if draws is not None and augmented_for is not None:
        masked = augment.mask(x, draws, augmented_for[0])
        x = torch.where(batch.augmented[:, None, None], masked, x)
    taught = batch.teacher is not None
    return Tensors(
        features=x * inside[..., None],
        labels=batch.labels,
        weights=batch.weights,
        teacher=batch.teacher,
        has_teacher=inside & batch.has_teacher[:, None] if taught else None,
    )


def _quietly_padded(x: Tensor, inside: Tensor) -> Tensor:
    """Features whose padding is as quiet as their quietest bin.

    Padding is 0, which as a log magnitude is loud: noise and what rings on would be measured by it.

    Args:
        x: log magnitudes [batch, frames, bins].
        inside: bool [batch, frames], false where padded.
    """
    quietest = x.masked_fill(~inside[..., None], torch.inf).amin((1, 2), keepdim=True)
    return torch.where(inside[..., None], x, quietest)
