"""Made-up references and estimates."""

from __future__ import annotations

import random
from pathlib import Path

from chordtool.segments import Segment
from chordtool.vocabulary import LARGE

SPICE = ("C:maj/3", "D:9", "Bb:min11", "F:5", "E:(1,b3,5)", "G:sus4(b7)", "A:maj(9)/b7", "N", "X")
LABELS = (*LARGE, *SPICE)


def song(seed: int, n: int = 40, start: float = 0.0) -> tuple[Segment, ...]:
    """Chords of random lengths, one after the other."""
    rng = random.Random(seed)
    segments, now = [], start
    for _ in range(n):
        end = now + rng.uniform(0.1, 3.0)
        segments.append(Segment(now, end, rng.choice(LABELS)))
        now = end
    return tuple(segments)


def worse(segments: tuple[Segment, ...], seed: int, errors: float = 0.3) -> tuple[Segment, ...]:
    """An estimate: wrong labels, late starts, missing stretches, another end."""
    rng = random.Random(seed)
    estimate = []
    for segment in segments:
        if rng.random() < errors / 3:
            continue
        label = rng.choice(LABELS) if rng.random() < errors else segment.label
        late = rng.uniform(0, 0.4) * segment.seconds * (rng.random() < errors)
        estimate.append(Segment(segment.start + late, segment.end, label))
    last = estimate[-1]
    longer = last.end + rng.uniform(-0.5, 1.0) * last.seconds
    return (*estimate[:-1], Segment(last.start, longer, last.label))


def write(folder: Path, name: str, segments: tuple[Segment, ...]) -> Path:
    """A label file with all the digits there are."""
    path = folder / f"{name}.lab"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{s.start!r}\t{s.end!r}\t{s.label}\n" for s in segments))
    return path
