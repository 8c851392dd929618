"""Chord progressions over all qualities: functional ones, and jumps that no song would make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from chordtool.vocabulary import QUALITIES, ROOTS

Template = tuple[tuple[int, str], ...]

# (semitones above the tonic, quality with its bass). Written out from common practice; those
# that hold the qualities which songs rarely use come in more than one form.
TEMPLATES: dict[str, Template] = {
    "axis": ((0, "maj"), (7, "maj"), (9, "min"), (5, "maj")),
    "axis, minor first": ((9, "min"), (5, "maj"), (0, "maj"), (7, "maj")),
    "doo-wop": ((0, "maj"), (9, "min"), (5, "maj"), (7, "7")),
    "canon": (
        (0, "maj"), (7, "maj"), (9, "min"), (4, "min"),
        (5, "maj"), (0, "maj/3"), (2, "min7"), (7, "maj"),
    ),
    "ballad bass line": ((0, "maj"), (7, "maj/3"), (9, "min"), (0, "maj/5"), (5, "maj"), (7, "7")),
    "andalusian": ((0, "min"), (10, "maj"), (8, "maj"), (7, "maj")),
    "minor loop": ((0, "min"), (8, "maj"), (3, "maj"), (10, "maj")),
    "two five one": ((2, "min7"), (7, "7"), (0, "maj7"), (0, "maj6")),
    "minor two five one": ((2, "hdim7"), (7, "7"), (0, "minmaj7"), (0, "min6")),
    "minor two five one, plain": ((2, "hdim7"), (7, "aug"), (0, "min"), (0, "min6")),
    "turnaround": ((0, "maj7"), (9, "7"), (2, "min7"), (7, "7")),
    "passing diminished": ((0, "maj7"), (1, "dim7"), (2, "min7"), (7, "7")),
    "passing diminished, down": ((4, "min7"), (3, "dim7"), (2, "min7"), (7, "7")),
    "gospel": ((5, "maj"), (6, "dim7"), (0, "maj/5"), (9, "7"), (2, "7"), (7, "sus4")),
    "leading-tone": ((0, "min"), (11, "dim7"), (0, "min"), (5, "min6")),
    "leading-tone triad": ((0, "maj"), (11, "dim"), (9, "min"), (2, "dim"), (7, "maj")),
    "minor with its second": ((0, "min"), (2, "dim"), (7, "maj"), (0, "min")),
    "minor line": ((0, "min"), (0, "minmaj7"), (0, "min7"), (0, "min6")),
    "augmented line": ((0, "maj"), (0, "aug"), (0, "maj6"), (0, "7"), (5, "maj"), (5, "min6")),
    "augmented dominant": ((0, "maj"), (7, "aug"), (0, "maj6"), (5, "maj")),
    "minor subdominant": ((0, "maj"), (5, "maj7"), (5, "min6"), (0, "maj")),
    "minor major": ((0, "minmaj7"), (5, "min6"), (0, "minmaj7"), (7, "aug")),
    "suspended": ((0, "sus2"), (5, "sus2"), (9, "sus4"), (7, "sus4")),
    "suspended and solved": ((7, "sus4"), (7, "maj"), (0, "sus4"), (0, "maj")),
    "anthem": ((0, "sus2"), (9, "min7"), (5, "sus2"), (7, "sus4")),
    "sixths": ((0, "maj6"), (9, "min6"), (2, "min6"), (7, "7")),
    "dorian": ((0, "min7"), (5, "7")),
    "lydian": ((0, "maj7"), (2, "maj")),
    "bossa": ((0, "maj7"), (2, "7"), (2, "min7"), (1, "maj7")),
    "autumn": (
        (0, "min7"), (5, "7"), (10, "maj7"), (3, "maj7"), (9, "hdim7"), (2, "7"), (7, "min6"),
    ),
    "half-diminished fall": ((6, "hdim7"), (5, "min6"), (4, "min7"), (3, "dim7")),
    "blues": (
        (0, "7"), (5, "7"), (0, "7"), (0, "7"), (5, "7"), (6, "dim7"), (0, "7"), (9, "7"),
        (2, "min7"), (7, "7"), (0, "7"), (7, "7"),
    ),
    "tritone substitutes": ((2, "min7"), (1, "7"), (0, "maj7"), (3, "dim7")),
    "mediants": ((0, "maj"), (8, "maj"), (4, "maj"), (0, "aug")),
}  # fmt: skip

# How often a quality is drawn where nothing else decides: near uniform.
_FREE = {"min": 0.8, "maj": 0.8}
_MOTIONS = (5, 7, 2, 10, 1, 11, 3, 9, 4, 8, 6, 0)
_MOTION_WEIGHTS = (6, 3, 3, 3, 2, 2, 2, 2, 1.5, 1.5, 1, 1)
# Basses that leave no doubt which chord it is: C:min7/b3 would be Eb:maj6.
_INVERSIONS = {
    "maj": ("3", "5"),
    "min": ("b3", "5"),
    "7": ("3", "5", "b7"),
    "maj7": ("3", "5"),
    "dim": ("b3",),
}
_EXTENDED = {"maj7": ("maj9",), "min7": ("min9",), "7": ("9", "13")}


@dataclass(frozen=True)
class Step:
    """A Harte label, or N, for a number of beats; ``silent`` tells an N without drums."""

    label: str
    beats: int
    silent: bool = False


def progression(rng: Generator) -> tuple[tuple[int, str], ...]:
    """Draw a loop of (root, quality with its bass): a template in some key, or a random walk."""
    if rng.random() < 0.5:
        name = list(TEMPLATES)[int(rng.integers(len(TEMPLATES)))]
        tonic = int(rng.integers(12))
        change = float(rng.choice((0.0, 0.0, 0.25)))
        return tuple(
            ((tonic + degree) % 12, _any_quality(rng) if rng.random() < change else quality)
            for degree, quality in TEMPLATES[name]
        )
    return _walk(rng)


def _walk(rng: Generator) -> tuple[tuple[int, str], ...]:
    weights = np.array(_MOTION_WEIGHTS) / sum(_MOTION_WEIGHTS)
    root, chords = int(rng.integers(12)), []
    for _ in range(int(rng.integers(3, 9))):
        chords.append((root, _any_quality(rng)))
        root = (root + int(rng.choice(_MOTIONS, p=weights))) % 12
    return tuple(chords)


def _any_quality(rng: Generator) -> str:
    weights = np.array([_FREE.get(q, 1.0) for q in QUALITIES])
    return QUALITIES[int(rng.choice(len(QUALITIES), p=weights / weights.sum()))]


def spell(root: int, quality: str, rng: Generator) -> str:
    """A Harte label; some chords get an extension or another bass."""
    if "/" not in quality:
        if quality in _EXTENDED and rng.random() < 0.15:
            quality = str(rng.choice(_EXTENDED[quality]))
        elif quality in _INVERSIONS and rng.random() < 0.1:
            quality = f"{quality}/{rng.choice(_INVERSIONS[quality])}"
    return f"{ROOTS[root]}:{quality}"


def song_form(
    rng: Generator, beats_total: int, metre: int, shortest: int, longest: int
) -> tuple[Step, ...]:
    """A song: intro, sections of repeated loops, breaks, a last chord, an ending.

    Args:
        rng: decides everything.
        beats_total: about how long.
        metre: beats in a bar.
        shortest, longest: beats a chord may last.
    """
    steps: list[Step] = []
    if rng.random() < 0.3:
        steps.append(Step("N", int(rng.integers(1, 4)), silent=True))
    if rng.random() < 0.25:
        steps.append(Step("N", metre * int(rng.integers(1, 3))))
    position = 0
    while position < beats_total:
        section = _section(rng, metre, shortest, longest)
        steps += section
        position += sum(step.beats for step in section)
        if position < beats_total and rng.random() < 0.15:
            steps.append(Step("N", metre, silent=bool(rng.random() < 0.4)))
    last = steps[-1]
    steps[-1] = Step(last.label, max(last.beats, shortest))
    steps.append(Step("N", int(rng.integers(1, 4)), silent=True))
    return tuple(steps)


def _section(rng: Generator, metre: int, shortest: int, longest: int) -> list[Step]:
    allowed = [b for b in (1, 2, metre, metre, 2 * metre) if shortest <= b <= longest]
    base = int(rng.choice(allowed or [shortest]))
    uneven = rng.random() < 0.25
    loop = []
    for root, quality in progression(rng):
        beats = int(rng.choice(allowed)) if uneven and allowed else base
        loop.append(Step(spell(root, quality, rng), beats))
    repeats = int(rng.choice((1, 2, 2, 3))) if sum(s.beats for s in loop) < 24 else 1
    return loop * repeats
