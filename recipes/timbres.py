"""Instruments that no sound font has: additive tones whose spectrum and envelope are drawn.

Four fonts are four bands of musicians; a recogniser that hears no others learns their sound along
with the chords. Here each part of a song gets an instrument that is heard once and never again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.arrangement import Note, Part
from recipes.soundfonts import DECAYING, FAMILIES, SAMPLE_RATE

_TABLE: Final = 2048
_HARMONICS: Final = 40
_LONGEST_RING: Final = 8.0
"""Seconds that a pedal holds a key after it was let go."""
_STRUCK: Final = DECAYING | frozenset(FAMILIES["bass"])


@dataclass(frozen=True)
class Timbre:
    """One instrument.

    ``dull`` and ``bright`` are amplitudes of the harmonics from the fundamental up; ``bright``
    fades away ``bright_seconds`` after the attack. ``fall`` is the time constant of the decay in
    seconds at middle C, infinite for what does not die away; ``voices`` are the detunings in cents
    of the tones that sound together; ``vibrato`` is its depth in cents and its rate in Hz;
    ``breath`` the level of the noise around the attack.
    """

    dull: NDArray[np.float64]
    bright: NDArray[np.float64]
    bright_seconds: float
    attack: float
    fall: float
    release: float
    voices: tuple[float, ...]
    vibrato: tuple[float, float]
    breath: float

    @staticmethod
    def draw(rng: Generator, *, struck: bool) -> Timbre:
        """Draw an instrument: ``struck`` or plucked ones die away."""
        harmonics = np.arange(1, _HARMONICS + 1)

        def spectrum(slope: float) -> NDArray[np.float64]:
            amplitudes = harmonics**-slope * np.exp(rng.normal(0, 0.6, _HARMONICS))
            if rng.random() < 0.2:
                amplitudes[1::2] *= rng.uniform(0, 0.3)  # As in clarinets and closed pipes.
            if rng.random() < 0.4:  # A formant.
                centre, width = rng.uniform(2, 12), rng.uniform(1, 4)
                peak = np.exp(-(((harmonics - centre) / width) ** 2))
                amplitudes *= 1 + rng.uniform(1, 5) * peak
            tilted: NDArray[np.float64] = amplitudes / np.sqrt(np.sum(amplitudes**2))
            return tilted

        slope = rng.uniform(0.8, 2.6)
        several = rng.random() < 0.4
        wavers = not struck and rng.random() < 0.5
        return Timbre(
            dull=spectrum(slope),
            bright=spectrum(max(0.3, slope - rng.uniform(0.3, 1.0))) * rng.uniform(0, 1),
            bright_seconds=float(rng.uniform(0.05, 0.6)),
            attack=float(rng.uniform(0.001, 0.012) if struck else rng.uniform(0.005, 0.12)),
            fall=float(rng.uniform(0.25, 2.5)) if struck else np.inf,
            release=float(rng.uniform(0.03, 0.25) if struck else rng.uniform(0.05, 0.5)),
            voices=tuple(rng.normal(0, 6, 2)) if several else (0.0,),
            vibrato=(float(rng.uniform(3, 18)) if wavers else 0.0, float(rng.uniform(4, 7))),
            breath=float(rng.uniform(0, 0.15)),
        )


def play(
    parts: Sequence[Part], duration: float, detune_cents: float, rng: Generator
) -> NDArray[np.float32]:
    """Play pitched parts, each on an instrument of its own.

    Args:
        parts: see :class:`recipes.arrangement.Part`; their programs only say whether the sound
            dies away.
        duration: seconds of audio.
        detune_cents: moves all pitches.
        rng: draws the instruments.

    Returns:
        mono float32 [round(duration * 22050)].
    """
    mix = np.zeros(round(duration * SAMPLE_RATE))
    for part in parts:
        timbre = Timbre.draw(rng, struck=part.program in _STRUCK)
        level = part.levels.volume / 127
        tables: dict[int, NDArray[np.float32]] = {}
        for note in part.notes:
            let_go = _let_go(note, part.pedal, duration)
            hertz = 440 * 2 ** ((note.pitch - 69 + detune_cents / 100) / 12)
            if note.pitch not in tables:
                tables[note.pitch] = _tables(timbre, hertz)
            sound = _tone(timbre, tables[note.pitch], hertz, let_go - note.start, rng)
            first = round(note.start * SAMPLE_RATE)
            room = len(mix) - first
            if room > 0:
                loudness = level * (note.velocity / 127) ** 1.5
                mix[first : first + len(sound)] += loudness * sound[:room]
    return mix.astype(np.float32)


def _let_go(note: Note, pedal: Sequence[tuple[float, bool]], duration: float) -> float:
    """When a key's string is damped: at its end, or when the pedal comes up after it."""
    down = False
    for time, pressed in pedal:
        if time <= note.end:
            down = pressed
        elif not down:
            break
        elif not pressed:
            return min(time, note.end + _LONGEST_RING)
    return min(duration, note.end + _LONGEST_RING) if down else note.end


def _tables(timbre: Timbre, hertz: float) -> NDArray[np.float32]:
    """One period of the dull and of the bright sound, without what would alias; [2, table]."""
    audible = np.arange(1, _HARMONICS + 1) * hertz < 0.45 * SAMPLE_RATE
    spectra = np.zeros((2, _TABLE // 2 + 1), np.complex128)
    # Phases as a string has them that starts from rest.
    spectra[:, 1 : _HARMONICS + 1] = -1j * np.stack((timbre.dull, timbre.bright)) * audible
    periods = np.fft.irfft(spectra, _TABLE, axis=1) * _TABLE / 2
    return periods.astype(np.float32)


def _tone(
    timbre: Timbre, tables: NDArray[np.float32], hertz: float, seconds: float, rng: Generator
) -> NDArray[np.float32]:
    n = max(1, round((seconds + 3 * timbre.release) * SAMPLE_RATE))
    t = np.arange(n, dtype=np.float32) / np.float32(SAMPLE_RATE)
    depth, rate = timbre.vibrato
    # A vibrato of so many cents is a phase that swings by this share of a second.
    swing = (2 ** (depth / 1200) - 1) / (2 * np.pi * rate)
    moved = t + np.float32(swing) * np.sin(np.float32(2 * np.pi * rate) * t) if depth else t
    brightness = np.exp(-t / np.float32(timbre.bright_seconds))
    sound = np.zeros(n, np.float32)
    for cents in timbre.voices:
        periods = moved.astype(np.float64) * (hertz * 2 ** (cents / 1200)) + rng.random()
        index = ((periods - np.floor(periods)) * _TABLE).astype(np.int32)
        sound += tables[0][index] + brightness * tables[1][index]
    if timbre.breath:
        burst = min(n, SAMPLE_RATE // 8)
        noise = rng.standard_normal(burst, dtype=np.float32) * np.float32(timbre.breath)
        sound[:burst] += noise * np.linspace(1, 0, burst, dtype=np.float32)
    envelope = np.minimum(t / np.float32(timbre.attack), 1)
    if np.isfinite(timbre.fall):
        # Higher strings fall silent sooner, by about the square root of the frequency.
        envelope *= np.exp(-t / np.float32(timbre.fall * np.sqrt(261.6 / hertz)))
    released = np.maximum(0, t - np.float32(max(seconds, timbre.attack)))
    envelope *= np.exp(-released / np.float32(timbre.release / 2))
    return np.asarray(sound * envelope, np.float32)
