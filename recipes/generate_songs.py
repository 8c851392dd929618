"""Generate labelled songs in which every quality is common, played by bands of many kinds.

Usage: ``python -m recipes.generate_songs [--out DIR] [--songs N] [--seed N]``
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator

from chordtool.vocabulary import parse
from recipes import accompaniment, guitar, output
from recipes.accompaniment import Bar, Harmony
from recipes.arrangement import ChordSpan, Note, Part
from recipes.performance import Version, describe, draw_levels, perform
from recipes.progressions import Step, song_form
from recipes.soundfonts import DRUM_KITS, FAMILIES, SAMPLE_RATE, available, choose_program

OUT = Path("../data/synth-songs")
LICENCE = "CC0-1.0; sound font as named"

SHORTEST_CHORD, LONGEST_CHORD = 0.5, 4.0

COMPING_FAMILIES = {
    "piano": 2.5,
    "electric piano": 1.2,
    "acoustic guitar": 2.5,
    "electric guitar": 1.5,
    "driven guitar": 0.3,
    "organ": 0.8,
    "strings": 0.8,
    "pad": 0.6,
    "choir": 0.4,
    "harp": 0.3,
    "brass": 0.3,
    "mallets": 0.3,
    "reeds": 0.2,
}
MELODY_FAMILIES = {
    "choir": 1.5,
    "reeds": 1.2,
    "flutes": 1.0,
    "lead": 1.0,
    "bowed": 0.8,
    "piano": 1.0,
    "electric guitar": 0.8,
    "driven guitar": 0.4,
    "brass": 0.8,
    "mallets": 0.4,
}
_GUITARS = frozenset(
    FAMILIES["acoustic guitar"] + FAMILIES["electric guitar"] + FAMILIES["driven guitar"]
)
_SUSTAINED = frozenset(
    FAMILIES["strings"] + FAMILIES["pad"] + FAMILIES["choir"] + FAMILIES["organ"]
    + FAMILIES["brass"] + FAMILIES["reeds"]
)  # fmt: skip

SCALES: dict[str, tuple[int, ...]] = {
    "min": (0, 2, 3, 5, 7, 10),
    "maj": (0, 2, 4, 5, 7, 9, 11),
    "dim": (0, 2, 3, 5, 6, 8, 11),
    "aug": (0, 2, 4, 6, 8, 10),
    "min6": (0, 2, 3, 5, 7, 9),
    "maj6": (0, 2, 4, 5, 7, 9),
    "min7": (0, 2, 3, 5, 7, 9, 10),
    "minmaj7": (0, 2, 3, 5, 7, 9, 11),
    "maj7": (0, 2, 4, 6, 7, 9, 11),
    "7": (0, 2, 4, 5, 7, 9, 10),
    "dim7": (0, 2, 3, 5, 6, 8, 9, 11),
    "hdim7": (0, 1, 3, 5, 6, 8, 10),
    "sus2": (0, 2, 7, 9),
    "sus4": (0, 2, 5, 7, 9),
}
"""Notes a melody may pass through over each quality, in semitones above the root."""


def lay_out(
    steps: Sequence[Step], beat_seconds: float, metre: int, sway: float
) -> tuple[tuple[Bar, ...], tuple[Bar, ...]]:
    """Put the steps on the time line.

    Args:
        steps: the song's form.
        beat_seconds: mean length of a beat.
        metre: beats in a bar.
        sway: how far the tempo drifts around its mean, 0..0.1.

    Returns:
        all spans as bars, and those that drums may play in.
    """
    bars, audible = [], []
    now, beat = 0.0, 0
    for step in steps:
        length = step.beats * beat_seconds * (1 + sway * np.sin(2 * np.pi * beat / 37))
        span = ChordSpan(now, now + float(length), step.label)
        bar = Bar(span, step.beats, beat % metre, accompaniment.harmony(step.label))
        bars.append(bar)
        if not step.silent:
            audible.append(bar)
        now, beat = span.end, beat + step.beats
    return tuple(bars), tuple(audible)


def melody(bars: Sequence[Bar], rng: Generator) -> tuple[Note, ...]:
    """A line of chord tones on the beats and steps of the chord's scale between them."""
    pitch = int(rng.integers(62, 80))
    density, level = rng.uniform(0.3, 0.9), rng.uniform(70, 105)
    notes = []
    for bar in bars:
        if bar.chord is None or rng.random() < 0.12:
            continue
        quality = parse(bar.span.label).quality
        tones = {(bar.chord.root + i) % 12 for i in bar.chord.intervals}
        scale = {(bar.chord.root + i) % 12 for i in SCALES[quality]} | tones
        for half in range(2 * bar.beats):
            on_beat = half % 2 == 0
            if half > 0 and rng.random() > density * (1.0 if on_beat else 0.6):
                continue
            pitch = _step(pitch, tones if on_beat else scale, rng)
            length = 0.5 if not on_beat else float(rng.choice((0.5, 1.0, 1.0, 2.0)))
            first = bar.time(half / 2)
            last = bar.time(min(half / 2 + length, bar.beats)) - 0.01
            velocity = int(np.clip(level + rng.normal(0, 7), 25, 127))
            notes.append(Note(first, max(last, first + 0.06), pitch, velocity))
    return tuple(n for n, after in zip(notes, [*notes[1:], None], strict=True) if _clear(n, after))


def _clear(note: Note, after: Note | None) -> bool:
    """Whether a note ends before the next of the same pitch; a voice sings one at a time."""
    return after is None or after.pitch != note.pitch or note.end <= after.start


