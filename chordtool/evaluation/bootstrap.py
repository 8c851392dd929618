"""How sure a score is: songs drawn again and again, with replacement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
_CELLS_AT_ONCE: Final = 1 << 22


@dataclass(frozen=True)
class Interval:
    """A value and the range that it lies in with 95 % confidence; NaN where it is not known."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole range is on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Bootstrap:
    """Percentile bootstrap over songs (Efron and Tibshirani 1993, chapter 13)."""

    resamples: int = 2000
    seed: int = 42

    def intervals(
        self, statistics: Callable[[NDArray[np.float64]], NDArray[np.float64]], n_songs: int
    ) -> list[Interval]:
        """Values over all songs with their ranges.

        The same seed draws the same songs, whatever the statistics: a statistic that is a
        difference of two systems is a paired one.

        Args:
            statistics: from the weights of the songs, float64 [resamples, songs], how often each
                was drawn, to the statistics, float64 [resamples, k].
            n_songs: how many there are. A statistic that fewer than two of them have alone says
                nothing of other songs, and is without a range.

        Returns:
            k intervals.
        """
        values = statistics(np.ones((1, n_songs)))[0]
        if n_songs < 2:
            return [Interval(float(v), float("nan"), float("nan")) for v in values]
        rng = np.random.default_rng(self.seed)
        at_once = max(1, _CELLS_AT_ONCE // n_songs)
        drawn = []
        for start in range(0, self.resamples, at_once):
            count = min(at_once, self.resamples - start)
            weights = rng.multinomial(n_songs, np.full(n_songs, 1 / n_songs), count)
            drawn.append(statistics(weights.astype(np.float64)))
        draws = np.concatenate(drawn)
        draws[:, _songs_with(statistics, n_songs, at_once) < 2] = np.nan
        tail = (1 - CONFIDENCE) / 2
        low, high = _quantiles(draws, (tail, 1 - tail))
        return [
            Interval(float(v), float(a), float(b))
            for v, a, b in zip(values, low, high, strict=True)
        ]


def _songs_with(
    statistics: Callable[[NDArray[np.float64]], NDArray[np.float64]], n_songs: int, at_once: int
) -> NDArray[np.int64]:
    """How many songs have each statistic by themselves, int64 [k]."""
    counts: list[NDArray[np.int64]] = []
    for first in range(0, n_songs, at_once):
        alone = statistics(np.eye(min(at_once, n_songs - first), n_songs, first))
        counts.append((~np.isnan(alone)).sum(axis=0))
    total: NDArray[np.int64] = np.sum(counts, axis=0)
    return total


def _quantiles(draws: NDArray[np.float64], at: tuple[float, float]) -> NDArray[np.float64]:
    """Quantiles of each column without its NaN; NaN for a column of nothing else."""
    result = np.full((len(at), draws.shape[1]), np.nan)
    known = ~np.isnan(draws).all(axis=0)
    if known.any():
        result[:, known] = np.nanquantile(draws[:, known], at, axis=0)
    return result
