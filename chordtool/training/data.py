"""Recordings become batches of segments.

Everything random is a function of the seed and of the epoch, so the position of the loader is
two numbers, and a run that goes on sees what it would have seen.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chordtool.corpus import recipe
from chordtool.errors import TrainingError
from chordtool.frontend import FrontEnd
from chordtool.training import slices
from chordtool.training.config import TrainConfig
from chordtool.types import Labels
from chordtool.vocabulary import MASKED, N_CLASSES, QUALITIES, X_INDEX, transpose_class

PosteriorReader = Callable[[Path, int, int], NDArray[np.float32]]
"""(file, first frame, frame after the last) -> logits float32 [frames, classes]."""

Tell = Callable[[int, int], None]
"""(recordings done, recordings in all)"""


@dataclass(frozen=True)
class Track:
    """One recording that a student learns from."""

    key: str
    """What the recording is called in messages and in the split."""
    song: str
    """What the split keeps together; recordings of one song share it."""
    path: Path
    """safetensors file with ``features`` float16 [frames, bins], not normalised."""
    n_frames: int
    labels: Labels | None = None
    """int16 [frames], :data:`MASKED` where unknown; ``None``: the file's ``labels``."""
    posteriors: PosteriorReader | None = None
    """How the teacher's posteriors are read; ``None`` where there are none."""
    digest: str = ""
    """Changes with the audio, and with the labels that are in the file."""
    soft_path: Path | None = None
    """Where the posteriors are; in ``path`` if ``None``."""
    weight: float = 1.0
    """How much its frames count in the loss."""


@dataclass(frozen=True)
class Source:
    """Recordings that belong together."""

    name: str
    tracks: tuple[Track, ...]
    front_end: FrontEnd
    """What the stored features are; may have spare bins around the student's."""
    weight: float = 1.0
    """How often each segment is seen in an epoch."""
    validates: bool = True
    """Whether a part of it is put aside for validation and testing."""
    augmented: bool = True
    """Whether its segments are augmented, but for jitter, if any are."""


def spare_bins(stored: FrontEnd, student: FrontEnd) -> tuple[int, int]:
    """Bins that stored features have below and above the student's.

    Raises:
        TrainingError: the two front ends do not describe the same bins and frames.
    """
    low = recipe.spare_bins(stored, student)
    if low is None:
        raise TrainingError(
            "The features of the corpus and the front end of the student differ.",
            hint=f"The corpus has {_described(stored)}, the student needs {_described(student)}.",
        )
    return low, stored.n_bins - student.n_bins - low


def _described(front_end: FrontEnd) -> str:
    chunks = f", chunks of {front_end.chunk_samples}" if front_end.chunk_samples else ""
    return (
        f"{front_end.kind} of {front_end.n_bins} bins from {front_end.fmin:.2f} Hz, "
        f"hop {front_end.hop_length} at {front_end.sample_rate} Hz{chunks}"
    )


@dataclass(frozen=True)
class Batch:
    """Segments, short ones padded at the end."""

    features: NDArray[np.float16]
    """[batch, frames, bins], not normalised."""
    labels: Labels
    """int16 [batch, frames], :data:`MASKED` where unknown or padded."""
    lengths: NDArray[np.int64]
    """[batch]: frames that are not padding."""
    weights: NDArray[np.float32]
    """[batch]: how much each segment counts."""
    levels: NDArray[np.float32]
    """[batch]: to be added to the features, because of a pitch shift."""
    teacher: NDArray[np.float32] | None
    """Logits [batch, frames, classes], or ``None`` if no segment has them."""
    has_teacher: NDArray[np.bool_]
    """[batch]"""
    augmented: NDArray[np.bool_]
    """[batch]: the segments that augmentation changes."""
    index: NDArray[np.int64]
    """[batch]: position of each segment in its epoch, which seeds its augmentation."""

    def __len__(self) -> int:
        return len(self.labels)


def has_label(track: Track) -> bool:
    """Whether a recording may have a frame whose label can be learnt; a corpus's is not read."""
    labels = track.labels
    return labels is None or bool(((labels >= 0) & (labels != X_INDEX)).any())