def _step(pitch: int, allowed: set[int], rng: Generator) -> int:
    near = [p for p in range(max(57, pitch - 5), min(88, pitch + 6)) if p % 12 in allowed]
    if not near:
        return pitch if pitch % 12 in allowed else pitch + 1
    weights = np.array([1.0 / (1 + abs(p - pitch)) for p in near])
    return int(rng.choice(near, p=weights / weights.sum()))


def band(
    bars: Sequence[Bar], audible: Sequence[Bar], metre: int, rng: Generator
) -> tuple[Part, ...]:
    """Instruments that play the song; something always plays the chord with its bass."""
    alone = rng.random() < 0.2
    with_bass = not alone and rng.random() < 0.85
    parts = []
    if with_bass:
        pattern = str(rng.choice(accompaniment.BASS_PATTERNS))
        notes = accompaniment.bass_line(bars, pattern, rng)
        program = choose_program({"bass": 1.0}, rng)
        parts.append(Part(f"bass {pattern}", program, notes, draw_levels(rng, 80, 120)))
    layers = 1 if alone else int(rng.choice((1, 2, 2, 3)))
    for layer in range(layers):
        carries_bass = layer == 0 and not with_bass
        parts.append(_comping_part(bars, metre, carries_bass, rng))
    if not alone and rng.random() < 0.6:
        program = choose_program(MELODY_FAMILIES, rng)
        parts.append(Part("melody", program, melody(bars, rng), draw_levels(rng, 55, 105)))
    if not alone and rng.random() < 0.7:
        groove = str(rng.choice(accompaniment.GROOVES))
        notes = accompaniment.drum_track(audible, groove, metre, rng)
        kit = int(rng.choice(DRUM_KITS))
        levels = draw_levels(rng, 55, 120)
        parts.append(Part(f"drums {groove}", kit, notes, levels, drums=True))
    return tuple(part for part in parts if part.notes)


def _comping_part(bars: Sequence[Bar], metre: int, carries_bass: bool, rng: Generator) -> Part:
    families = COMPING_FAMILIES
    if carries_bass:
        families = {"piano": 3, "acoustic guitar": 3, "electric guitar": 1, "electric piano": 1.5,
                    "organ": 0.7, "harp": 0.3}  # fmt: skip
    program = choose_program(families, rng)
    patterns: tuple[str, ...] = accompaniment.COMPING
    if program in _GUITARS:
        patterns = ("strum", "strum", "strum", "arpeggio", "broken", "block")
    elif program in _SUSTAINED:
        patterns = ("pad", "pad", "block", "pulse", "stabs")
    pattern = str(rng.choice(patterns))
    if program in _GUITARS:
        capo = int(rng.integers(0, 5)) if rng.random() < 0.3 else 0
        tuning = str(rng.choice(("standard", "standard", "standard", "drop D", "half step down")))

        def voicing(chord: Harmony) -> list[int]:
            return list(guitar.choose_voicing(chord, rng, tuning, capo))
    else:
        low, spread = int(rng.integers(50, 63)), bool(rng.random() < 0.3)
        low_note = carries_bass or bool(rng.random() < 0.2)

        def voicing(chord: Harmony) -> list[int]:
            return accompaniment.voice(chord, low, spread, low_note)

    notes = accompaniment.comping(bars, pattern, rng, metre, voicing)
    return Part(f"chords {pattern}", program, notes, draw_levels(rng, 70, 115))


def compose(rng: Generator) -> Version:
    """Draw a song of 60 to 90 seconds."""
    metre = int(rng.choice((4, 4, 4, 3)))
    beat = 60.0 / rng.uniform(62, 168)
    seconds = rng.uniform(57, 86)
    shortest = int(np.ceil(SHORTEST_CHORD / beat))
    longest = max(shortest, int(LONGEST_CHORD / beat))
    steps = song_form(rng, int(seconds / beat), metre, shortest, longest)
    sway = rng.uniform(0, 0.04) if rng.random() < 0.4 else 0.0
    bars, audible = lay_out(steps, beat, metre, sway)
    parts = band(bars, audible, metre, rng)
    detune = float(rng.uniform(-25, 25)) if rng.random() < 0.5 else 0.0
    end = bars[-1].span.end
    duration = round(end * SAMPLE_RATE) / SAMPLE_RATE
    spans = [bar.span for bar in bars]
    spans[-1] = ChordSpan(spans[-1].start, duration, spans[-1].label)
    facts = {
        "metre": metre,
        "beats_per_minute": round(60 / beat, 1),
        "detune_cents": round(detune, 1),
        "parts": describe(parts),
    }
    return Version(parts, tuple(spans), duration, detune, facts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate the songs that are not there yet; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--songs", type=int, default=350)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    fonts = available()
    if not fonts:
        print("fluidsynth or its sound fonts are missing: run recipes/setup.sh", file=sys.stderr)
        return 3
    options.out.mkdir(parents=True, exist_ok=True)
    finished = output.done(options.out)
    began, made = time.monotonic(), 0
    for number in range(1, options.songs + 1):
        stem = f"song-{number:04d}-s{options.seed}"
        if stem in finished:
            continue
        rng = output.generator(f"song-{number:04d}", options.seed)
        version = compose(rng)
        audio, facts = perform(version, fonts, rng)
        about = {"song": f"song-{number:04d}", "seed": options.seed, "licence": LICENCE}
        output.write(options.out, stem, audio, version.spans, about | version.facts | facts)
        made += 1
        if made % 20 == 0:
            pace = (time.monotonic() - began) / made
            print(f"{stem}: {made} made, {pace:.2f} s each", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
