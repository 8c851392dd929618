"""Render songs that exist as MIDI with chord labels into varied audio with labels.

Usage: ``python -m recipes.render_midi [--source DIR] [--out DIR] [--seed N] ...``
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pretty_midi
from numpy.random import Generator

from chordtool.formats.lab import read_lab
from recipes import accompaniment, output
from recipes.arrangement import (
    ChordSpan,
    Part,
    crop_notes,
    crop_pedal,
    crop_spans,
    stretch_notes,
    stretch_spans,
    tile,
    transpose_notes,
    transpose_spans,
)
from recipes.arrangement import Note as ArrangedNote
from recipes.performance import Version, describe, draw_levels, perform
from recipes.soundfonts import DECAYING, DRUM_KITS, SAMPLE_RATE, available, choose_program

SOURCE = Path("../shared/music/pop909")
OUT = Path("../data/pop909-rendered")
LICENCE = "MIT (POP909); sound font as named"

MELODY_FAMILIES = {
    "flutes": 1.2,
    "reeds": 1.2,
    "choir": 1.5,
    "lead": 1.2,
    "bowed": 0.8,
    "electric guitar": 0.8,
    "driven guitar": 0.5,
    "acoustic guitar": 0.6,
    "piano": 1.5,
    "brass": 0.7,
    "mallets": 0.5,
    "organ": 0.4,
    "plucked": 0.2,
}
BRIDGE_FAMILIES = {
    "strings": 1.5,
    "piano": 1.0,
    "electric piano": 0.8,
    "acoustic guitar": 1.0,
    "electric guitar": 1.0,
    "flutes": 0.6,
    "mallets": 0.6,
    "pad": 0.5,
    "brass": 0.5,
    "harp": 0.4,
    "choir": 0.4,
    "lead": 0.3,
}
CHORD_FAMILIES = {
    "piano": 3.5,
    "electric piano": 1.5,
    "acoustic guitar": 2.0,
    "electric guitar": 1.2,
    "driven guitar": 0.2,
    "organ": 0.8,
    "strings": 0.6,
    "harp": 0.3,
    "mallets": 0.2,
    "plucked": 0.1,
}
HELD_FAMILIES = {
    "strings": 2.0,
    "organ": 1.5,
    "pad": 1.5,
    "choir": 1.0,
    "brass": 0.7,
    "reeds": 0.5,
    "lead": 0.5,
}
ADDED_FAMILIES = {
    "acoustic guitar": 2.0,
    "electric guitar": 1.2,
    "driven guitar": 0.4,
    "piano": 1.0,
    "electric piano": 1.0,
    "organ": 0.8,
    "strings": 1.5,
    "pad": 1.5,
    "choir": 0.5,
    "brass": 0.3,
}
LIFTED, HELD, STUCK, MIXED = PEDAL_MODES = ("lifted", "held", "stuck", "mixed")
"""Under instruments that do not die away the pedal is left out; or the pianist's is kept there, so
that old chords ring on under new ones, as in MIDI files whose instruments were exchanged; or most
parts have one that goes down at the start and never up, as in files that lost its releases; or that
befell some of the parts, melodies more often, and the others keep the pianist's."""
STUCK_CHANCES = {STUCK: (0.8, 0.8), MIXED: (0.6, 0.35)}
"""How likely the pedal of a melody, and that of another part, is never lifted."""
PADS = frozenset({16, 17, 18, 19, 20, 21, *range(48, 55), *range(88, 96)})


@dataclass(frozen=True)
class Score:
    """A song as it lies in the source: parts by track name, labels, seconds a beat."""

    parts: tuple[Part, ...]
    spans: tuple[ChordSpan, ...]
    beat_seconds: float
    duration: float


def songs_in(folder: Path) -> list[Path]:
    """The MIDI files of a folder that have chord labels beside them, sorted."""
    return [midi for midi in sorted(folder.glob("*.mid")) if midi.with_suffix(".lab").exists()]