def segment_starts(n_frames: int, step: int, *, tail: bool) -> NDArray[np.int64]:
    """The first frames of a recording's segments, int64 [segments], one at least.

    Args:
        n_frames: of the recording.
        step: frames from one start to the next.
        tail: whether what is left at the end becomes a segment even if it is shorter than half a
            step, and so mostly padding.
    """
    return np.arange(0, max(1, n_frames - (0 if tail else step // 2)), step, dtype=np.int64)


@dataclass
class Segments:
    """All segments of some sources, and how to draw and read them.

    Args:
        sources: recordings.
        config: segment length, stride, augmentation, seed.
        front_end: the student's; features are cut to its bins.
    """

    sources: Sequence[Source]
    config: TrainConfig
    front_end: FrontEnd
    tracks: list[Track] = field(init=False)
    training: bool = True
    """Whether segments are shuffled and augmented."""
    low: NDArray[np.int64] = field(init=False)
    """Spare bins below the student's in each track's features."""
    reads_teacher: bool = field(init=False)
    """Whether batches have the teacher's posteriors."""

    def __post_init__(self) -> None:
        self.tracks = [t for source in self.sources for t in source.tracks]
        step = self.config.stride if self.training else self.config.segment_frames
        owners, starts, origins = [], [], []
        self.low = np.empty(len(self.tracks), np.int64)
        position = 0
        for number, source in enumerate(self.sources):
            low, high = spare_bins(source.front_end, self.front_end)
            if self.training:
                _check_spare(source, self.config, low, high)
            for track in source.tracks:
                begins = segment_starts(track.n_frames, step, tail=not self.training)
                owners.append(np.full(len(begins), position, np.int64))
                starts.append(begins)
                origins.append(np.full(len(begins), number, np.int64))
                self.low[position] = low
                position += 1
        self._owner = np.concatenate(owners) if owners else np.zeros(0, np.int64)
        self._start = np.concatenate(starts) if starts else np.zeros(0, np.int64)
        self._origin = np.concatenate(origins) if origins else np.zeros(0, np.int64)
        self.reads_teacher = self.training and self.config.kd_alpha > 0

    def __len__(self) -> int:
        return len(self._owner)

    @property
    def n_frames(self) -> int:
        """Frames of all recordings."""
        return sum(t.n_frames for t in self.tracks)

    def fingerprint(self) -> str:
        """Sixteen hex digits that change with the recordings and their labels."""
        digest = hashlib.sha256()
        for source in self.sources:
            digest.update(f"{source.front_end.fingerprint}\0{source.weight}\0".encode())
            for track in source.tracks:
                described = f"{track.digest}\0{track.song}\0{track.n_frames}\0"
                # The name of a file need not be text.
                digest.update(described.encode("utf-8", "surrogateescape"))
                if track.labels is not None:
                    digest.update(track.labels.tobytes())
        return digest.hexdigest()[:16]

    def epoch(self, epoch: int) -> Plan:
        """The segments of an epoch in their order."""
        if not self.training:
            zeros = np.zeros(len(self), np.int64)
            return Plan(self._owner, self._start, zeros, zeros.astype(np.bool_))
        rng = np.random.default_rng([self.config.seed, 0, epoch])
        chosen = np.concatenate([self._drawn(n, rng) for n in range(len(self.sources))])
        rng.shuffle(chosen)
        if self.config.epoch_segments:
            chosen = chosen[: self.config.epoch_segments]
        owner, start = self._owner[chosen], self._start[chosen]
        if self.config.jitter_frames:
            reach = self.config.jitter_frames
            lengths = np.array([t.n_frames for t in self.tracks], np.int64)[owner]
            latest = np.maximum(0, lengths - self.config.segment_frames)
            moved = start + rng.integers(-reach, reach + 1, len(start))
            # A start that lies past the latest whole segment is the padded tail: it may stay.
            start = np.clip(moved, 0, np.maximum(latest, start))
        shift = rng.integers(self.config.pitch_low, self.config.pitch_high + 1, len(start))
        augmented = np.array([s.augmented for s in self.sources], np.bool_)[self._origin[chosen]]
        return Plan(owner, start, np.where(augmented, shift, 0), augmented)

    def _drawn(self, source: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Segments of one source for an epoch: whole rounds, then a random part of one."""
        own = np.flatnonzero(self._origin == source)
        wanted = round(self.sources[source].weight * len(own))
        rounds, rest = divmod(wanted, max(1, len(own)))
        return np.concatenate([np.tile(own, rounds), rng.permutation(own)[:rest]])

    def gather(self, plan: Plan, first: int, stop: int, step: int = 1) -> Batch:
        """Read segments ``first, first + step, ...`` before ``stop`` of a plan."""
        where = np.arange(first, stop, step)
        frames, bins = self.config.segment_frames, self.front_end.n_bins
        features = np.zeros((len(where), frames, bins), np.float16)
        labels = np.full((len(where), frames), MASKED, np.int16)
        lengths = np.zeros(len(where), np.int64)
        weights = np.ones(len(where), np.float32)
        levels = level_change(plan.shift[where])
        has_teacher = np.zeros(len(where), np.bool_)
        teacher = None
        for i, k in enumerate(where.tolist()):
            track = self.tracks[plan.owner[k]]
            start, shift = int(plan.start[k]), int(plan.shift[k])
            stop_frame = min(track.n_frames, start + frames)
            n = stop_frame - start
            lengths[i], weights[i] = n, track.weight
            # What sounds k semitones higher is found that many bins lower in the recording.
            low = self.low[plan.owner[k]] - shift * self.front_end.bins_per_octave // 12
            stored, labels[i, :n] = read_frames(track, start, stop_frame)
            features[i, :n] = stored[:, low : low + bins]
            if shift:
                labels[i] = transpose_class(labels[i], shift)
            if self.reads_teacher and track.posteriors is not None:
                if teacher is None:
                    teacher = np.zeros((len(where), frames, N_CLASSES), np.float32)
                posteriors = track.posteriors(track.soft_path or track.path, start, stop_frame)
                teacher[i, :n] = transpose_posteriors(posteriors, shift)
                has_teacher[i] = True
        return Batch(
            features, labels, lengths, weights, levels, teacher, has_teacher,
            plan.augmented[where], where,
        )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """The segments of an epoch; each array is int64 [segments] where nothing else is said."""

    owner: NDArray[np.int64]
    """Which recording."""
    start: NDArray[np.int64]
    """First frame."""
    shift: NDArray[np.int64]
    """Semitones."""
    augmented: NDArray[np.bool_]
    """bool [segments]: those that are."""

    def __len__(self) -> int:
        return len(self.owner)


def _check_spare(source: Source, config: TrainConfig, low: int, high: int) -> None:
    bins = source.front_end.bins_per_octave
    if (config.pitch_low or config.pitch_high) and bins % 12:
        raise TrainingError(
            f"Pitch shift needs whole bins a semitone; {source.name} has {bins} an octave.",
            hint="Train without --pitch-low and --pitch-high.",
        )
    needs_low = config.pitch_high * bins // 12
    needs_high = -config.pitch_low * bins // 12
    if low < needs_low or high < needs_high:
        raise TrainingError(
            f"The features of {source.name} have no spare bins for this pitch shift.",
            hint="Label the corpus with --student-front-end "
            f"default+{config.spare_semitones}, or train without pitch shift.",
        )


def read_frames(track: Track, start: int, stop: int) -> tuple[NDArray[np.float16], Labels]:
    """Stored features [frames, bins] and labels [frames] of a stretch of a recording.

    Raises:
        TrainingError: it cannot be read.
    """
    if track.labels is not None:
        (features,) = slices.rows(track.path, ("features",), start, stop)
        return features, track.labels[start:stop]
    features, labels = slices.rows(track.path, ("features", "labels"), start, stop)
    return features, labels


def level_change(semitones: NDArray[np.int64]) -> NDArray[np.float32]:
    """What pitch shifts add to log magnitudes, so that they are as if it had been played there.

    A bin's magnitude grows with the square root of its filter's length, which is longer where
    the recording's bins come from lower down.
    """
    change: NDArray[np.float32] = (semitones * (-math.log(2.0) / 24.0)).astype(np.float32)
    return change


def transpose_posteriors(posteriors: NDArray[Any], semitones: int) -> NDArray[Any]:
    """Move posteriors [..., 170] up by semitones; ``X`` and ``N`` stay."""
    if semitones % 12 == 0:
        return posteriors
    moved: NDArray[Any] = posteriors.copy()
    step = len(QUALITIES) * (semitones % 12)
    moved[..., :X_INDEX] = np.roll(posteriors[..., :X_INDEX], step, axis=-1)
    return moved


def feature_statistics(sources: Sequence[Source], front_end: FrontEnd) -> tuple[float, float]:
    """Mean and standard deviation over all frames and the student's bins of some recordings.

    Raises:
        TrainingError: the recordings hold no frames, or features that are not finite.
    """
    count, total, squares = 0, 0.0, 0.0
    for source in sources:
        low, _ = spare_bins(source.front_end, front_end)
        for track in source.tracks:
            for start in range(0, track.n_frames, _STATISTICS_FRAMES):
                stop = min(track.n_frames, start + _STATISTICS_FRAMES)
                (stored,) = slices.rows(track.path, ("features",), start, stop)
                values = stored[:, low : low + front_end.n_bins].astype(np.float32)
                total += float(values.sum(dtype=np.float64))
                squares += float(np.einsum("ij,ij->", values, values, dtype=np.float64))
                count += values.size
    if count == 0 or not np.isfinite(squares):
        raise TrainingError(
            "The training recordings hold no usable features.",
            hint="Run `chordtool corpus verify` on the corpus.",
        )
    mean = total / count
    deviation = float(np.sqrt(max(squares / count - mean * mean, 0.0)))
    return mean, max(deviation, 1e-3)


def log_class_prior(sources: Sequence[Source]) -> NDArray[np.float32]:
    """How frequent each class is among the labels, each root counted alike.

    Returns:
        float32 [170]: log of the share of frames; classes that do not occur count as one frame.
    """
    counts = np.zeros(N_CLASSES, np.float64)
    for source in sources:
        for track in source.tracks:
            labels = track.labels
            if labels is None:
                (labels,) = slices.rows(track.path, ("labels",), 0, track.n_frames)
            found = np.bincount(labels[labels >= 0], minlength=N_CLASSES)
            counts += source.weight * track.weight * found
    chords = counts[:X_INDEX].reshape(12, len(QUALITIES))
    chords[:] = chords.mean(axis=0)
    counts = np.maximum(counts, 1.0)
    prior: NDArray[np.float32] = np.log(counts / counts.sum()).astype(np.float32)
    return prior


_STATISTICS_FRAMES: Final = 8192
