"""How well a student does on the frames of the validation songs, after each epoch."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from chordtool.frontend import FrontEnd
from chordtool.training.config import TrainConfig
from chordtool.training.devices import Place
from chordtool.training.losses import loss_sums
from chordtool.training.resident import Feed
from chordtool.training.tensors import to_tensors


@torch.no_grad()
def frame_scores(
    student: nn.Module, feed: Feed, front_end: FrontEnd, config: TrainConfig, place: Place
) -> tuple[float, float] | None:
    """Cross-entropy and accuracy over all labelled frames, of which each process does its share.

    Args:
        student: on the device of ``place``; left in training mode.
        feed: of the validation songs.
        front_end: whose mean and deviation normalise.
        config: of the run.
        place: of this process.

    Returns:
        both, accuracy 0..1; ``None`` if no frame has a label.
    """
    plan = feed.segments.epoch(0)
    size = max(1, config.batch_size // place.world)
    mine = range(place.rank, len(plan), place.world)
    parts = [mine[i : i + size] for i in range(0, len(mine), size)]
    plain = replace(config, loss="cross-entropy", kd_alpha=0.0)
    totals = torch.zeros(3, dtype=torch.float64)
    student.eval()
    with feed.batches(plan, parts) as batches:
        for batch in batches:
            data = to_tensors(batch, front_end)
            with place.autocast():
                logits = student(data.features)
            sums = loss_sums(logits, data.labels, None, None, plain)
            totals += torch.stack([sums.hard, sums.correct, sums.labelled]).cpu().double()
    student.train()
    loss, correct, count = place.sum(totals).tolist()
    return (loss / count, correct / count) if count else None
