"""Sing notes on syllables of recorded speech: its sound, with the pitch and rhythm of a melody.

Speech is taken apart by WORLD into pitch, spectral envelope and aperiodicity (Morise, Yokomori and
Ozawa, "WORLD: A Vocoder-Based High-Quality Speech Synthesis System for Real-Time Applications",
IEICE Transactions 2016), cut into syllables, and put together again: each note has a syllable,
whose vowel is as long and as high as the note. Consonants come before the beat. As singers do,
the voice slides from note to note, swells into a vibrato, and is out of tune by a little.

Needs the package pyworld; no speech is part of the project.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import signal

from recipes.arrangement import Note
from recipes.soundfonts import SAMPLE_RATE

Floats = NDArray[np.float64]

PERIOD: Final = 0.005
"""Seconds from one frame of WORLD to the next."""
_SECONDS: Final = (0.8, 12.0)
"""Shorter speech is a shout, longer is a speech."""
_SHORTEST_VOWEL: Final = 12
_LONGEST_ONSET: Final = 24
_SILENCE: Final = 1e-12
_HIGH_VOICE: Final = 165.0
"""Hz: voices that speak above it sing an octave higher."""


@dataclass(frozen=True)
class Syllable:
    """Frames: a consonant or none from ``onset``, a vowel from ``start`` to ``end``."""

    onset: int
    start: int
    end: int


@dataclass(frozen=True)
class Speech:
    """A recording, taken apart."""

    pitch: float
    """Median, Hz."""
    envelope: Floats
    """Power, float64 [frames, bins]."""
    aperiodicity: Floats
    """0..1, float64 [frames, bins]."""
    syllables: tuple[Syllable, ...]


@dataclass(frozen=True)
class Manner:
    """How one singer sings one song."""

    vibrato: float
    """Cents either way."""
    vibrato_hz: float
    glide: float
    """Seconds from note to note."""
    scoop: float
    """Cents below a note that does not follow another."""
    out_of_tune: float
    """Cents, the standard deviation over notes."""
    drift: float
    """Cents, roughly, within notes."""
    formants: float
    """How far the spectral envelope is stretched: below 1 the singer is larger."""

    @staticmethod
    def draw(rng: Generator) -> Manner:
        """Draw a singer."""
        return Manner(
            vibrato=rng.uniform(0, 70),
            vibrato_hz=rng.uniform(4.8, 6.4),
            glide=rng.uniform(0.02, 0.09),
            scoop=rng.uniform(0, 120),
            out_of_tune=rng.uniform(3, 18),
            drift=rng.uniform(3, 12),
            formants=2 ** rng.uniform(-0.12, 0.12),
        )


def has_world() -> bool:
    """Whether pyworld is installed."""
    try:
        import pyworld  # noqa: F401
    except ImportError:
        return False
    return True


def take_apart(path: Path) -> Speech | None:
    """Analyse a recording of one voice; ``None`` if little of it is voiced.

    Raises:
        soundfile.LibsndfileError: it cannot be read.
    """
    import pyworld

    samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    if not _SECONDS[0] < len(samples) / rate < _SECONDS[1]:
        return None
    sound = signal.resample_poly(samples.mean(axis=1), SAMPLE_RATE, rate)
    rough, times = pyworld.dio(sound, SAMPLE_RATE, frame_period=1000 * PERIOD)
    pitch = pyworld.stonemask(sound, rough, times, SAMPLE_RATE)
    if np.mean(pitch > 0) < 0.3:
        return None
    envelope = pyworld.cheaptrick(sound, pitch, times, SAMPLE_RATE)
    syllables = syllables_of(pitch, envelope)
    if not syllables:
        return None
    aperiodicity = pyworld.d4c(sound, pitch, times, SAMPLE_RATE)
    return Speech(float(np.median(pitch[pitch > 0])), envelope, aperiodicity, syllables)


def syllables_of(pitch: Floats, envelope: Floats) -> tuple[Syllable, ...]:
    """Voiced stretches, cut where their level dips, and the consonants before them.

    Args:
        pitch: Hz, 0 where unvoiced, float64 [frames].
        envelope: power, float64 [frames, bins].
    """
    level = signal.medfilt(10 * np.log10(envelope.sum(axis=1) + _SILENCE), 5)
    voiced = np.concatenate([[False], pitch > 0, [False]])
    edges = np.flatnonzero(np.diff(voiced.astype(int)))
    found = []
    for first, last in edges.reshape(-1, 2):
        dips, _ = signal.find_peaks(-level[first:last], prominence=3, distance=_SHORTEST_VOWEL)
        cuts = [first, *(first + dips), last]
        for start, end in pairwise(cuts):
            if end - start < _SHORTEST_VOWEL:
                continue
            onset = start
            while (
                start == first
                and 0 < onset > start - _LONGEST_ONSET
                and pitch[onset - 1] == 0
                and level[onset - 1] > level.max() - 45
            ):
                onset -= 1
            found.append(Syllable(int(onset), int(start), int(end)))
    return tuple(found)


def one_voice(notes: Iterable[Note], seconds: float) -> list[Note]:
    """The highest notes, each until the next one begins: what one singer can sing."""
    kept: list[Note] = []
    for note in sorted(notes, key=lambda n: (n.start, -n.pitch)):
        start, end = max(note.start, 0.0), min(note.end, seconds)
        if kept and start - kept[-1].start < 0.03:
            continue
        if kept and kept[-1].end > start - 0.01:
            before = kept.pop()
            kept.append(Note(before.start, start, before.pitch, before.velocity))
        kept.append(Note(start, end, note.pitch, note.velocity))
    return [note for note in kept if note.end - note.start >= 0.05]


def sing(
    notes: Iterable[Note],
    seconds: float,
    speech: Sequence[Speech],
    rng: Generator,
    detune_cents: float = 0.0,
) -> NDArray[np.float32]:
    """Sing a melody; of several notes at once the highest.

    Args:
        notes: of the melody. It is moved by octaves to where the voice lies.
        seconds: length of the sound.
        speech: of one speaker or several; those near one of them in pitch are heard.
        rng: draws the singer, and the words.
        detune_cents: how far the instruments are out of tune.

    Returns:
        float32 [seconds at 22,050 Hz], of any level; silence if there are no notes.
    """
    import pyworld

    n_samples = round(seconds * SAMPLE_RATE)
    melody = one_voice(notes, seconds)
    if not melody:
        return np.zeros(n_samples, np.float32)
    near = speech[rng.integers(len(speech))].pitch
    words = _Words([s for s in speech if abs(np.log2(s.pitch / near)) < 0.2], rng)
    high = near > _HIGH_VOICE
    octave = 12 * round((rng.uniform(*((62, 69) if high else (55, 62))) - _middle(melody)) / 12)
    take = _Take(int(seconds / PERIOD) + 2, words.n_bins, Manner.draw(rng), rng)
    for note in melody:
        take.add(note, words, note.pitch + octave + detune_cents / 100)
    sound = pyworld.synthesize(*take.parts(), SAMPLE_RATE, 1000 * PERIOD)[:n_samples]
    return np.pad(sound, (0, n_samples - len(sound))).astype(np.float32)


def _middle(melody: Sequence[Note]) -> float:
    return float(np.median([note.pitch for note in melody]))


class _Words:
    """Syllables, one after the other, as they were spoken."""

    def __init__(self, speech: Sequence[Speech], rng: Generator) -> None:
        self._speech, self._rng = speech, rng
        self._now, self._next = speech[rng.integers(len(speech))], 0
        self.n_bins = speech[0].envelope.shape[1]

    def next(self, *, follows: bool) -> tuple[Speech, Syllable]:
        """The next one; the vowel of the last one again on some notes that follow another."""
        if self._next == len(self._now.syllables):
            self._now, self._next = self._speech[self._rng.integers(len(self._speech))], 0
        if follows and self._next and self._rng.random() < 0.2:
            same = self._now.syllables[self._next - 1]
            return self._now, Syllable(same.start, same.start, same.end)
        self._next += 1
        return self._now, self._now.syllables[self._next - 1]


class _Take:
    """What WORLD makes sound of: pitch, envelope and aperiodicity of each frame."""

    def __init__(self, n_frames: int, n_bins: int, manner: Manner, rng: Generator) -> None:
        self._pitch = np.zeros(n_frames)
        self._envelope = np.full((n_frames, n_bins), _SILENCE)
        self._aperiodicity = np.ones((n_frames, n_bins))
        self._manner, self._rng = manner, rng
        wander = signal.lfilter([0.02], [1, -0.98], rng.standard_normal(n_frames))
        self._drift = 7 * manner.drift * wander
        self._last: tuple[float, float] | None = None
        """Semitones and end of the note before."""

    def add(self, note: Note, words: _Words, semitones: float) -> None:
        """Sing a note; ``semitones`` is its MIDI pitch, as the instruments are tuned."""
        first, last = round(note.start / PERIOD), round(note.end / PERIOD)
        length = last - first
        if length < 6:
            return
        follows = self._last is not None and note.start - self._last[1] < 0.15
        speech, syllable = words.next(follows=follows)
        vowel, breath = _stretched(speech, syllable, length)
        onset = min(syllable.start - syllable.onset, int(0.4 * length), first)
        loud = 1 / np.median(vowel.sum(axis=1))
        rise = np.minimum((np.arange(length) + 1) / 4, (length - np.arange(length)) / 8)
        swell = np.minimum(1, rise) * 10 ** (self._rng.normal(0, 1.5) / 20)
        here, before = slice(first, last), slice(first - onset, first)
        consonant = slice(syllable.start - onset, syllable.start)
        self._envelope[here] = vowel * (loud * swell**2)[:, None]
        self._aperiodicity[here] = np.minimum(breath, 0.95)
        self._envelope[before] = speech.envelope[consonant] * loud
        self._aperiodicity[before] = 1.0
        self._pitch[before] = 0.0
        semitones += self._rng.normal(0, self._manner.out_of_tune) / 100
        cents = self._bend(length, semitones, follows=follows) + self._drift[here]
        self._pitch[here] = 440 * 2 ** ((semitones + cents / 100 - 69) / 12)
        self._last = (semitones, note.end)

    def _bend(self, length: int, semitones: float, *, follows: bool) -> Floats:
        """Cents from a note's pitch: from the note before, or from below, then a vibrato."""
        manner, t = self._manner, np.arange(length) * PERIOD
        if follows and self._last is not None:
            slide = 100 * (self._last[0] - semitones) * np.exp(-((t / manner.glide) ** 1.5))
        else:
            slide = -manner.scoop * np.exp(-t / 0.06)
        depth = manner.vibrato * np.clip((t - 0.2) / 0.25, 0, 1)
        wave = np.sin(2 * np.pi * manner.vibrato_hz * t + self._rng.uniform(0, 2 * np.pi))
        bend: Floats = slide + depth * wave
        return bend

    def parts(self) -> tuple[Floats, Floats, Floats]:
        """Pitch, envelope and aperiodicity, as ``pyworld.synthesize`` takes them."""
        bins = np.arange(self._envelope.shape[1])
        heard = np.clip(bins / self._manner.formants, 0, len(bins) - 1)
        low = heard.astype(int)
        share, high = heard - low, np.minimum(low + 1, len(bins) - 1)
        moved = self._envelope[:, low] * (1 - share) + self._envelope[:, high] * share
        return self._pitch, np.ascontiguousarray(moved), self._aperiodicity


def _stretched(speech: Speech, syllable: Syllable, length: int) -> tuple[Floats, Floats]:
    """A vowel's envelope and aperiodicity over ``length`` frames.

    Where it has to last longer than it was spoken its middle is stretched: it begins and ends as
    fast as speech does.
    """
    spoken = syllable.end - syllable.start
    frames = np.arange(length)
    edge = min(0.3 * spoken, 0.5 * length)
    if length > spoken:
        middle = edge + (frames - edge) / (length - 2 * edge) * (spoken - 2 * edge)
        late = frames >= length - edge
        at = np.where(frames < edge, frames, np.where(late, spoken - length + frames, middle))
    else:
        at = frames / max(length - 1, 1) * (spoken - 1)
    at = np.clip(syllable.start + at, syllable.start, syllable.end - 1)
    low = at.astype(int)
    high, share = np.minimum(low + 1, syllable.end - 1), (at - low)[:, None]
    here, there = (np.log(speech.envelope[frames] + _SILENCE) for frames in (low, high))
    envelope = np.exp((1 - share) * here + share * there)
    breath = (1 - share) * speech.aperiodicity[low] + share * speech.aperiodicity[high]
    return envelope, breath