def read_score(midi: Path, labels: Path) -> Score:
    """Read a song's notes, pedal and chord labels.

    Raises:
        OSError, ValueError: a file is missing or not what it should be.
    """
    music = pretty_midi.PrettyMIDI(str(midi))
    parts = []
    for instrument in music.instruments:
        notes = tuple(ArrangedNote(n.start, n.end, n.pitch, n.velocity) for n in instrument.notes)
        pedal = tuple((c.time, c.value >= 64) for c in instrument.control_changes if c.number == 64)
        parts.append(Part(instrument.name, 0, notes, pedal=pedal))
    spans = tuple(
        ChordSpan(s.start, s.end, s.label) for s in read_lab(labels.read_bytes()).segments
    )
    _, tempi = music.get_tempo_changes()
    beat = 60.0 / float(tempi[0]) if len(tempi) else 0.5
    duration = max(music.get_end_time(), spans[-1].end if spans else 0.0)
    return Score(tuple(parts), spans, beat, duration)


def arrange(
    score: Score, rng: Generator, excerpt_seconds: float, pedal_mode: str = LIFTED
) -> Version:
    """Draw a version of a song: key, tempo, excerpt, instruments, added parts.

    Args:
        score: the song.
        rng: decides everything.
        excerpt_seconds: length of the window that is kept; 0 keeps the whole song.
        pedal_mode: what becomes of the sustain pedal: one of :data:`PEDAL_MODES`.
    """
    semitones = int(rng.integers(-5, 7))
    stretch = float(rng.uniform(0.85, 1.15))
    detune = float(rng.uniform(-25, 25)) if rng.random() < 0.5 else 0.0
    whole = score.duration * stretch
    duration = min(whole, excerpt_seconds) if excerpt_seconds else whole
    first = float(rng.uniform(0, whole - duration)) if whole > duration else 0.0
    # The files hold whole samples, so the labels must end on one.
    duration = round(duration * SAMPLE_RATE) / SAMPLE_RATE
    last = first + duration

    moved = stretch_spans(transpose_spans(score.spans, semitones), stretch)
    spans = tile(crop_spans(moved, first, last), duration)
    parts = []
    for part in score.parts:
        notes = stretch_notes(transpose_notes(part.notes, semitones), stretch)
        pedal = tuple((time * stretch, down) for time, down in part.pedal)
        parts.append(
            replace(
                part,
                notes=crop_notes(notes, first, last),
                pedal=crop_pedal(pedal, first, last),
            )
        )
    played = _orchestrate(parts, rng, pedal_mode)
    played += _add_band(spans, score.beat_seconds * stretch, rng)
    facts = {
        "transposition": semitones,
        "tempo": round(1 / stretch, 4),
        "detune_cents": round(detune, 1),
        "excerpt_start": round(first, 3),
        "pedal": pedal_mode,
        "parts": describe(played),
    }
    return Version(tuple(played), spans, duration, detune, facts)


def _orchestrate(parts: Sequence[Part], rng: Generator, pedal_mode: str) -> list[Part]:
    """Give the song's own tracks instruments and levels; melodies may be missing."""
    families = {"MELODY": MELODY_FAMILIES, "BRIDGE": BRIDGE_FAMILIES}
    missing = {"MELODY": 0.15, "BRIDGE": 0.15}
    sustained = {HELD: 0.7, STUCK: 0.4, MIXED: 0.5}.get(pedal_mode, 0.0)
    chords = HELD_FAMILIES if sustained and rng.random() < sustained else CHORD_FAMILIES
    played = []
    for part in parts:
        absent = rng.random() < missing.get(part.name, 0.0)
        program = choose_program(families.get(part.name, chords), rng)
        octave = int(rng.choice((0, 0, 0, 0, -12, 12))) if part.name in missing else 0
        chosen = replace(
            part,
            program=program,
            notes=_humanise(transpose_notes(part.notes, octave), rng),
            pedal=_pedal(part, program, pedal_mode, rng),
            levels=draw_levels(rng, 65, 115),
        )
        if chosen.notes and not absent:
            played.append(chosen)
    return played


def _pedal(
    part: Part, program: int, pedal_mode: str, rng: Generator
) -> tuple[tuple[float, bool], ...]:
    chances = STUCK_CHANCES.get(pedal_mode)
    melody = part.name in ("MELODY", "BRIDGE")
    if chances is not None and rng.random() < chances[0 if melody else 1]:
        return ((0.0, True),)
    return part.pedal if pedal_mode in (HELD, MIXED) or program in DECAYING else ()


def _humanise(notes: Sequence[ArrangedNote], rng: Generator) -> tuple[ArrangedNote, ...]:
    scale = rng.uniform(0.55, 1.0)
    velocities = [scale * n.velocity + rng.normal(0, 6) for n in notes]
    return tuple(
        replace(n, velocity=int(min(127, max(20, v))))
        for n, v in zip(notes, velocities, strict=True)
    )


