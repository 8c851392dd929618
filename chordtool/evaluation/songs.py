"""One song's score: the metrics of mir_eval on intervals, and which quality was heard as which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import mir_eval.chord
import numpy as np
from numpy.typing import NDArray

from chordtool.segments import Segment
from chordtool.vocabulary import mended, parse

METRICS: Final = ("root", "thirds", "triads", "sevenths", "tetrads", "majmin", "mirex")
"""Comparison functions of ``mir_eval.chord``, in the order of the literature."""
SEGMENTATION: Final = ("overseg", "underseg", "seg")
"""``1 - directional Hamming distance`` in both directions, and the lesser of the two."""

_GROUP_MEMBERS: Final[dict[str, tuple[str, ...]]] = {
    "maj": ("maj",),
    "min": ("min",),
    "7": ("7",),
    "maj7": ("maj7",),
    "min7": ("min7",),
    "dim": ("dim",),
    "dim7": ("dim7",),
    "hdim7": ("hdim7",),
    "aug": ("aug",),
    "sus": ("sus2", "sus4"),
    "min6": ("min6",),
    "maj6": ("maj6",),
    "minmaj7": ("minmaj7",),
    "N": ("N",),
}
QUALITY_GROUPS: Final = tuple(_GROUP_MEMBERS)
"""The groups whose accuracies ACQA averages: the qualities, both suspensions as one, no chord."""
OTHER: Final = "X"
"""The last column of a confusion: an estimate that is in no group."""
_GROUP_OF: Final = {
    quality: index for index, members in enumerate(_GROUP_MEMBERS.values()) for quality in members
}

NO_CHORD: Final = "N"
_UNCOUNTED: Final = -1.0
"""How mir_eval marks a reference that a metric does not compare."""


@dataclass(frozen=True)
class SongScore:
    """How well one song's chords were recognised."""

    name: str
    seconds: float
    """Length of the reference."""
    metrics: NDArray[np.float64]
    """float64 [7], 0..1, in the order of :data:`METRICS`; NaN where nothing is comparable."""
    segmentation: NDArray[np.float64]
    """float64 [3], 0..1, in the order of :data:`SEGMENTATION`."""
    confusion: NDArray[np.float64]
    """Seconds, float64 [14, 15]: reference's by estimate's quality group, the root ignored; the
    last column is :data:`OTHER`. References outside the groups do not count."""


class SongScorer:
    """Scores songs; what it has learned of a pair of labels serves all songs."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], NDArray[np.float64]] = {}

    def score(
        self, name: str, reference: Sequence[Segment], estimate: Sequence[Segment]
    ) -> SongScore:
        """Score an estimate as ``mir_eval.chord.evaluate`` does.

        What counts is the time from the start of the first segment of the reference to the end
        of its last one. Before its first segment and after its last one the estimate has ``N``
        there. A gap between segments, of either, belongs to the chord before it.

        Args:
            reference: in order, not overlapping; at least one segment with a length.
            estimate: in order, not overlapping.

        Raises:
            LabelError: a label is not a chord.
            ValueError: the reference has no length.
        """
        start, end = _span(reference)
        ref = _Track(reference, start, end)
        est = _Track(estimate, start, end)
        bounds = np.unique(np.concatenate([ref.intervals, est.intervals]))
        durations = np.diff(bounds)
        ref_labels, est_labels = ref.at(bounds[:-1]), est.at(bounds[:-1])
        compared = self._compare(ref_labels, est_labels)
        counted = (compared != _UNCOUNTED) * durations[:, None]
        seconds = counted.sum(axis=0)
        with np.errstate(invalid="ignore"):
            metrics = (compared * counted).sum(axis=0) / seconds
        return SongScore(
            name=name,
            seconds=end - start,
            metrics=metrics,
            segmentation=_segmentation(ref, est),
            confusion=_confusion(ref_labels, est_labels, durations),
        )

    def _compare(self, ref: list[str], est: list[str]) -> NDArray[np.float64]:
        """float64 [intervals, 7]: 0, 1, or :data:`_UNCOUNTED`."""
        pairs = list(zip(ref, est, strict=True))
        new = list(dict.fromkeys(pair for pair in pairs if pair not in self._known))
        if new:
            sides = [list(side) for side in zip(*new, strict=True)]
            found = [getattr(mir_eval.chord, metric)(*sides) for metric in METRICS]
            self._known.update(zip(new, np.stack(found, axis=1), strict=True))
        return np.array([self._known[pair] for pair in pairs])


class _Track:
    """Segments cropped and filled up to a span: intervals, and a strict label of each."""

    def __init__(self, segments: Sequence[Segment], start: float, end: float) -> None:
        intervals: list[tuple[float, float]] = []
        labels, now = [], start
        for segment in segments:
            begun, ended = max(segment.start, now), min(segment.end, end)
            if ended <= begun:
                continue
            if begun > now and not intervals:
                intervals.append((now, begun))
                labels.append(NO_CHORD)
            intervals.append((begun, ended))
            labels.append(mended(segment.label))
            now = ended
        if now < end:
            intervals.append((now, end))
            labels.append(NO_CHORD)
        self.intervals = np.array(intervals)
        self.labels = labels

    def at(self, times: NDArray[np.float64]) -> list[str]:
        indices = np.searchsorted(self.intervals[:, 0], times, side="right") - 1
        return [self.labels[i] for i in indices]

    def merged(self) -> NDArray[np.float64]:
        """Intervals, neighbours of the same chord joined, float64 [n, 2]."""
        joined: NDArray[np.float64] = mir_eval.chord.merge_chord_intervals(
            self.intervals, self.labels
        )
        return joined


def _span(reference: Sequence[Segment]) -> tuple[float, float]:
    lasting = [segment for segment in reference if segment.end > segment.start]
    if not lasting:
        raise ValueError("the reference has no length")
    return lasting[0].start, lasting[-1].end


def _segmentation(ref: _Track, est: _Track) -> NDArray[np.float64]:
    """Over-, under- and the lesser segmentation score, float64 [3]."""
    reference, estimate = ref.merged(), est.merged()
    over = float(mir_eval.chord.overseg(reference, estimate))
    under = float(mir_eval.chord.underseg(reference, estimate))
    return np.array([over, under, min(over, under)])


def _confusion(
    ref: list[str], est: list[str], durations: NDArray[np.float64]
) -> NDArray[np.float64]:
    other = len(QUALITY_GROUPS)
    rows = np.array([_GROUP_OF.get(parse(label).quality, other) for label in ref])
    columns = np.array([_GROUP_OF.get(parse(label).quality, other) for label in est])
    table = np.zeros((other + 1, other + 1))
    np.add.at(table, (rows, columns), durations)
    return table[:other]
