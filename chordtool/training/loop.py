"""The training loop.

A step's randomness is a function of the seed and the step's number, and the loader's position
is a number too. What a run needs to go on is therefore small, and a run that was killed ends
with the weights of one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from chordtool.errors import TrainingError
from chordtool.models.card import ModelCard
from chordtool.training import checkpoint
from chordtool.training.augment import mix
from chordtool.training.config import TrainConfig
from chordtool.training.data import Plan, Segments, log_class_prior
from chordtool.training.devices import Place
from chordtool.training.graphs import Forward, graphed
from chordtool.training.interrupts import Wish
from chordtool.training.losses import combine, loss_sums
from chordtool.training.optimisers import make_optimiser
from chordtool.training.progress import Listener, Silent, write_metrics
from chordtool.training.resident import Feed, feed
from chordtool.training.schedule import learning_rate
from chordtool.training.state import TIME, Outcome, RunState, digests, require_same
from chordtool.training.tensors import OnDevice, to_tensors
from chordtool.training.validation import frame_scores

_TELL_SECONDS = 0.5


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
        self.state = RunState()
        self.student = student.to(place.device)
        self.names = [name for name, _ in self.student.named_parameters()]
        self.optimiser = make_optimiser(config, self.student, place)
        self._log_prior: Tensor | None = None
        if config.balance:
            prior = log_class_prior(train.sources)
            self._log_prior = torch.from_numpy(prior).to(place.device)
        self.averaged: dict[str, Tensor] = {}
        if config.ema_decay:
            self.averaged = {k: v.detach().clone() for k, v in self._weights().items()}
        self._forward: Forward = self.student
        if place.world > 1:
            self._forward = DistributedDataParallel(self.student)
        self._scaler = torch.amp.GradScaler(
            place.device.type, enabled=place.precision == torch.float16
        )
        self._wish, self._agreed = Wish(), False
        self._timed_out = False
        self._lr = 0.0
        self._begun = self._saved = time.monotonic()
        self._minutes_before = 0.0

    # Made when they are needed: they may read the whole corpus.

    @cached_property
    def _train_feed(self) -> Feed:
        return feed(self.train_segments, self.place.device, self.config.keep_on_device)

    @cached_property
    def _validation_feed(self) -> Feed:
        return feed(self.validation, self.place.device, self.config.keep_on_device)

    # Going on with a run

    def resume(self) -> bool:
        """Go on from the state in the folder; ``False`` if there is none.

        Raises:
            TrainingError: the state is broken, or belongs to other settings or data.
        """
        path = self.folder / checkpoint.STATE
        if not path.exists():
            return False
        document, card, tensors = checkpoint.load_state(path)
        data = digests(self.train_segments, self.validation)
        try:
            require_same(document, self.config, data, self.folder)
            weights = checkpoint.part(tensors, "weights.")
            checkpoint.load_weights(self.student, card, weights, self.card.architecture)
            checkpoint.restore_optimiser(self.optimiser, self.names, tensors)
            averaged = checkpoint.same_shapes(checkpoint.part(tensors, "averaged."), self.averaged)
            self.averaged = {k: v.to(self.place.device) for k, v in averaged.items()}
            self.state = RunState.from_dict(document["progress"])
            # A copy of it must be a dict: a scaler that is off takes anything.
            self._scaler.load_state_dict({**document["scaler"]})
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
            raise TrainingError(
                f"{path} is not the state of this run.",
                hint="Start again with --overwrite, or in another folder.",
            ) from None
        self._minutes_before = self.state.minutes
        return True

    def save(self) -> None:
        """Write all that the run needs to go on."""
        self.state.minutes = self._minutes()
        self._saved = time.monotonic()
        if self.place.leads:
            document = {
                "method": self.config.method(),
                **digests(self.train_segments, self.validation),
                "progress": vars(self.state),
                "scaler": self._scaler.state_dict(),
            }
            checkpoint.save_state(
                self.folder / checkpoint.STATE,
                self._weights(),
                self.averaged,
                self.optimiser,
                self.names,
                document,
                self.card,
            )

    # The run

    def run(self) -> Outcome:
        """Train until the last epoch, early stopping, or the time limit.

        Raises:
            TrainingError: the loss is not finite; the last good state is kept.
            KeyboardInterrupt: SIGINT or SIGTERM came; the state was saved.
        """
        self._begun = self._saved = time.monotonic()
        state = self.state
        if not state.finished:
            self._capture()
        with self._wish.of_signals():
            if state.step == 0:
                self.save()
            while not state.finished:
                if not self._epoch():
                    self.save()
                    return self._stopped()
                self._end_epoch()
        return Outcome(state.finished, state.best_accuracy, state.best_epoch, state, self.card)

    def _capture(self) -> None:
        """Put a graph in the student's place, if all batches are of one shape."""
        config, n_bins = self.config, self.card.front_end.n_bins
        if len(self.train_segments.epoch(0)) >= config.batch_size:
            shape = (config.batch_size, config.segment_frames, n_bins)
            self._forward = graphed(self.student, self.place, shape) or self._forward

    def _epoch(self) -> bool:
        """Train to the end of the epoch; ``False`` if it was told to stop before."""
        state = self.state
        plan = self.train_segments.epoch(state.epoch)
        n_batches = max(1, len(plan) // self.config.batch_size)
        self._batch_segments = min(len(plan), self.config.batch_size)
        self.student.train()
        self._epoch_begun, self._epoch_first = time.monotonic(), state.batch
        told = time.monotonic()
        with self._train_feed.batches(plan, self._parts(plan, n_batches)) as batches:
            for batch in batches:
                self._step(batch, state.epoch + state.batch / n_batches)
                state.batch += 1
                state.step += 1
                if time.monotonic() - told > _TELL_SECONDS:
                    told = time.monotonic()
                    self._tell(n_batches)
                if self._halted():
                    return False
                if state.batch < n_batches:  # The end of the epoch saves for itself.
                    self._save_if_due()
        seconds = max(1e-9, time.monotonic() - self._epoch_begun)
        self._rate = (state.batch - self._epoch_first) * self._batch_segments / seconds
        self._loading_share = self._train_feed.waited_seconds / seconds
        return True

    def _parts(self, plan: Plan, n_batches: int) -> Iterator[range]:
        """This process's share of each batch that is left; a last part is dropped."""
        size, place = self.config.batch_size, self.place
        for number in range(self.state.batch, n_batches):
            first, stop = number * size, min(len(plan), (number + 1) * size)
            yield range(first + place.rank, stop, place.world)

    def _step(self, batch: OnDevice, epoch: float) -> None:
        config, place, state = self.config, self.place, self.state
        torch.manual_seed(_step_seed(config.seed, state.step, place.rank))
        self._lr = learning_rate(config, epoch, state.plateau_scale)
        for group in self.optimiser.param_groups:
            group["lr"] = self._lr
        data = to_tensors(batch, self.card.front_end, augmented_for=(config, state.epoch))
        with place.autocast():
            logits = self._forward(data.features)
        sums = loss_sums(
            logits, data.labels, data.teacher, data.has_teacher, config,
            data.weights, self._log_prior,
        )  # fmt: skip
        wish = torch.tensor(float(self._wish.made), device=place.device)
        totals = place.sum(
            torch.stack(
                [sums.hard.detach(), sums.hard_count, sums.soft.detach(), sums.soft_count,
                 sums.correct.float(), sums.labelled.float(), wish]
            )
        )  # fmt: skip
        # Gradients are averaged over processes, not added: so each divides by its even share of
        # what all of them hold.
        share = 1.0 / place.world
        loss = combine(sums, totals[1] * share, totals[3] * share, config.kd_alpha)
        self.optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.student.parameters(), config.clip_norm or math.inf)
        # The one point of a step where the processor waits for the device.
        numbers = torch.cat([totals, norm.detach().float().reshape(1)]).tolist()
        self._check_finite(numbers, batch)
        self._scaler.step(self.optimiser)
        self._scaler.update()
        self._average()
        state.sums = [a + b for a, b in zip(state.sums, numbers[:6], strict=True)]
        self._agreed = numbers[6] > 0

    def _check_finite(self, numbers: list[float], batch: OnDevice) -> None:
        loss_is_good = all(math.isfinite(n) for n in numbers[:7])
        # With float16 an overflowing gradient is normal: the scaler skips the step.
        if loss_is_good and (math.isfinite(numbers[7]) or self._scaler.is_enabled()):
            return
        state = self.state
        plan = self.train_segments.epoch(state.epoch)
        tracks = self.train_segments.tracks
        names = sorted({tracks[int(plan.owner[k])].key for k in batch.index.tolist()})
        shown = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
        raise TrainingError(
            f"The {'gradient' if loss_is_good else 'loss'} is not finite in epoch "
            f"{state.epoch + 1}, batch {state.batch + 1} (recordings {shown}).",
            hint=f"The last good state is kept in {self.folder}. Lower --lr, or look at the "
            "recordings with `chordtool corpus verify`.",
        )

    @torch.no_grad()
    def _average(self) -> None:
        if self.averaged:
            # A short memory at first, so that the random start is soon forgotten.
            step = self.state.step + 1
            decay = min(self.config.ema_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(
                list(self.averaged.values()), list(self._weights().values()), 1.0 - decay
            )

    # The end of an epoch

    def _end_epoch(self) -> None:
        state = self.state
        loss, accuracy = state.averages(self.config.kd_alpha)
        validated = self.validate() or (None, None)
        # That of the last batch, which another process may have done before this one went on.
        last = state.epoch + (state.batch - 1) / state.batch
        row = {
            "epoch": state.epoch + 1,
            "step": state.step,
            "minutes": self._minutes(),
            "lr": learning_rate(self.config, last, state.plateau_scale),
            "train_loss": loss,
            "train_accuracy": accuracy,
            "validation_loss": validated[0],
            "validation_accuracy": validated[1],
            "segments_per_second": self._rate,
            "loading_share": self._loading_share,
        }
        better = state.end_epoch(row, validated[1], self.config)
        self.listener.epoch(row)
        if self.place.leads:
            weights, card = self.averaged or self._weights(), self._stamped()
            if better:
                checkpoint.save_checkpoint(self.folder / checkpoint.BEST, weights, card)
            checkpoint.save_checkpoint(self.folder / checkpoint.LAST, weights, card)
            write_metrics(self.folder / "metrics.csv", state.history)
        # After the others: a state that knows of a best epoch has its weights beside it.
        self.save()
        self.place.wait()

    def _stamped(self) -> ModelCard:
        """The card with where the weights come from."""
        row = self.state.history[-1]
        metrics = dict(self.card.metrics)
        if row["validation_accuracy"] is not None:
            metrics["validation/frame_accuracy"] = row["validation_accuracy"]
        recipe = {**self.card.training, "epoch": row["epoch"], "step": row["step"]}
        return replace(self.card, metrics=metrics, training=recipe)

    def validate(self) -> tuple[float, float] | None:
        """Cross-entropy and frame accuracy over the validation songs, ``None`` without any."""
        if len(self.validation) == 0:
            return None
        kept = self._swap(self.averaged) if self.averaged else None
        found = frame_scores(
            self.student, self._validation_feed, self.card.front_end, self.config, self.place
        )
        if kept is not None:
            self._swap(kept)
        return found

    def _swap(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Put weights into the student and return those that it had."""
        kept = {k: v.detach().clone() for k, v in self._weights().items()}
        self.student.load_state_dict(weights)
        return kept

    # Small matters

    def _weights(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.student.state_dict()
        return weights

    def _minutes(self) -> float:
        return self._minutes_before + (time.monotonic() - self._begun) / 60

    def _tell(self, n_batches: int) -> None:
        state, config = self.state, self.config
        loss, accuracy = state.averages(config.kd_alpha)
        rate = (state.batch - self._epoch_first) / (time.monotonic() - self._epoch_begun)
        left = (config.epochs - state.epoch) * n_batches - state.batch
        self.listener.step(
            {
                "epoch": state.epoch,
                "epochs": config.epochs,
                "batch": state.batch,
                "batches": n_batches,
                "loss": loss,
                "accuracy": accuracy,
                "lr": self._lr,
                "rate": rate * self._batch_segments,
                "left": left / rate,
            }
        )

    def _save_if_due(self) -> None:
        config = self.config
        minutes = (time.monotonic() - self._saved) / 60
        by_time = config.checkpoint_minutes and minutes > config.checkpoint_minutes
        if by_time or (config.checkpoint_steps and self.state.step % config.checkpoint_steps == 0):
            self.save()

    def _halted(self) -> bool:
        """Whether to stop here. Several processes stop at the same step: the one after which
        they all know of the wish."""
        limit = self.config.max_minutes
        if limit and time.monotonic() - self._begun > 60 * limit:
            self._timed_out = self._wish.made = True
        return self._wish.made if self.place.world == 1 else self._agreed

    def _stopped(self) -> Outcome:
        self.listener.message(
            "Stopped and saved; the same command goes on from here (without --overwrite)."
        )
        # Only the process that looked at its clock knows that it was the time.
        timed_out = self.place.sum(torch.tensor(float(self._timed_out))).item() > 0
        if not timed_out:
            raise KeyboardInterrupt
        state = self.state
        return Outcome(TIME, state.best_accuracy, state.best_epoch, state, self.card)


def _step_seed(seed: int, step: int, rank: int) -> int:
    """What seeds torch for a step of a process."""
    return mix(seed * 0x9E3779B97F4A7C15 + mix((step << 16) + rank)) >> 1
