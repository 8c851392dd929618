"""What a band plays to given chords: bass lines, comping patterns, pads and drums.

Patterns are lists of positions in beats. A span's beats lie evenly between its ends, so the grid
follows the labels even where the tempo breathes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from chordtool.vocabulary import CHORD_TONES, parse
from recipes.arrangement import ChordSpan, Note

_EXTENSIONS = {"maj9": 14, "min9": 14, "9": 14, "13": 21, "maj13": 21, "min11": 17}
_SHORTHAND_ENDS = "/("


@dataclass(frozen=True)
class Harmony:
    """Pitch classes to play: root 0..11, intervals above it, the bass's pitch class."""

    root: int
    intervals: tuple[int, ...]
    bass: int

    @property
    def inverted(self) -> bool:
        return self.bass != self.root


def harmony(label: str) -> Harmony | None:
    """What a label says to play; ``None`` for N, X and chords out of the vocabulary."""
    chord = parse(label)
    if chord.root is None or chord.quality not in CHORD_TONES:
        return None
    shorthand = label.partition(":")[2]
    for end in _SHORTHAND_ENDS:
        shorthand = shorthand.partition(end)[0]
    extension = _EXTENSIONS.get(shorthand)
    intervals = CHORD_TONES[chord.quality] + ((extension,) if extension else ())
    return Harmony(chord.root, intervals, (chord.root + chord.bass) % 12)


@dataclass(frozen=True)
class Bar:
    """A chord span with its beats: ``first`` counts beats from the last downbeat."""

    span: ChordSpan
    beats: int
    first: int
    chord: Harmony | None

    def time(self, beat: float) -> float:
        """Seconds at a position in beats from the span's start."""
        return self.span.start + (self.span.end - self.span.start) * beat / self.beats


def beat_grid(spans: Sequence[ChordSpan], beat_seconds: float, metre: int) -> tuple[Bar, ...]:
    """Divide each span into whole beats, and find the downbeats.

    Downbeats are where most chords begin, counting beats modulo ``metre``.

    Args:
        spans: tile the time line.
        beat_seconds: the tempo; spans are rounded to whole beats, at least one.
        metre: beats in a bar.
    """
    counts = [max(1, round((s.end - s.start) / beat_seconds)) for s in spans]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int)
    votes = np.bincount(starts[1:] % metre, minlength=metre)
    downbeat = int(np.argmax(votes))
    return tuple(
        Bar(span, count, int(start - downbeat) % metre, harmony(span.label))
        for span, count, start in zip(spans, counts, starts, strict=True)
    )


def _velocity(base: float, rng: Generator, spread: float = 7) -> int:
    return int(np.clip(base + rng.normal(0, spread), 20, 127))


def _place(pitch_class: int, low: int) -> int:
    """The pitch of a class that is ``low`` or the next above it."""
    return low + (pitch_class - low) % 12


# --- bass --------------------------------------------------------------------------------------

BASS_PATTERNS = ("held", "pulse", "eighths", "fifths", "walking", "syncopated", "octaves")


def bass_line(bars: Sequence[Bar], pattern: str, rng: Generator) -> tuple[Note, ...]:
    """A bass line: the label's bass on the first beat of every chord, then by pattern."""
    low, level = int(rng.integers(28, 36)), rng.uniform(75, 110)
    notes = []
    for bar in bars:
        if bar.chord is None:
            continue
        for start, length, pitch in _bass_figure(bar, bar.chord, pattern, low, rng):
            first = bar.time(start)
            last = bar.time(min(start + length, bar.beats)) - 0.01
            notes.append(Note(first, max(last, first + 0.05), pitch, _velocity(level, rng)))
    return tuple(notes)