def _add_band(spans: Sequence[ChordSpan], beat: float, rng: Generator) -> list[Part]:
    """Bass, accompaniment and drums that follow the labels, each in part of the songs."""
    bars = accompaniment.beat_grid(spans, beat, 4)
    added = []
    if rng.random() < 0.7:
        pattern = str(rng.choice(accompaniment.BASS_PATTERNS))
        notes = accompaniment.bass_line(bars, pattern, rng)
        program = choose_program({"bass": 1.0}, rng)
        added.append(Part(f"bass {pattern}", program, notes, draw_levels(rng, 75, 120)))
    for chance in (0.5, 0.2):
        if rng.random() < chance:
            program = choose_program(ADDED_FAMILIES, rng)
            pattern = "pad" if program in PADS else str(rng.choice(accompaniment.COMPING))
            notes = accompaniment.comping(bars, pattern, rng)
            added.append(Part(f"chords {pattern}", program, notes, draw_levels(rng, 45, 95)))
    if rng.random() < 0.65:
        groove = str(rng.choice(accompaniment.GROOVES))
        notes = accompaniment.drum_track(bars, groove, 4, rng)
        kit = int(rng.choice(DRUM_KITS))
        levels = draw_levels(rng, 55, 120)
        added.append(Part(f"drums {groove}", kit, notes, levels, drums=True))
    return [part for part in added if part.notes]


def _pedal_mode(draw: float, held: float, stuck: float, mixed: float) -> str:
    """The mode whose share of 0..1, one after the other, holds the number drawn."""
    for mode, share in ((HELD, held), (STUCK, stuck), (MIXED, mixed)):
        if draw < share:
            return mode
        draw -= share
    return LIFTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Render every song of a folder that is not rendered yet; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder of .mid and .lab")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=1, help="another seed is another version")
    parser.add_argument("--excerpt-seconds", type=float, default=110.0, help="0: whole songs")
    parser.add_argument(
        "--held-pedal", type=float, default=0.0, metavar="SHARE", help="of the songs; 0..1"
    )
    parser.add_argument(
        "--stuck-pedal", type=float, default=0.0, metavar="SHARE", help="of the songs; 0..1"
    )
    parser.add_argument(
        "--mixed-pedal", type=float, default=0.0, metavar="SHARE",
        help="of the songs, stuck in some parts, the pianist's in the others; 0..1",
    )  # fmt: skip
    parser.add_argument(
        "--drawn-timbres", type=float, default=0.0, metavar="SHARE",
        help="of the songs, played on instruments that no font has; 0..1",
    )  # fmt: skip
    parser.add_argument("--skip", type=int, default=0, help="leave out so many songs at the start")
    parser.add_argument("--limit", type=int, default=None, help="stop after so many songs")
    options = parser.parse_args(arguments)
    fonts = available()
    if not fonts:
        print("fluidsynth or its sound fonts are missing: run recipes/setup.sh", file=sys.stderr)
        return 3
    songs = songs_in(options.source)
    if not songs:
        print(f"no .mid with a .lab in {options.source}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    finished = output.done(options.out)
    began, rendered = time.monotonic(), 0
    for midi in songs[options.skip :][: options.limit]:
        stem = f"{midi.stem}-s{options.seed}"
        if stem in finished:
            continue
        rng = output.generator(midi.stem, options.seed)
        # Drawn apart from the rest, so that the share does not change the other songs.
        draw = output.generator(f"{midi.stem} pedal", options.seed).random()
        mode = _pedal_mode(draw, options.held_pedal, options.stuck_pedal, options.mixed_pedal)
        score = read_score(midi, midi.with_suffix(".lab"))
        version = arrange(score, rng, options.excerpt_seconds, mode)
        draw = output.generator(f"{midi.stem} timbres", options.seed).random()
        audio, facts = perform(version, fonts, rng, drawn_timbres=draw < options.drawn_timbres)
        output.write(
            options.out,
            stem,
            audio,
            version.spans,
            {"song": midi.stem, "seed": options.seed, "licence": LICENCE} | version.facts | facts,
        )
        rendered += 1
        if rendered % 20 == 0:
            pace = (time.monotonic() - began) / rendered
            print(f"{stem}: {rendered} rendered, {pace:.2f} s each", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
