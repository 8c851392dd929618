from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recipes import output
from recipes.arrangement import Note, Part
from recipes.soundfonts import SAMPLE_RATE
from recipes.timbres import Timbre, play

PIANO, ORGAN = 0, 19


def _peak_hertz(sound: np.ndarray) -> float:
    """The strongest frequency that is a fundamental: that of the harmonic product spectrum."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 17))
    product = spectrum[: len(spectrum) // 3] ** 2
    for factor in (2, 3):
        product = product * (spectrum[::factor][: len(product)] + 1e-3 * spectrum.max())
    return float(np.argmax(product)) * SAMPLE_RATE / (1 << 17)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("program", [PIANO, ORGAN])
def test_a_note_has_its_pitch_its_time_and_ends(program: int, seed: int) -> None:
    part = Part("p", program, (Note(0.5, 1.5, 57, 100),))
    sound = play([part], 4.0, 0.0, output.generator("x", seed))
    assert len(sound) == 4 * SAMPLE_RATE
    assert np.all(np.isfinite(sound))
    assert not sound[: SAMPLE_RATE // 2].any()
    loud = np.abs(sound) > 0.05 * np.abs(sound).max()
    assert np.flatnonzero(loud)[0] / SAMPLE_RATE < 0.62
    assert not loud[3 * SAMPLE_RATE :].any()
    heard = _peak_hertz(sound[round(0.6 * SAMPLE_RATE) : round(1.4 * SAMPLE_RATE)])
    cents = 1200 * np.log2(heard / 220)
    # Twelve cents are what two voices beside each other may make of it; an octave is a harmonic.
    assert min(abs(cents), abs(cents - 1200), abs(cents - 1902)) < 25


def test_a_pedal_holds_a_note_until_it_comes_up() -> None:
    part = Part("p", ORGAN, (Note(0.0, 0.5, 57, 100),), pedal=((0.0, True), (2.0, False)))
    rng = output.generator("x", 3)
    held = play([part], 6.0, 0.0, rng)
    assert np.abs(held[round(1.5 * SAMPLE_RATE) :][: SAMPLE_RATE // 4]).max() > 0.1
    assert np.abs(held[round(4.5 * SAMPLE_RATE) :]).max() < 0.02 * np.abs(held).max()
    stuck = play([replace(part, pedal=((0.0, True),))], 6.0, 0.0, output.generator("x", 3))
    assert np.abs(stuck[round(5.5 * SAMPLE_RATE) :]).max() > 0.1


def test_instruments_differ_and_repeat_with_the_generator() -> None:
    first, again, other = (
        Timbre.draw(output.generator("x", seed), struck=True) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.dull, again.dull)
    assert first.fall == again.fall
    assert not np.allclose(first.dull, other.dull)