def _bass_figure(
    bar: Bar, chord: Harmony, pattern: str, low: int, rng: Generator
) -> Iterator[tuple[float, float, int]]:
    bass = _place(chord.bass, low)
    fifth = next((i for i in chord.intervals if i in (6, 7, 8)), 7)
    second = bass if chord.inverted else _place((chord.root + fifth) % 12, low)
    if pattern == "held":
        yield 0, bar.beats, bass
    elif pattern == "pulse":
        for beat in range(bar.beats):
            yield beat, 0.95, bass
    elif pattern == "eighths":
        for half in range(2 * bar.beats):
            yield half / 2, 0.48, bass
    elif pattern == "fifths":
        for beat in range(0, bar.beats, 2):
            yield beat, 1.9, bass if beat % 4 == 0 else second
    elif pattern == "octaves":
        for half in range(2 * bar.beats):
            yield half / 2, 0.45, bass + 12 * (half % 2)
    elif pattern == "syncopated":
        for beat in range(0, bar.beats, 2):
            yield beat, 1.4, bass
            if beat + 1.5 < bar.beats:
                yield beat + 1.5, 0.5, bass if rng.random() < 0.7 else second
    else:
        tones = [_place((chord.root + i) % 12, low) for i in chord.intervals]
        for beat in range(bar.beats):
            yield beat, 0.95, bass if beat == 0 else int(rng.choice(tones))


# --- comping -----------------------------------------------------------------------------------

COMPING = ("block", "pulse", "offbeat", "arpeggio", "broken", "strum", "pad", "stabs")

_STRUMS = {
    4: (
        ((0, "d"), (1, "d"), (2, "d"), (3, "d")),
        ((0, "d"), (1, "d"), (1.5, "u"), (2.5, "u"), (3, "d"), (3.5, "u")),
        ((0, "d"), (0.5, "u"), (1, "d"), (1.5, "u"), (2, "d"), (2.5, "u"), (3, "d"), (3.5, "u")),
        ((0, "d"), (1.5, "u"), (2, "d"), (3.5, "u")),
        ((0, "d"), (2, "d")),
    ),
    3: (
        ((0, "d"), (1, "d"), (2, "d")),
        ((0, "d"), (1, "d"), (1.5, "u"), (2, "d"), (2.5, "u")),
        ((0, "d"),),
    ),
}


def voice(chord: Harmony, low: int, spread: bool = False, bass: bool = False) -> list[int]:
    """A close voicing from ``low`` up; ``spread`` drops the second voice from the top an octave.

    ``bass`` puts the bass note an octave below.
    """
    pitches = sorted(_place((chord.root + i) % 12, low) for i in chord.intervals)
    if spread and len(pitches) >= 4:
        pitches = sorted([pitches[-2] - 12, *pitches[:-2], pitches[-1]])
    elif spread:
        pitches = sorted([pitches[0], pitches[2], pitches[1] + 12])
    if bass:
        pitches = [_place(chord.bass, low - 14), *pitches]
    return pitches


def comping(
    bars: Sequence[Bar],
    pattern: str,
    rng: Generator,
    metre: int = 4,
    voicing: Callable[[Harmony], list[int]] | None = None,
) -> tuple[Note, ...]:
    """Chords in one of the :data:`COMPING` patterns.

    Args:
        bars: the chords on their beats.
        pattern: one of :data:`COMPING`.
        rng: draws register, dynamics and details.
        metre: beats in a bar, for strumming patterns.
        voicing: pitches of a chord from low to high; a keyboard's by default.
    """
    if voicing is None:
        low, spread = int(rng.integers(50, 63)), bool(rng.random() < 0.3)
        bass = bool(rng.random() < 0.25)

        def voicing(chord: Harmony) -> list[int]:
            return voice(chord, low, spread, bass)

    level = rng.uniform(60, 100)
    figure = _figure(pattern, rng, metre)
    stagger = rng.uniform(0.006, 0.022) if pattern == "strum" else rng.uniform(0, 0.004)
    notes: list[Note] = []
    for bar in bars:
        if bar.chord is None:
            continue
        pitches = voicing(bar.chord)
        for start, length, stroke in figure(bar):
            first, last = bar.time(start), bar.time(min(start + length, bar.beats))
            chosen = [pitches[stroke % len(pitches)]] if isinstance(stroke, int) else pitches
            if stroke == "u":
                chosen = chosen[::-1][: int(rng.integers(3, 6))]
            accent = 6 if start == 0 else 0
            for k, pitch in enumerate(chosen):
                onset = first + k * stagger
                end = max(last - 0.005, onset + 0.05)
                notes.append(Note(onset, end, pitch, _velocity(level + accent, rng, 5)))
    return _without_repeats(notes)


