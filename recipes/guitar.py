"""Guitars: playable voicings on real tunings, and a plucked-string synthesizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import signal

from recipes.accompaniment import Harmony
from recipes.effects import biquad

TUNINGS: dict[str, tuple[int, ...]] = {
    "standard": (40, 45, 50, 55, 59, 64),
    "half step down": (39, 44, 49, 54, 58, 63),
    "drop D": (38, 45, 50, 55, 59, 64),
}
"""MIDI pitches of the open strings, lowest first."""

_REACH = 3
_MUTED = None


@lru_cache(maxsize=8192)
def voicings(
    root: int,
    intervals: tuple[int, ...],
    bass: int,
    tuning: tuple[int, ...] = TUNINGS["standard"],
    highest_position: int = 9,
) -> tuple[tuple[int, ...], ...]:
    """Voicings that a hand can hold, easiest first, as pitches from the lowest string up.

    A hand spans four frets and open strings ring in open position only. Muted strings lie
    below the bass note, or are the highest one. The bass is the lowest pitch and every tone of
    the chord sounds, except that the fifth may be missing from chords of four tones or more.

    Args:
        root: pitch class 0..11.
        intervals: semitones above the root.
        bass: pitch class of the lowest note.
        tuning: MIDI pitches of the open strings.
        highest_position: fret of the first finger, at most.
    """
    wanted = {(root + i) % 12 for i in intervals} | {bass}
    optional = {(root + 7) % 12} if len(intervals) >= 4 else set()
    found: dict[tuple[int, ...], float] = {}
    for position in range(highest_position + 1):
        frets = range(0, _REACH + 1) if position == 0 else range(position, position + _REACH + 1)
        choices = [_string(pitch, frets, wanted) for pitch in tuning]
        for muted in range(3):
            for shape in product(*choices[muted:-1], (*choices[-1], _MUTED)):
                pitches = tuple(p for p in shape if p is not _MUTED)
                if len(pitches) < 4:
                    continue
                heard = {p % 12 for p in pitches}
                if pitches[0] % 12 != bass or pitches[0] > min(pitches):
                    continue
                if not wanted - optional <= heard:
                    continue
                missing = len(wanted - heard)
                effort = 0.4 * position + 1.5 * missing + 0.5 * (6 - len(pitches))
                found[pitches] = min(effort, found.get(pitches, 99.0))
    return tuple(sorted(found, key=lambda pitches: (found[pitches], pitches)))


def _string(open_pitch: int, frets: range, wanted: set[int]) -> tuple[int, ...]:
    return tuple(open_pitch + f for f in frets if (open_pitch + f) % 12 in wanted)


def choose_voicing(
    chord: Harmony, rng: Generator, tuning: str = "standard", capo: int = 0
) -> tuple[int, ...]:
    """Draw a voicing, the easy ones more often; pitches from low to high.

    Falls back to a close voicing over the bass where no shape can be held.
    """
    strings = tuple(p + capo for p in TUNINGS[tuning])
    shapes = voicings(chord.root, chord.intervals, chord.bass, strings)
    if not shapes:
        low = strings[0] + (chord.bass - strings[0]) % 12
        return (low, *(low + 5 + (chord.root + i - low - 5) % 12 for i in chord.intervals))
    return shapes[min(int(rng.exponential(4)), len(shapes) - 1)]


@dataclass(frozen=True)
class Guitar:
    """One plucked-string instrument.

    ``brightness`` 0..1 and ``sustain`` in seconds (time to fall by 60 dB at 110 Hz) describe the
    strings, ``position`` 0..0.5 where they are plucked, ``body`` its resonances in Hz,
    ``cents`` how far each string is out of tune.
    """

    brightness: float
    sustain: float
    position: float
    body: tuple[float, ...]
    cents: tuple[float, ...]

    @staticmethod
    def draw(rng: Generator) -> Guitar:
        """Draw a guitar: bright or dull, dry or ringing, a little out of tune."""
        tuned = rng.uniform(-15, 15)
        body = (rng.uniform(90, 120), rng.uniform(180, 240), rng.uniform(350, 600))
        cents = tuple(float(c) for c in tuned + rng.normal(0, 4, 6))
        return Guitar(
            brightness=float(rng.uniform(0.2, 1.0)),
            sustain=float(rng.uniform(2.5, 9.0)),
            position=float(rng.uniform(0.06, 0.35)),
            body=tuple(float(f) for f in body),
            cents=cents,
        )


def pluck(
    frequency: float, seconds: float, guitar: Guitar, rng: Generator, rate: int
) -> NDArray[np.float64]:
    """One string: noise in a damped, tuned loop.

    The algorithm of K. Karplus and A. Strong (Computer Music Journal 7(2), 1983), with the
    fractional delay and the pick-position comb of D. Jaffe and J. Smith (same issue).

    Args:
        frequency: Hz; below a quarter of the rate.
        seconds: length of the result.
        guitar: see :class:`Guitar`.
        rng: the noise.
        rate: samples a second.

    Returns:
        float64 [seconds * rate], peak near 1.
    """
    period = rate / frequency
    whole = int(period - 1)
    fraction = period - 1 - whole
    damping = 0.02 + 0.16 * (1 - guitar.brightness)
    # Higher strings fall silent sooner, by about the square root of the frequency.
    fall = guitar.sustain * np.sqrt(110 / frequency)
    gain = 10 ** (-3 / (frequency * fall))
    loop = np.convolve([damping, 1 - 2 * damping, damping], [1 - fraction, fraction])
    feedback = np.zeros(whole + 4)
    feedback[0] = 1.0
    feedback[whole : whole + 4] -= gain * loop

    n = int(seconds * rate)
    excitation = np.zeros(n)
    length = min(n, int(period))
    burst = rng.standard_normal(length)
    softness = 0.75 * (1 - guitar.brightness)
    excitation[:length] = signal.lfilter([1 - softness], [1, -softness], burst - burst.mean())
    comb = max(1, int(guitar.position * period))
    excitation[comb:] -= 0.9 * excitation[:-comb].copy()
    sound: NDArray[np.float64] = signal.lfilter([1.0], feedback, excitation)
    peak = float(np.max(np.abs(sound))) + 1e-9
    return sound / peak


def strum(
    pitches: Sequence[int],
    seconds: float,
    guitar: Guitar,
    rng: Generator,
    rate: int,
    stagger: float,
    upward: bool = False,
) -> NDArray[np.float32]:
    """A chord on a :class:`Guitar`: strings ``stagger`` seconds apart, damped at the end.

    Args:
        pitches: MIDI pitches from low to high, at most six.
        upward: begin with the highest string.

    Returns:
        float32 [seconds * rate].
    """
    n = int(seconds * rate)
    mix = np.zeros(n)
    order = list(range(len(pitches)))[:: -1 if upward else 1]
    for k, string in enumerate(order):
        first = int(k * stagger * rate * rng.uniform(0.7, 1.3))
        if first >= n - rate // 20:
            continue
        cents = guitar.cents[string % len(guitar.cents)]
        frequency = 440 * 2 ** ((pitches[string] - 69 + cents / 100) / 12)
        sound = pluck(frequency, (n - first) / rate, guitar, rng, rate)
        mix[first : first + len(sound)] += rng.uniform(0.5, 1.0) * sound
    sections = [biquad("peak", f, rng.uniform(3, 9), 2.5, rate) for f in guitar.body]
    mix = signal.sosfilt(np.concatenate(sections), mix)
    damp = min(n, int(0.04 * rate))
    mix[n - damp :] *= np.linspace(1, 0, damp)
    return np.asarray(mix, np.float32)
