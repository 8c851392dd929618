"""How far a run has come, and how it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chordtool.errors import TrainingError
from chordtool.models.card import ModelCard
from chordtool.training.config import TrainConfig
from chordtool.training.data import Segments
from chordtool.training.progress import COLUMNS

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

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> RunState:
        """Read what ``vars`` gave.

        Raises:
            TypeError, ValueError: it is something else.
        """
        state = cls(**document)
        for name, default in vars(cls()).items():
            value = getattr(state, name)
            if type(value) is not type(default):
                raise TypeError(f"{name} is {value!r}")
            least = -1 if name == "best_accuracy" else 0
            if isinstance(value, int | float) and not (least <= value < math.inf):
                raise ValueError(f"{name} is {value!r}")
        if len(state.sums) != 6 or not all(type(s) is float for s in state.sums):
            raise ValueError("sums are not six numbers")
        for row in state.history:
            if row.keys() != set(COLUMNS) or not all(map(_is_figure, row.values())):
                raise ValueError("history is no table")
        return state

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
    failures: tuple[tuple[str, str], ...] = ()
    """Recordings that could not be used, and why."""
    leads: bool = True
    """Whether this process is the one of the run that speaks."""


def _is_figure(value: object) -> bool:
    return value is None or type(value) in (int, float)


def digests(train: Segments, validation: Segments) -> dict[str, str]:
    """What a state notes of the recordings and labels."""
    return {"data": train.fingerprint(), "validation": validation.fingerprint()}


def require_same(
    document: dict[str, Any], config: TrainConfig, data: dict[str, str], folder: Path
) -> None:
    """Refuse to go on with a run that was begun otherwise.

    Args:
        document: the state that was written.
        config: the run as it is to go on.
        data: :func:`digests` of what it trains on and of what validates it.
        folder: of the run, for the message.

    Raises:
        TrainingError: the state belongs to other settings or data.
        KeyError, TypeError: it is no state.
    """
    # A run from before there was a setting was made as its default has it.
    method = type(config)().method() | document["method"]
    changed = [k for k, v in config.method().items() if method[k] != v]
    if changed:
        raise TrainingError(
            f"The run in {folder} has other settings: {', '.join(sorted(changed)[:4])}.",
            hint="Repeat them to go on, or give --overwrite or another folder to start anew.",
        )
    # A best epoch is the best on the same songs; earlier versions did not note which they were.
    if any(document.get(key, digest) != digest for key, digest in data.items()):
        raise TrainingError(
            f"The recordings or labels changed since the run in {folder} began.",
            hint="Give --overwrite or another folder to start anew.",
        )