_Stroke = tuple[float, float, int | str]


def _figure(pattern: str, rng: Generator, metre: int) -> Callable[[Bar], list[_Stroke]]:
    """The strokes of a pattern in one span: (beat, length in beats, which notes)."""
    if pattern in ("pad", "block"):
        return lambda bar: [(0, bar.beats, "all")]
    if pattern == "pulse":
        step = float(rng.choice((1.0, 1.0, 0.5)))
        return lambda bar: [(b, 0.9 * step, "all") for b in np.arange(0, bar.beats, step)]
    if pattern == "offbeat":
        return lambda bar: [(b + 0.5, 0.3, "all") for b in range(bar.beats)]
    if pattern == "stabs":
        hits = tuple(h for h in (0, 1.5, 2.5, 3.5) if h == 0 or rng.random() < 0.6)
        return lambda bar: [
            (b + h, 0.5, "all") for b in range(0, bar.beats, 4) for h in hits if b + h < bar.beats
        ]
    if pattern == "strum":
        strums = _STRUMS.get(metre, _STRUMS[4])
        chosen = strums[int(rng.integers(len(strums)))]
        return lambda bar: _strum(bar, chosen, metre)
    step = float(rng.choice((0.5, 0.5, 0.25)))
    order = _order(str(rng.choice(("up", "down", "bounce", "alberti"))))
    length = step if pattern == "arpeggio" else 2.0
    return lambda bar: [
        (b, length, order[k % len(order)]) for k, b in enumerate(np.arange(0, bar.beats, step))
    ]


def _order(name: str) -> tuple[int, ...]:
    return {
        "up": (0, 1, 2, 3),
        "down": (3, 2, 1, 0),
        "bounce": (0, 1, 2, 3, 2, 1),
        "alberti": (0, 2, 1, 2),
    }[name]


def _strum(bar: Bar, strokes: Sequence[tuple[float, str]], metre: int) -> list[_Stroke]:
    """The strokes of whole bars that fall into a span, and one on its first beat."""
    found: list[_Stroke] = []
    for base in range(-bar.first, bar.beats, metre):
        for k, (at, way) in enumerate(strokes):
            following = strokes[k + 1][0] if k + 1 < len(strokes) else metre
            if 0 <= base + at < bar.beats:
                found.append((base + at, following - at, way))
    if not found or found[0][0] > 0:
        found.insert(0, (0, found[0][0] if found else bar.beats, "d"))
    return found


def _without_repeats(notes: Sequence[Note]) -> tuple[Note, ...]:
    """End a note where its own key is struck again."""
    last: dict[int, int] = {}
    kept: list[Note] = []
    for note in sorted(notes, key=lambda n: n.start):
        before = last.get(note.pitch)
        if before is not None and kept[before].end > note.start - 0.005:
            old = kept[before]
            end = max(old.start + 0.02, note.start - 0.005)
            kept[before] = Note(old.start, end, old.pitch, old.velocity)
        last[note.pitch] = len(kept)
        kept.append(note)
    return tuple(kept)


# --- drums -------------------------------------------------------------------------------------

KICK, SNARE, CLAP, HAT, OPEN_HAT, RIDE, CRASH, RIM, TAMBOURINE, SHAKER = (
    36, 38, 39, 42, 46, 51, 49, 37, 54, 70,
)  # fmt: skip
_TOMS = (50, 48, 45, 43)

