"""A corpus that lies on the device: batches without the disk, and without the processor.

A GPU trains a student on tens of thousands of segments a second, which no thread can read and
put together. Features of 1,300 hours are 15 GB in float16, so that most corpora fit beside the
student. Batches are those of :meth:`~chordtool.training.data.Segments.gather`, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chordtool.errors import TrainingError
from chordtool.training.data import Plan, Segments, level_change, read_frames
from chordtool.training.prefetch import Reader
from chordtool.training.tensors import OnDevice
from chordtool.vocabulary import MASKED, N_CLASSES, QUALITIES, X_INDEX

SHARE: Final = 0.5
"""Share of the device's free memory that a corpus may take."""
_FILE_FRAMES: Final = 65_536
"""Frames that are read at once."""


class Resident:
    """Segments whose recordings are on a device.

    Args:
        segments: what to hold.
        device: where.

    Raises:
        TrainingError: it does not fit, or a recording cannot be read.
    """

    waited_seconds = 0.0
    """Nobody waits for batches that are there."""

    def __init__(self, segments: Segments, device: torch.device) -> None:
        self.segments, self.device = segments, device
        self._below, n_bins = reach(segments)
        tracks = segments.tracks
        lengths = np.array([t.n_frames for t in tracks], np.int64)
        self._lengths = lengths
        self._weights = np.array([t.weight for t in tracks], np.float32)
        self._base = np.concatenate(([0], np.cumsum(lengths)))[:-1]
        taught = np.array([segments.reads_teacher and t.posteriors is not None for t in tracks])
        ends = np.cumsum(lengths * taught)
        self._soft_base = np.where(taught, ends - lengths, -1)
        n_frames, n_taught = int(lengths.sum()), int(ends[-1]) if len(ends) else 0
        try:
            self._features = torch.empty(n_frames, n_bins, dtype=torch.float16, device=device)
            self._labels = torch.empty(n_frames, dtype=torch.int16, device=device)
            self._soft = torch.empty(n_taught, N_CLASSES, dtype=torch.float32, device=device)
        except RuntimeError:
            raise TrainingError(
                f"The corpus takes {size_bytes(segments) / 2**30:.1f} GiB, which {device} has not "
                "free.",
                hint="Leave it on the disk: --keep-on-device never.",
            ) from None
        for number in range(len(tracks)):
            self._fill(number)

    def _fill(self, number: int) -> None:
        track = self.segments.tracks[number]
        first = int(self.segments.low[number]) - self._below
        for start in range(0, track.n_frames, _FILE_FRAMES):
            stop = min(track.n_frames, start + _FILE_FRAMES)
            features, labels = read_frames(track, start, stop)
            rows = slice(int(self._base[number]) + start, int(self._base[number]) + stop)
            features = features[:, first : first + self._features.shape[1]]
            self._features[rows] = torch.from_numpy(features.copy()).to(self.device)
            self._labels[rows] = torch.from_numpy(labels.astype(np.int16)).to(self.device)
            if self._soft_base[number] >= 0 and track.posteriors is not None:
                soft = track.posteriors(track.soft_path or track.path, start, stop)
                base = int(self._soft_base[number])
                self._soft[base + start : base + stop] = torch.from_numpy(soft).to(self.device)

    @contextmanager
    def batches(self, plan: Plan, parts: Iterable[range]) -> Iterator[Iterator[OnDevice]]:
        """The batches of a plan that have the segments of each part, in order."""
        yield (self.gather(plan, part.start, part.stop, part.step) for part in parts)

    def gather(self, plan: Plan, first: int, stop: int, step: int = 1) -> OnDevice:
        """What :meth:`Segments.gather` gives for the same segments, on the device."""
        where = np.arange(first, stop, step)
        owner, start, shift = plan.owner[where], plan.start[where], plan.shift[where]
        frames, bins = self.segments.config.segment_frames, self.segments.front_end.n_bins
        lengths = np.minimum(self._lengths[owner] - start, frames)
        moved = shift * self.segments.front_end.bins_per_octave // 12
        soft = self._soft_base[owner]
        numbers = np.stack(
            (self._base[owner] + start, lengths, self._below - moved, shift, soft + start, soft)
        )
        rows, n, low, shifts, soft_rows, taught = self._send(numbers)
        place = torch.arange(frames, device=self.device)
        inside = place < n[:, None]
        # A padded frame reads the segment's last one, which is then put to zero.
        inner = torch.minimum(place, n[:, None] - 1)
        columns = low[:, None] + torch.arange(bins, device=self.device)
        at = rows[:, None] + inner
        features = self._features[at[:, :, None], columns[:, None, :]]
        labels = _transposed(self._labels[at], shifts[:, None])
        has_teacher = taught >= 0
        teacher = None
        if (soft >= 0).any():
            found = self._soft[(soft_rows[:, None] + inner).clamp(min=0)]
            seen = (inside & has_teacher[:, None])[..., None]
            teacher = _rolled(found, shifts).masked_fill(~seen, 0.0)
        return OnDevice(
            features=features.masked_fill(~inside[..., None], 0.0),
            labels=labels.masked_fill(~inside, MASKED),
            lengths=n,
            weights=torch.from_numpy(self._weights[owner]).to(self.device),
            levels=torch.from_numpy(level_change(shift)).to(self.device),
            teacher=teacher,
            has_teacher=has_teacher,
            augmented=torch.from_numpy(plan.augmented[where]).to(self.device),
            index=where,
        )

    def _send(self, numbers: NDArray[np.int64]) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(numbers).to(self.device))


