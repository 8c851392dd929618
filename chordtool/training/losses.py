"""Losses: on labels, and on a teacher's posteriors with selective weights.

Sums and counts are kept apart so that several processes can divide by what all of them hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from chordtool.training.config import TrainConfig
from chordtool.vocabulary import X_INDEX

IGNORED = -100
"""Class index that torch's cross-entropy leaves out."""
_SURELY_RIGHT = 1e-8
_NO_FRAME = 1e-8
"""Less than any frame counts, so that a mean over none is 0 and all others are means."""


@dataclass(frozen=True)
class LossSums:
    """Sums over the frames of a batch; each is a scalar tensor."""

    hard: Tensor
    """Sum of the loss on labels over the frames with a label."""
    hard_count: Tensor
    """Number of frames with a label, weighted."""
    soft: Tensor
    """Sum of the distillation loss over the frames with a teacher, tau squared included."""
    soft_count: Tensor
    """Number of frames with a teacher, weighted."""
    correct: Tensor
    """Number of labelled frames whose likeliest class is the label."""
    labelled: Tensor
    """Number of frames with a label."""


def usable_labels(labels: Tensor) -> Tensor:
    """Labels as int64 with masked frames (-1, and ``X``) as :data:`IGNORED`; same shape."""
    labels = labels.long()
    return labels.masked_fill((labels < 0) | (labels == X_INDEX), IGNORED)


def cross_entropy_sum(
    logits: Tensor, targets: Tensor, gamma: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy, or focal loss where ``gamma`` is above 0, summed over labelled frames.

    The focal loss of a frame is ``(1 - p)**gamma * -log p`` with p the probability of the label
    (Lin et al., ICCV 2017, without class weights).

    Args:
        logits: [n, classes].
        targets: int64 [n], :data:`IGNORED` where masked.
        weights: float [n], how much each frame counts; all alike if ``None``.
    """
    if gamma == 0.0 and weights is None:
        return F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
    loss = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    if gamma:
        # A frame that is surely right has loss 0, where a power below 1 has no slope.
        wrong = (-torch.expm1(-loss)).clamp(min=_SURELY_RIGHT)
        loss = wrong.pow(gamma) * loss
    return loss.sum() if weights is None else (weights * loss).sum()


def selective_weights(confidence: Tensor) -> Tensor:
    """How much a frame counts in distillation, from the softened teacher's confidence.

    ``w(c) = 0`` for c < 0.1, ``1`` for 0.1 <= c <= 0.9, ``1 - 0.8 * (c - 0.9) / 0.1`` above,
    which is 0.2 at c = 1 (arXiv 2602.19778).

    Args:
        confidence: the largest softened probability of each frame, 0..1, any shape.
    """
    falling = 1.0 - 0.8 * (confidence - 0.9) / 0.1
    weights = torch.where(confidence > 0.9, falling, torch.ones_like(confidence))
    return torch.where(confidence < 0.1, torch.zeros_like(weights), weights)


def distillation_sum(
    student: Tensor,
    teacher: Tensor,
    temperature: float,
    *,
    selective: bool = True,
    seen: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """The teacher's share of the loss, summed over frames.

    ``tau**2 * sum over frames of w(c) * KL(softmax(z_T / tau) || softmax(z_S / tau))`` with
    ``c = max softmax(z_T / tau)`` and w of :func:`selective_weights`, or w = 1 throughout.
    Divided by the number of all frames, those of weight 0 included, it is the selective
    knowledge distillation of arXiv 2602.19778.

    Args:
        student: logits [n, classes].
        teacher: logits or log-probabilities [n, classes], finite.
        temperature: tau.
        selective: whether frames count by the teacher's confidence.
        seen: bool [n], the frames that count at all; all of them if ``None``.
        weights: float [n], how much each frame counts besides; all alike if ``None``.
    """
    log_teacher = F.log_softmax(teacher / temperature, dim=-1)
    log_student = F.log_softmax(student / temperature, dim=-1)
    soft = log_teacher.exp()
    divergence = (soft * (log_teacher - log_student)).sum(-1)
    if selective:
        divergence = divergence * selective_weights(soft.amax(-1))
    if seen is not None:
        # Not by an index: how many there are would have to come back from the device first.
        divergence = divergence * seen
    if weights is not None:
        divergence = divergence * weights
    return temperature**2 * divergence.sum()


def loss_sums(
    logits: Tensor,
    labels: Tensor,
    teacher: Tensor | None,
    has_teacher: Tensor | None,
    config: TrainConfig,
    weights: Tensor | None = None,
    log_prior: Tensor | None = None,
) -> LossSums:
    """All sums of a batch.

    Args:
        logits: [batch, frames, classes], any floating type; computed in float32.
        labels: integer [batch, frames], -1 where masked.
        teacher: log-probabilities [batch, frames, classes], or ``None``.
        has_teacher: bool [batch, frames]: the frames that the teacher has seen.
        config: loss, gamma, alpha, temperature, weighting.
        weights: float [batch], how much each segment counts; all alike if ``None``.
        log_prior: float [classes]: how frequent classes are, for ``config.balance``.
    """
    flat = logits.float().flatten(0, 1)
    targets = usable_labels(labels).flatten()
    known = targets != IGNORED
    gamma = config.focal_gamma if config.loss == "focal" else 0.0
    zero = flat.new_zeros(())
    labelled = known.sum()
    correct = ((flat.detach().argmax(-1) == targets) & known).sum()
    soft, soft_count = zero, zero
    if weights is not None:
        weights = weights[:, None].expand(labels.shape).flatten()
    if teacher is not None and has_teacher is not None and config.kd_alpha > 0:
        seen = has_teacher.flatten()
        soft = distillation_sum(
            flat, teacher.float().flatten(0, 1), config.temperature,
            selective=config.kd_weighting == "selective", seen=seen, weights=weights,
        )  # fmt: skip
        soft_count = _count(seen, weights, flat.dtype)
    hard_count = _count(known, weights, flat.dtype)
    if log_prior is not None and config.balance:
        # Logit adjustment (Menon et al., ICLR 2021): what is frequent anyway need not be learnt.
        flat = flat + config.balance * log_prior
    hard = cross_entropy_sum(flat, targets, gamma, weights)
    return LossSums(hard, hard_count, soft, soft_count, correct, labelled)


def _count(frames: Tensor, weights: Tensor | None, dtype: torch.dtype) -> Tensor:
    """How much some frames count in all: bool [n], weights [n]."""
    return frames.sum().to(dtype) if weights is None else (weights * frames).sum()


def combine(sums: LossSums, hard_count: Tensor, soft_count: Tensor, alpha: float) -> Tensor:
    """``alpha * L_KD + (1 - alpha) * L_hard``, each a mean over the frames that count.

    Where a batch holds no frame of one kind, that term is 0.
    """
    hard = sums.hard / hard_count.clamp(min=_NO_FRAME)
    if alpha == 0.0:
        return hard
    soft = sums.soft / soft_count.clamp(min=_NO_FRAME)
    return alpha * soft + (1.0 - alpha) * hard