# Per style and metre: (instrument, beats of the bar, how likely each stroke is).
_GROOVES: dict[str, dict[int, tuple[tuple[int, tuple[float, ...], float], ...]]] = {
    "rock": {
        4: (
            (KICK, (0, 2), 1.0),
            (KICK, (2.5, 1.5), 0.4),
            (SNARE, (1, 3), 1.0),
            (HAT, (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5), 0.97),
        ),
        3: ((KICK, (0,), 1.0), (SNARE, (1, 2), 0.8), (HAT, (0, 0.5, 1, 1.5, 2, 2.5), 0.9)),
    },
    "four on the floor": {
        4: ((KICK, (0, 1, 2, 3), 1.0), (CLAP, (1, 3), 1.0), (OPEN_HAT, (0.5, 1.5, 2.5, 3.5), 0.9)),
        3: ((KICK, (0, 1, 2), 1.0), (OPEN_HAT, (0.5, 1.5, 2.5), 0.8)),
    },
    "ballad": {
        4: ((KICK, (0,), 1.0), (KICK, (2.5,), 0.5), (RIM, (2,), 1.0), (HAT, (0, 1, 2, 3), 0.95)),
        3: ((KICK, (0,), 1.0), (RIM, (2,), 0.7), (HAT, (0, 1, 2), 0.95)),
    },
    "swing": {
        4: (
            (RIDE, (0, 1, 1.67, 2, 3, 3.67), 0.95),
            (HAT, (1, 3), 1.0),
            (KICK, (0, 2), 0.5),
            (SNARE, (1.67, 2.67, 3.67), 0.25),
        ),
        3: ((RIDE, (0, 1, 1.67, 2), 0.95), (HAT, (1, 2), 0.9), (KICK, (0,), 0.9)),
    },
    "sixteenths": {
        4: (
            (KICK, (0, 0.75, 2.25), 0.8),
            (SNARE, (1, 3), 1.0),
            (SNARE, (1.75, 2.25, 3.75), 0.25),
            (HAT, tuple(np.arange(0, 4, 0.25)), 0.9),
        ),
        3: ((KICK, (0, 1.75), 0.8), (SNARE, (2,), 1.0), (HAT, tuple(np.arange(0, 3, 0.25)), 0.9)),
    },
    "shaker": {
        4: ((SHAKER, tuple(np.arange(0, 4, 0.5)), 0.95), (KICK, (0, 2), 0.7), (RIM, (1, 3), 0.6)),
        3: ((SHAKER, tuple(np.arange(0, 3, 0.5)), 0.95), (KICK, (0,), 0.9)),
    },
    "tambourine": {
        4: ((TAMBOURINE, (1, 3), 1.0), (KICK, (0, 2), 0.8), (SNARE, (1, 3), 0.5)),
        3: ((TAMBOURINE, (1, 2), 1.0), (KICK, (0,), 0.9)),
    },
}
GROOVES = tuple(_GROOVES)
_ACCENTS = {KICK: 12, SNARE: 10, CLAP: 8, HAT: -14, SHAKER: -18, RIM: -4}


def drum_track(bars: Sequence[Bar], groove: str, metre: int, rng: Generator) -> tuple[Note, ...]:
    """A groove over all spans (whatever their chords), with fills and crashes."""
    pattern = _GROOVES[groove][3 if metre == 3 else 4]
    length = 3 if metre == 3 else 4
    level, human = rng.uniform(70, 105), rng.uniform(0.001, 0.006)
    fill_every = int(rng.choice((4, 8, 8, 16)))
    notes: list[Note] = []

    def hit(drum: int, time: float, accent: float = 0) -> None:
        start = max(0.0, time + rng.normal(0, human))
        force = _velocity(level + _ACCENTS.get(drum, 0) + accent, rng)
        notes.append(Note(start, start + 0.1, drum, force))

    bar_number = 0
    for bar in bars:
        for beat in range(bar.beats):
            within = (bar.first + beat) % length
            bar_number += within == 0
            filling = bar_number % fill_every == 0 and within == length - 1
            if filling:
                for quarter, drum in enumerate(rng.choice(_TOMS, 4)):
                    hit(int(drum), bar.time(beat + quarter / 4), 4)
                continue
            if within == 0 and bar_number % fill_every == 1 and rng.random() < 0.6:
                hit(CRASH, bar.time(beat))
            for drum, strokes, chance in pattern:
                for at in strokes:
                    if within <= at < within + 1 and rng.random() < chance:
                        hit(drum, bar.time(beat + at - within))
    return tuple(notes)
