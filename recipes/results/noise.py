"""Labels as a careless annotator would have made them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from chordtool.segments import Segment

REACH_SECONDS = 0.5
SWAPPED_SHARE = 0.1


def noisy(
    segments: Sequence[Segment],
    name: str,
    *,
    seed: int = 42,
    reach: float = REACH_SECONDS,
    swapped: float = SWAPPED_SHARE,
) -> tuple[Segment, ...]:
    """Move boundaries and swap labels.

    Each time at which a segment begins or ends, but for the first and the last, moves by up to
    ``reach`` seconds, evenly drawn. Times that pass each other change places, so that segments
    stay in order; what was adjacent stays adjacent. Then a share of the segments, rounded, take
    the label of another segment of the song that has another label.

    Args:
        segments: of a song, in order, not overlapping.
        name: of the song; with the seed it decides everything.
        seed: of the randomness.
        reach: seconds.
        swapped: 0..1.

    Returns:
        Segments from the first start to the last end, those that lost all their time left out.
    """
    digest = hashlib.sha256(f"{seed}:noise:{name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "big"))
    lasting = [segment for segment in segments if segment.end > segment.start]
    if not lasting:
        return ()
    times = np.array(sorted({t for s in lasting for t in (s.start, s.end)}))
    moved = times.copy()
    # Sorting moves no time further than the largest of the draws.
    moved[1:-1] = np.sort(times[1:-1] + rng.uniform(-reach, reach, max(0, len(times) - 2)))
    moved = np.clip(moved, times[0], times[-1])
    new = dict(zip(times.tolist(), moved.tolist(), strict=True))
    labels = _swap([segment.label for segment in lasting], swapped, rng)
    return tuple(
        Segment(new[segment.start], new[segment.end], label)
        for segment, label in zip(lasting, labels, strict=True)
        if new[segment.end] > new[segment.start]
    )


def _swap(labels: list[str], share: float, rng: np.random.Generator) -> list[str]:
    changed = list(labels)
    if len(set(labels)) < 2:
        return changed
    for k in rng.permutation(len(labels))[: round(share * len(labels))].tolist():
        others = [label for label in labels if label != labels[k]]
        changed[k] = others[rng.integers(len(others))]
    return changed
