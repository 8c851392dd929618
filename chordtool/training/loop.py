"""The training loop: it reads from top to bottom like the method's description.

A step's randomness is a function of the seed and the step's number, and the loader's position
is a number too. What a run needs to go on is therefore small, and a run that was killed ends
with the weights of one that was not.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from chordtool.errors import TrainingError
from chordtool.models.card import ModelCard
from chordtool.training import augment, checkpoint
from chordtool.training.config import TrainConfig
from chordtool.training.data import Batch, Prefetcher, Segments
from chordtool.training.devices import Place
from chordtool.training.losses import combine, loss_sums
from chordtool.training.progress import Listener, Silent, write_metrics
from chordtool.training.schedule import learning_rate


@dataclass
class Progress:
    """How far a run has come: JSON-ready, and all that decides how it goes on."""

    epoch: int = 0
    batch: int = 0
    """Batches of the present epoch that are done."""
    step: int = 0
    plateau_scale: float = 1.0
    best_accuracy: float = -1.0
    best_epoch: int = 0
    epochs_without: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * 5)
    """Of the present epoch: hard loss and count, soft loss and count, correct."""
    minutes: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    finished: str = ""
    """Why the run is over; empty while it is not."""


@dataclass(frozen=True)
class Outcome:
    """How a call of :func:`train` ended."""

    finished: str
    """``"all epochs"``, ``"early stopping"``, or ``"time"`` if the run can still go on."""
    best_accuracy: float
    best_epoch: int
    """Counted from 1."""
    progress: Progress
    card: ModelCard


class Trainer:
    """One run.

    Args:
        config: the run.
        student: takes normalised features [batch, frames, bins], returns logits.
        card: of the student, with the front end's mean and deviation filled in.
        train: segments to learn from.
        validation: segments to validate on; may be empty.
        place: device and processes.
        folder: where checkpoints go.
        listener: who is told.
    """

    def __init__(
        self,
        config: TrainConfig,
        student: nn.Module,
        card: ModelCard,
        train: Segments,
        validation: Segments,
        place: Place,
        folder: Path,
        listener: Listener | None = None,
    ) -> None:
        self.config, self.card, self.place, self.folder = config, card, place, folder
        self.train_segments, self.validation = train, validation
        self.listener: Listener = listener or Silent()
        self.progress = Progress()
        self.student = student.to(place.device)
        self.names = [name for name, _ in self.student.named_parameters()]
        self.optimiser = torch.optim.AdamW(
            self.student.parameters(), lr=config.lr, weight_decay=config.weight_decay,
            fused=place.device.type in ("cpu", "cuda"),
        )  # fmt: skip
        self.averaged: dict[str, Tensor] = {}
        if config.ema_decay:
            self.averaged = {k: v.detach().clone() for k, v in self._weights().items()}
        self._forward: Callable[[Tensor], Tensor] = self.student
        if place.world > 1:
            self._forward = DistributedDataParallel(self.student)
        self._scaler = torch.amp.GradScaler(enabled=place.precision == torch.float16)
        self._stop_asked = False

    # Resume

    def resume(self) -> bool:
        """Go on from the state in the folder; ``False`` if there is none.

        Raises:
            TrainingError: the state is broken, or belongs to other settings or data.
        """
        path = self.folder / checkpoint.STATE
        if not path.exists():
            return False
        state, card, tensors = checkpoint.load_state(path)
        changed = sorted(
            k for k, v in self.config.method().items() if state["method"].get(k, v) != v
        )
        if changed:
            raise TrainingError(
                f"The run in {self.folder} has other settings: {', '.join(changed[:4])}.",
                hint="Repeat them to go on, or give --overwrite or another folder to start anew.",
            )
        if state["data"] != self.train_segments.fingerprint():
            raise TrainingError(
                f"The recordings or labels changed since the run in {self.folder} began.",
                hint="Give --overwrite or another folder to start anew.",
            )
        weights = checkpoint.part(tensors, "weights.")
        checkpoint.load_weights(self.student, card, weights, self.card.architecture)
        checkpoint.restore_optimiser(self.optimiser, self.names, tensors)
        averaged = checkpoint.part(tensors, "averaged.")
        self.averaged = {k: averaged[k].to(self.place.device) for k in self.averaged}
        self.progress = Progress(**state["progress"])
        self._scaler.load_state_dict(state["scaler"])
        return True

    def save(self) -> None:
        """Write the state of the run."""
        if self.place.leads:
            state = {
                "method": self.config.method(),
                "data": self.train_segments.fingerprint(),
                "progress": vars(self.progress),
                "scaler": self._scaler.state_dict(),
            }
            checkpoint.save_state(
                self.folder / checkpoint.STATE, self._weights(), self.averaged,
                self.optimiser, self.names, state, self.card,
            )  # fmt: skip

    # The run

    def run(self) -> Outcome:
        """Train until the last epoch, early stopping, or the time limit.

        Raises:
            TrainingError: the loss is not finite; the last good state is kept.
            KeyboardInterrupt: SIGINT or SIGTERM came; the state was saved.
        """
        self._begun = self._saved = time.monotonic()
        self._minutes_before = self.progress.minutes
        progress = self.progress
        with self._signals():
            if progress.step == 0:
                self.save()
            while not progress.finished:
                if not self._epoch():
                    return self._stopped()
                self._end_epoch()
        return Outcome(
            progress.finished, progress.best_accuracy, progress.best_epoch, progress, self.card
        )

    def _epoch(self) -> bool:
        """Train to the end of the epoch; ``False`` if it was told to stop before."""
        config, progress, place = self.config, self.progress, self.place
        plan = self.train_segments.epoch(progress.epoch)
        n_batches = max(1, len(plan) // config.batch_size)
        last = len(plan) if len(plan) < config.batch_size else n_batches * config.batch_size

        def jobs(first_batch: int) -> Iterator[Callable[[], Batch]]:
            for number in range(first_batch, n_batches):
                first = number * config.batch_size + place.rank
                stop = min(last, (number + 1) * config.batch_size)
                yield partial(self.train_segments.gather, plan, first, stop, place.world)

        self.student.train()
        self._epoch_begun, self._epoch_first = time.monotonic(), progress.batch
        loader = Prefetcher(jobs(progress.batch))
        try:
            told = time.monotonic()
            for batch in loader:
                self._step(batch, progress.epoch + progress.batch / n_batches)
                progress.batch += 1
                progress.step += 1
                if time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    self._tell(n_batches)
                if self._halted():
                    return False
                self._save_if_due(n_batches)
        finally:
            loader.close()
        self._loading_share = loader.waited_seconds / max(
            1e-9, time.monotonic() - self._epoch_begun
        )
        return True

    def _step(self, batch: Batch, epoch: float) -> None:
        config, place, progress = self.config, self.place, self.progress
        torch.manual_seed(_mix(config.seed, progress.step, place.rank))
        lr = learning_rate(config, epoch, progress.plateau_scale)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        features, labels, teacher, seen, weights = self._tensors(batch, progress.epoch)
        with place.autocast():
            logits = self._forward(features)
        sums = loss_sums(logits, labels, teacher, seen, config, weights)
        # Every process divides by what all hold, times their number, because gradients are
        # averaged over processes and not added.
        totals = place.sum(
            torch.stack([sums.hard.detach(), sums.hard_count, sums.soft.detach(), sums.soft_count,
                         sums.correct.float(), sums.labelled.float(),
                         torch.tensor(float(self._stop_asked), device=place.device)])
        )  # fmt: skip
        share = 1.0 / place.world
        loss = combine(sums, totals[1] * share, totals[3] * share, config.kd_alpha)
        self.optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.student.parameters(), config.clip_norm or math.inf)
        numbers = torch.cat([totals, norm.detach().float().reshape(1)]).tolist()
        self._check_finite(numbers, batch)
        self._scaler.step(self.optimiser)
        self._scaler.update()
        self._average()
        for i in range(4):
            progress.sums[i] += numbers[i]
        progress.sums[4] += numbers[4]
        self._stop_asked = numbers[6] > 0
        self._lr = lr

    def _tensors(
        self, batch: Batch, epoch: int, augmented: bool = True
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor]:
        """A batch on the device: features augmented and normalised, padding zero."""
        device, front_end = self.place.device, self.card.front_end
        x = torch.from_numpy(batch.features).to(device).float()
        lengths = torch.from_numpy(batch.lengths).to(device)
        inside = torch.arange(x.shape[1], device=device) < lengths[:, None]
        draws = None
        if augmented and augment.is_on(self.config):
            draws = augment.draw(self.config, epoch, batch.index, device)
            x = augment.augment(x, draws, self.config)
        x = (x - front_end.mean) / front_end.std
        if draws is not None:
            x = augment.mask(x, draws, self.config)
        x = x * inside[..., None]
        labels = torch.from_numpy(batch.labels).to(device)
        weights = torch.from_numpy(batch.weights).to(device)
        if batch.teacher is None:
            return x, labels, None, None, weights
        teacher = torch.from_numpy(batch.teacher).to(device)
        seen = inside & torch.from_numpy(batch.has_teacher).to(device)[:, None]
        return x, labels, teacher, seen, weights

    def _check_finite(self, numbers: list[float], batch: Batch) -> None:
        loss_good = all(math.isfinite(n) for n in numbers[:7])
        # With float16 an overflowing gradient is normal: the scaler skips the step.
        if loss_good and (math.isfinite(numbers[7]) or self._scaler.is_enabled()):
            return
        names = sorted({self._track_name(k) for k in batch.index.tolist()})
        shown = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
        progress = self.progress
        raise TrainingError(
            f"The {'gradient' if loss_good else 'loss'} is not finite in epoch "
            f"{progress.epoch + 1}, batch {progress.batch + 1} (recordings {shown}).",
            hint=f"The state before it is kept in {self.folder}. Lower --lr, or look at the "
            "recordings with `chordtool corpus verify`.",
        )

    def _track_name(self, index: int) -> str:
        plan = self.train_segments.epoch(self.progress.epoch)
        return self.train_segments.tracks[int(plan.owner[index])].key

    @torch.no_grad()
    def _average(self) -> None:
        if self.averaged:
            # A short memory at first, so that the random start is soon forgotten.
            step = self.progress.step + 1
            decay = min(self.config.ema_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(
                list(self.averaged.values()), list(self._weights().values()), 1.0 - decay
            )

    # The end of an epoch

    def _end_epoch(self) -> None:
        progress, config = self.progress, self.config
        seconds = time.monotonic() - self._epoch_begun
        loss, accuracy = self._running()
        validation = self.validate()
        rate = (progress.batch - self._epoch_first) * config.batch_size / max(seconds, 1e-9)
        row = {
            "epoch": progress.epoch + 1, "step": progress.step, "minutes": self._minutes(),
            "lr": self._lr, "train_loss": loss, "train_accuracy": accuracy,
            "validation_loss": validation[0] if validation else None,
            "validation_accuracy": validation[1] if validation else None,
            "segments_per_second": rate, "loading_share": self._loading_share,
        }  # fmt: skip
        progress.history.append(row)
        progress.epoch += 1
        progress.batch = 0
        progress.sums = [0.0] * 5
        improved = self._judge(validation)
        if progress.epoch >= config.epochs:
            progress.finished = "all epochs"
        elif config.patience and validation and progress.epochs_without >= config.patience:
            progress.finished = "early stopping"
        self.listener.epoch(row)
        self._write(improved)

    def _judge(self, validation: tuple[float, float] | None) -> bool:
        """Note whether the epoch is the best so far; lower the rate on a plateau if not."""
        progress, config = self.progress, self.config
        if validation is None or validation[1] > progress.best_accuracy:
            progress.best_accuracy = validation[1] if validation else -1.0
            progress.best_epoch = progress.epoch
            progress.epochs_without = 0
            return True
        progress.epochs_without += 1
        if config.schedule == "plateau":
            progress.plateau_scale *= config.plateau_factor
        return False

    def _write(self, improved: bool) -> None:
        if self.place.leads:
            weights = self.averaged or self._weights()
            card = self._stamped()
            if improved:
                checkpoint.save_checkpoint(self.folder / checkpoint.BEST, weights, card)
            checkpoint.save_checkpoint(self.folder / checkpoint.LAST, weights, card)
            write_metrics(self.folder / "metrics.csv", self.progress.history)
        self.progress.minutes = self._minutes()
        self.save()
        self._saved = time.monotonic()
        self.place.wait()

    def _stamped(self) -> ModelCard:
        """The card with where the weights come from."""
        row = self.progress.history[-1]
        metrics = dict(self.card.metrics)
        if row["validation_accuracy"] is not None:
            metrics["validation/frame_accuracy"] = row["validation_accuracy"]
        recipe = {**self.card.training, "epoch": row["epoch"], "step": row["step"]}
        return replace(self.card, metrics=metrics, training=recipe)

    @torch.no_grad()
    def validate(self) -> tuple[float, float] | None:
        """Cross-entropy and frame accuracy over the validation songs, ``None`` without any."""
        if len(self.validation) == 0:
            return None
        place, size = self.place, max(1, self.config.batch_size // self.place.world)
        plan = self.validation.epoch(0)
        kept = self._swap(self.averaged) if self.averaged else None
        self.student.eval()
        mine = range(place.rank, len(plan), place.world)

        def jobs() -> Iterator[Callable[[], Batch]]:
            for i in range(0, len(mine), size):
                part = mine[i : i + size]
                yield partial(self.validation.gather, plan, part.start, part.stop, part.step)

        totals = torch.zeros(3, dtype=torch.float64)
        plain = replace(self.config, loss="cross-entropy", kd_alpha=0.0)
        for batch in Prefetcher(jobs()):
            features, labels, _, _, _ = self._tensors(batch, 0, augmented=False)
            with place.autocast():
                logits = self.student(features)
            sums = loss_sums(logits, labels, None, None, plain)
            totals += torch.stack([sums.hard, sums.correct, sums.labelled]).cpu().double()
        if kept is not None:
            self._swap(kept)
        self.student.train()
        loss, correct, count = place.sum(totals.to(place.device)).tolist()
        return (loss / count, correct / count) if count else None

    def _swap(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Put weights into the student and return those that it had."""
        kept = {k: v.detach().clone() for k, v in self._weights().items()}
        self.student.load_state_dict(weights)
        return kept

    # Small matters

    def _weights(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.student.state_dict()
        return weights

    def _running(self) -> tuple[float, float]:
        """Training loss and accuracy of the epoch so far."""
        hard, hard_count, soft, soft_count, correct = self.progress.sums
        alpha = self.config.kd_alpha
        loss = hard / max(hard_count, 1)
        if alpha:
            loss = alpha * soft / max(soft_count, 1) + (1 - alpha) * loss
        return loss, correct / max(hard_count, 1)

    def _minutes(self) -> float:
        return self._minutes_before + (time.monotonic() - self._begun) / 60

    def _tell(self, n_batches: int) -> None:
        progress, config = self.progress, self.config
        loss, accuracy = self._running()
        done = progress.batch - self._epoch_first
        rate = done / (time.monotonic() - self._epoch_begun)
        left = (config.epochs - progress.epoch) * n_batches - progress.batch
        self.listener.step(
            {
                "epoch": progress.epoch, "epochs": config.epochs, "batch": progress.batch,
                "batches": n_batches, "loss": loss, "accuracy": accuracy, "lr": self._lr,
                "rate": rate * config.batch_size, "left": left / rate,
            }
        )  # fmt: skip

    def _save_if_due(self, n_batches: int) -> None:
        config, progress = self.config, self.progress
        if progress.batch == n_batches:
            return  # The epoch's end saves.
        by_time = config.checkpoint_minutes and (
            time.monotonic() - self._saved > 60 * config.checkpoint_minutes
        )
        by_step = config.checkpoint_steps and progress.step % config.checkpoint_steps == 0
        if by_time or by_step:
            progress.minutes = self._minutes()
            self.save()
            self._saved = time.monotonic()

    def _halted(self) -> bool:
        """Whether to stop here; the same answer in all processes, one step after the question."""
        stop = self._stop_asked
        limit = self.config.max_minutes
        if limit and time.monotonic() - self._begun > 60 * limit:
            self._timed_out = True
            self._stop_asked = True
            return self.place.world == 1 or stop
        return stop

    _timed_out = False

    def _stopped(self) -> Outcome:
        self.progress.minutes = self._minutes()
        self.save()
        self.listener.close()
        if not self._timed_out:
            raise KeyboardInterrupt
        progress = self.progress
        return Outcome("time", progress.best_accuracy, progress.best_epoch, progress, self.card)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM ask the loop to stop after the present step."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: object) -> None:
            if self._stop_asked and number == signal.SIGINT:
                raise KeyboardInterrupt
            self._stop_asked = True

        before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _mix(seed: int, step: int, rank: int) -> int:
    """One seed from three numbers, far apart for neighbours (SplitMix64's finaliser)."""
    z = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank + 1) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (z ^ (z >> 31)) & (2**63 - 1)
