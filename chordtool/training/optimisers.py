"""The optimiser of a run, and what it keeps of each parameter between steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chordtool.training.config import TrainConfig
from chordtool.training.devices import Place
from chordtool.training.muon import Muon
from chordtool.vocabulary import N_CLASSES


def make_optimiser(config: TrainConfig, student: nn.Module, place: Place) -> torch.optim.Optimizer:
    """The optimiser that a configuration names, over all parameters in the student's order."""
    parameters = student.parameters()
    if config.optimiser == "muon":
        return Muon(parameters, config.lr, config.weight_decay, N_CLASSES, place.precision)
    return torch.optim.AdamW(
        parameters,
        lr=config.lr,
        weight_decay=config.weight_decay,
        fused=place.device.type in ("cpu", "cuda") or None,
    )


def empty_slots(optimiser: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """What an optimiser of :func:`make_optimiser` keeps of a parameter, by name and shape."""
    if isinstance(optimiser, Muon):
        return optimiser.slots(parameter)
    return {"exp_avg": parameter, "exp_avg_sq": parameter, "step": torch.zeros(())}
