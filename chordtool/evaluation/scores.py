"""Scores over many songs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chordtool.errors import UsageError
from chordtool.evaluation.bootstrap import Bootstrap, Interval
from chordtool.evaluation.songs import (
    METRICS,
    OTHER,
    QUALITY_GROUPS,
    SEGMENTATION,
    SongScore,
    SongScorer,
)
from chordtool.segments import Segment

__all__ = [
    "METRICS",
    "OTHER",
    "QUALITY_GROUPS",
    "SEGMENTATION",
    "STATISTICS",
    "Scores",
    "SongScore",
    "evaluate",
]

STATISTICS: Final = (*METRICS, "mean", "acqa", *SEGMENTATION)
"""What is reported of a system: the seven metrics, their mean, ACQA, segmentation."""


@dataclass(frozen=True)
class Scores:
    """How well one system did on a set of songs.

    A metric over songs is the mean of what mir_eval says of each, weighted with the songs'
    lengths; songs where mir_eval finds nothing to compare do not count. ACQA is the unweighted
    mean, over the quality groups that the references have, of the share of their time that was
    heard as that group.
    """

    songs: tuple[SongScore, ...]
    """At least one, by name."""
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def __getitem__(self, statistic: str) -> Interval:
        """A value out of :data:`STATISTICS`, 0..1, with its 95 % range.

        Raises:
            KeyError: there is no such statistic.
        """
        return self.intervals[statistic]

    @property
    def seconds(self) -> float:
        """Length of all references."""
        return float(self._seconds.sum())

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Every value by name, in the order of :data:`STATISTICS`."""
        found = self.bootstrap.intervals(self.statistics, len(self.songs))
        return dict(zip(STATISTICS, found, strict=True))

    @cached_property
    def qualities(self) -> dict[str, Interval]:
        """Accuracy of each quality group that the references have, the root ignored."""
        found = self.bootstrap.intervals(self.quality_accuracies, len(self.songs))
        return {
            name: interval
            for name, interval in zip(QUALITY_GROUPS, found, strict=True)
            if not np.isnan(interval.value)
        }

    @cached_property
    def confusion(self) -> NDArray[np.float64]:
        """Seconds, float64 [14, 15]: reference's by estimate's quality group, last ``X``."""
        total: NDArray[np.float64] = np.sum([song.confusion for song in self.songs], axis=0)
        return total

    def statistics(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The statistics if each song counted so many times.

        Args:
            weights: float64 [n, songs].

        Returns:
            float64 [n, 12], NaN where nothing is comparable.
        """
        metrics = _weighted_mean(self._metrics, weights * self._seconds)
        segmentation = _weighted_mean(self._segmentation, weights * self._seconds)
        qualities = self.quality_accuracies(weights)
        with np.errstate(invalid="ignore"):
            acqa = np.nansum(qualities, axis=1) / (~np.isnan(qualities)).sum(axis=1)
        mean = metrics.mean(axis=1)
        return np.column_stack([metrics, mean, acqa, segmentation])

    def quality_accuracies(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Accuracy of each quality group if each song counted so many times, float64 [n, 14]."""
        right = np.array([np.diagonal(song.confusion) for song in self.songs])
        there = np.array([song.confusion.sum(axis=1) for song in self.songs])
        with np.errstate(invalid="ignore"):
            accuracies: NDArray[np.float64] = (weights @ right) / (weights @ there)
        return accuracies

    def only(self, names: Iterable[str]) -> Scores:
        """The scores on some of the songs.

        Raises:
            UsageError: none of them is here.
        """
        wanted = set(names)
        shared = (song for song in self.songs if song.name in wanted)
        return Scores(_some(shared, "There is no song that all systems have."), self.bootstrap)

    @cached_property
    def _seconds(self) -> NDArray[np.float64]:
        return np.array([song.seconds for song in self.songs])

    @cached_property
    def _metrics(self) -> NDArray[np.float64]:
        return np.array([song.metrics for song in self.songs])

    @cached_property
    def _segmentation(self) -> NDArray[np.float64]:
        return np.array([song.segmentation for song in self.songs])


def evaluate(
    references: Mapping[str, Sequence[Segment]],
    estimates: Mapping[str, Sequence[Segment]],
    *,
    bootstrap: Bootstrap | None = None,
) -> Scores:
    """Score the chords of songs.

    Example::

        scores = evaluate({"song": truth.segments}, {"song": found.segments})
        print(scores["majmin"].value, scores["majmin"].low, scores["majmin"].high)

    Args:
        references: segments by name of the song, in order, not overlapping.
        estimates: the same; songs without a reference are left out, and the other way round.
        bootstrap: how ranges are found.

    Raises:
        UsageError: no song has both, with a length.
        LabelError: a label is not a chord.
    """
    scorer = SongScorer()
    scored = (
        scorer.score(name, references[name], estimates[name])
        for name in sorted(references)
        if name in estimates and any(s.end > s.start for s in references[name])
    )
    return Scores(_some(scored), bootstrap or Bootstrap())


def _some(
    songs: Iterable[SongScore], nobody: str = "No song has both a reference and an estimate."
) -> tuple[SongScore, ...]:
    found = tuple(songs)
    if not found:
        raise UsageError(nobody, hint="They belong together by name: song.lab and song.mp3.")
    return found


def _weighted_mean(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Means over songs without NaN: values [songs, k], weights [n, songs], result [n, k]."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = (weights @ np.where(known, values, 0.0)) / (weights @ known)
    return means
