"""How far a run has come, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chordtool.models.card import ModelCard
from chordtool.training.config import TrainConfig

ALL_EPOCHS = "all epochs"
EARLY_STOPPING = "early stopping"
TIME = "time"


@dataclass
class RunState:
    """All that decides how a run goes on, beside weights and optimiser; JSON-ready."""

    epoch: int = 0
    """Epochs that are done."""
    batch: int = 0
    """Batches of the present epoch that are done: the loader's position."""
    step: int = 0
    """Steps in all; they seed dropout."""
    plateau_scale: float = 1.0
    """Product of the plateau's factors so far."""
    best_accuracy: float = -1.0
    best_epoch: int = 0
    """Counted from 1; 0 is none yet."""
    epochs_without: int = 0
    """Epochs since the best one."""
    sums: list[float] = field(default_factory=lambda: [0.0] * 6)
    """Of the present epoch: hard loss and count, soft loss and count, correct, labelled."""
    minutes: float = 0.0
    """Time that the run took so far."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One row an epoch."""
    finished: str = ""
    """Why the run is over; empty while it is not."""

    def averages(self, alpha: float) -> tuple[float, float]:
        """Training loss and frame accuracy of the present epoch so far."""
        hard, hard_count, soft, soft_count, correct, labelled = self.sums
        loss = (1 - alpha) * hard / max(hard_count, 1) + alpha * soft / max(soft_count, 1)
        return loss, correct / max(labelled, 1)

    def end_epoch(
        self, row: dict[str, Any], accuracy: float | None, config: TrainConfig
    ) -> bool:  # fmt: skip
        """Note an epoch that is over; decide about the plateau and early stopping.

        Args:
            row: for the history.
            accuracy: on the validation songs; ``None`` without any, then the last is the best.

        Returns:
            whether it is the best so far.
        """
        self.history.append(row)
        self.epoch += 1
        self.batch = 0
        self.sums = [0.0] * 6
        better = accuracy is None or accuracy > self.best_accuracy
        if better:
            self.best_accuracy = -1.0 if accuracy is None else accuracy
            self.best_epoch = self.epoch
            self.epochs_without = 0
        else:
            self.epochs_without += 1
            if config.schedule == "plateau":
                self.plateau_scale *= config.plateau_factor
        if config.patience and self.epochs_without >= config.patience:
            self.finished = EARLY_STOPPING
        elif self.epoch >= config.epochs:
            self.finished = ALL_EPOCHS
        return better


@dataclass(frozen=True)
class Outcome:
    """How a call that trained ended."""

    finished: str
    """:data:`ALL_EPOCHS`, :data:`EARLY_STOPPING`, or :data:`TIME`, after which the same call
    goes on."""
    best_accuracy: float
    """Frame accuracy on the validation songs; -1 without any."""
    best_epoch: int
    """Counted from 1; 0 if no epoch was over."""
    state: RunState
    card: ModelCard
