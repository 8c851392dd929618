"""Several systems on the same songs, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chordtool.evaluation.bootstrap import Interval
from chordtool.evaluation.scores import STATISTICS, Scores


@dataclass(frozen=True)
class Comparison:
    """Scores of systems on the songs that all of them have."""

    systems: dict[str, Scores]
    """By name; the first is what the others are compared with."""
    left_out: tuple[str, ...]
    """Songs that some systems have and others have not."""

    @property
    def baseline(self) -> str:
        """Name of the first system."""
        return next(iter(self.systems))

    def differences(self) -> dict[str, dict[str, Interval]]:
        """How much better each other system is than the first, song by song.

        Returns:
            by system and statistic; positive is better than the first. Its range comes from
            drawing songs, each with both its scores, so that songs that are hard for both do
            not blur it.
        """
        first, *others = self.systems
        return {name: self._difference(first, name) for name in others}

    def _difference(self, baseline: str, name: str) -> dict[str, Interval]:
        one, other = self.systems[baseline], self.systems[name]

        def gained(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            return other.statistics(weights) - one.statistics(weights)

        found = one.bootstrap.intervals(gained, len(one.songs))
        return dict(zip(STATISTICS, found, strict=True))


def compare(systems: Mapping[str, Scores]) -> Comparison:
    """Set systems side by side.

    Args:
        systems: by name, at least one.

    Raises:
        UsageError: there is no song that all of them have.
    """
    names = {name: {song.name for song in scores.songs} for name, scores in systems.items()}
    common = set.intersection(*names.values())
    left_out = set.union(*names.values()) - common
    return Comparison(
        {name: scores.only(common) for name, scores in systems.items()}, tuple(sorted(left_out))
    )
