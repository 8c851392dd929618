"""Generate recordings of one chord at a time, as people make them on a phone.

Usage: ``python -m recipes.generate_takes [--out DIR] [--files N] [--seed N]``

Each file holds 20 to 30 takes with silence (N) between them, in groups of a few takes that share
an instrument, a player and a phone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from chordtool.vocabulary import ROOTS
from recipes import accompaniment, guitar, output
from recipes.accompaniment import Harmony
from recipes.arrangement import ChordSpan, Note, Part
from recipes.effects import record_on_phone
from recipes.soundfonts import (
    FAMILIES,
    SAMPLE_RATE,
    SoundFont,
    available,
    choose_font,
    choose_program,
    synthesise,
)

OUT = Path("../data/synth-songs")
LICENCE = "CC0-1.0; sound font as named"

QUALITY_WEIGHTS = {
    "maj": 26,
    "min": 22,
    "7": 9,
    "maj7": 6,
    "min7": 7,
    "sus2": 4,
    "sus4": 5,
    "dim": 5,
    "aug": 4,
    "maj6": 2.5,
    "min6": 2.5,
    "dim7": 3,
    "hdim7": 2.5,
    "minmaj7": 1.5,
}
"""About what guitarists play, the rarest raised so that they are met at all."""


@dataclass(frozen=True)
class Take:
    """One chord: silence before it, then ``seconds`` of sound, in strokes (seconds, upward)."""

    label: str
    before: float
    seconds: float
    pitches: tuple[int, ...]
    strokes: tuple[tuple[float, bool], ...]
    stagger: float
    velocity: int


def draw_take(rng: Generator, piano: bool, tuning: str, capo: int) -> Take:
    """Draw a chord, how it is held and how it is struck."""
    weights = np.array(list(QUALITY_WEIGHTS.values()))
    quality = list(QUALITY_WEIGHTS)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    label = f"{ROOTS[int(rng.integers(12))]}:{quality}"
    chord = accompaniment.harmony(label)
    assert chord is not None, "every quality drawn is in the vocabulary"
    pitches = _hands(chord, rng) if piano else guitar.choose_voicing(chord, rng, tuning, capo)
    seconds = float(rng.uniform(1.6, 6.0))
    strokes: tuple[tuple[float, bool], ...] = ((0.0, bool(rng.random() < 0.15)),)
    manner, stagger = rng.random(), rng.uniform(0.004, 0.03)
    if manner < 0.25:
        step = rng.uniform(0.3, 0.9)
        times = np.arange(0, seconds - 0.3, step)[: int(rng.integers(2, 9))]
        strokes = tuple((float(t), k % 2 == 1) for k, t in enumerate(times))
    elif manner < 0.4:
        stagger = rng.uniform(0.08, 0.35)
        seconds = max(seconds, len(pitches) * stagger + 1.0)
    if piano and manner >= 0.4:
        stagger = rng.uniform(0, 0.008)
    return Take(
        label=label,
        before=float(rng.uniform(0.15, 1.6)),
        seconds=seconds,
        pitches=pitches,
        strokes=strokes,
        stagger=float(stagger),
        velocity=int(rng.integers(55, 118)),
    )


def _hands(chord: Harmony, rng: Generator) -> tuple[int, ...]:
    """A piano voicing: a close chord, mostly over a low root.

    Without the low root only major and minor triads come inverted: C:maj6 over its sixth would
    be an A:min7.
    """
    low = int(rng.integers(48, 65))
    with_bass = rng.random() < 0.6
    invertible = chord.intervals in ((0, 4, 7), (0, 3, 7))
    if not with_bass and not (invertible and rng.random() < 0.4):
        low += (chord.root - low) % 12
    return tuple(accompaniment.voice(chord, low, bass=with_bass))


def spans_of(takes: Sequence[Take], start: float, end_silence: float) -> list[ChordSpan]:
    """The labels of consecutive takes: N before each, its chord while it sounds, N at the end."""
    spans = []
    now = start
    for take in takes:
        spans.append(ChordSpan(now, now + take.before, "N"))
        now += take.before
        spans.append(ChordSpan(now, now + take.seconds, take.label))
        now += take.seconds
    spans.append(ChordSpan(now, now + end_silence, "N"))
    return spans


def notes_of(takes: Sequence[Take], rng: Generator) -> tuple[Note, ...]:
    """The takes as MIDI notes, from time zero."""
    notes = []
    now = 0.0
    for take in takes:
        now += take.before
        for k, (at, upward) in enumerate(take.strokes):
            following = take.strokes[k + 1][0] if k + 1 < len(take.strokes) else take.seconds
            pitches = take.pitches[::-1] if upward else take.pitches
            for string, pitch in enumerate(pitches):
                first = now + at + string * take.stagger
                last = now + following - 0.004
                if last - first > 0.03:
                    velocity = int(np.clip(take.velocity + rng.normal(0, 6), 25, 127))
                    notes.append(Note(first, last, pitch, velocity))
        now += take.seconds
    return tuple(notes)


def plucked(takes: Sequence[Take], duration: float, rng: Generator) -> NDArray[np.float32]:
    """The takes on a synthesized guitar; mono float32 [duration * 22050]."""
    instrument = guitar.Guitar.draw(rng)
    audio = np.zeros(round(duration * SAMPLE_RATE), np.float32)
    now = 0.0
    for take in takes:
        now += take.before
        for k, (at, upward) in enumerate(take.strokes):
            following = take.strokes[k + 1][0] if k + 1 < len(take.strokes) else take.seconds
            sound = guitar.strum(
                take.pitches, following - at, instrument, rng, SAMPLE_RATE, take.stagger, upward
            )
            first = round((now + at) * SAMPLE_RATE)
            audio[first : first + len(sound)] += sound[: len(audio) - first] * take.velocity / 127
        now += take.seconds
    return audio


def session(
    fonts: Sequence[SoundFont], rng: Generator
) -> tuple[NDArray[np.float32], list[ChordSpan], dict[str, Any]]:
    """A few takes by one player on one instrument, recorded by one phone.

    Returns:
        mono float32 samples, labels from time zero, and what the manifest says.
    """
    kind = str(rng.choice(("plucked", "font", "piano"), p=(0.4, 0.42, 0.18)))
    tuning = str(rng.choice(("standard", "half step down", "drop D"), p=(0.86, 0.07, 0.07)))
    capo = int(rng.integers(1, 6)) if rng.random() < 0.15 else 0
    takes = [draw_take(rng, kind == "piano", tuning, capo) for _ in range(int(rng.integers(4, 9)))]
    spans = spans_of(takes, 0.0, float(rng.uniform(0.2, 1.0)))
    n = round(spans[-1].end * SAMPLE_RATE)
    duration = n / SAMPLE_RATE
    facts: dict[str, Any] = {"instrument": kind, "tuning": tuning, "capo": capo}
    if kind == "plucked":
        audio = plucked(takes, duration, rng)
    else:
        families = {"acoustic guitar": 3.0, "electric guitar": 1.0, "driven guitar": 0.25}
        program = choose_program({"piano": 1.0} if kind == "piano" else families, rng)
        if program in (FAMILIES["electric guitar"][-1],):
            program = FAMILIES["electric guitar"][1]  # palm-muted notes are too short for a chord
        font = choose_font(fonts, rng)
        detune = float(rng.uniform(-20, 20))
        audio = synthesise([Part("takes", program, notes_of(takes, rng))], font, duration, detune)
        facts |= {"font": font.name, "font_licence": font.licence, "program": program}
    spans[-1] = ChordSpan(spans[-1].start, duration, "N")
    return record_on_phone(audio, rng, SAMPLE_RATE), spans, facts


def recording(
    fonts: Sequence[SoundFont], rng: Generator
) -> tuple[NDArray[np.float32], tuple[ChordSpan, ...], dict[str, Any]]:
    """Sessions one after another, 20 takes or more."""
    pieces: list[NDArray[np.float32]] = []
    spans: list[ChordSpan] = []
    sessions = []
    while sum(span.label != "N" for span in spans) < 20:
        audio, labels, facts = session(fonts, rng)
        start = sum(map(len, pieces)) / SAMPLE_RATE
        moved = [ChordSpan(s.start + start, s.end + start, s.label) for s in labels]
        if spans:
            # The silence that ends one session and the one that begins the next are one span.
            spans[-1] = ChordSpan(spans[-1].start, moved[0].end, "N")
            moved = moved[1:]
        spans += moved
        pieces.append(audio)
        sessions.append(facts)
    return np.concatenate(pieces), tuple(spans), {"sessions": sessions}


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate the recordings that are not there yet; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    fonts = available()
    if not fonts:
        print("fluidsynth or its sound fonts are missing: run recipes/setup.sh", file=sys.stderr)
        return 3
    options.out.mkdir(parents=True, exist_ok=True)
    finished = output.done(options.out)
    began = time.monotonic()
    for number in range(1, options.files + 1):
        name = f"takes-{number:04d}"
        stem = f"{name}-s{options.seed}"
        if stem in finished:
            continue
        rng = output.generator(name, options.seed)
        audio, spans, facts = recording(fonts, rng)
        about = {"song": name, "seed": options.seed, "licence": LICENCE}
        output.write(options.out, stem, audio, spans, about | facts)
        if number % 10 == 0:
            print(f"{stem} after {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