def reach(segments: Segments) -> tuple[int, int]:
    """Bins below the student's that pitch shifts look at, and all bins that are looked at."""
    config, front_end = segments.config, segments.front_end
    if not segments.training:
        return 0, front_end.n_bins
    step = front_end.bins_per_octave / 12
    below, above = int(config.pitch_high * step), int(-config.pitch_low * step)
    return below, below + front_end.n_bins + above


def size_bytes(segments: Segments) -> int:
    """What :class:`Resident` takes on the device."""
    per_frame = 2 * reach(segments)[1] + 2
    taught = sum(
        t.n_frames for t in segments.tracks if segments.reads_teacher and t.posteriors is not None
    )
    return per_frame * segments.n_frames + 4 * N_CLASSES * taught


Feed: TypeAlias = Reader | Resident
"""What makes batches."""


def feed(segments: Segments, device: torch.device, wanted: str) -> Feed:
    """What makes batches.

    Args:
        segments: of the batches.
        device: where batches go.
        wanted: ``always`` or ``never`` on the device; ``auto``: on a GPU that has the room, and
            on no processor, where it would be a copy of the disk.
    """
    room = device.type == "cuda" and (
        size_bytes(segments) < SHARE * torch.cuda.mem_get_info(device)[0]
    )
    resident = wanted == "always" or (wanted == "auto" and room)
    return Resident(segments, device) if resident else Reader(segments, device)


def _transposed(labels: Tensor, semitones: Tensor) -> Tensor:
    """:func:`chordtool.vocabulary.transpose_class` on a device."""
    moved = torch.remainder(labels + len(QUALITIES) * semitones, X_INDEX).to(torch.int16)
    return torch.where((labels >= 0) & (labels < X_INDEX), moved, labels)


def _rolled(posteriors: Tensor, semitones: Tensor) -> Tensor:
    """:func:`chordtool.training.data.transpose_posteriors` on a device, [batch, frames, 170]."""
    classes = torch.arange(X_INDEX, device=posteriors.device)
    chords = torch.remainder(classes - len(QUALITIES) * semitones[:, None], X_INDEX)
    rest = torch.arange(X_INDEX, N_CLASSES, device=posteriors.device)
    source = torch.cat((chords, rest.expand(len(chords), -1)), 1)
    return posteriors.gather(2, source[:, None].expand(posteriors.shape))
