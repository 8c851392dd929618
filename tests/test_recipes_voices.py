"""Melodies sung on speech: pitch, time, and the mix that their labels still fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from recipes import output, sung_songs, voices
from recipes.arrangement import Note
from recipes.soundfonts import SAMPLE_RATE
from tests.renderings import needs_fonts, write_song

needs_world = pytest.mark.skipif(
    not voices.has_world(), reason="pyworld is not installed: recipes/setup.sh"
)
A3, E4 = 57, 64


def _speech_like(path: Path, hertz: float = 120.0) -> Path:
    """Three hissed and hummed syllables: a buzz through two formants, with noise before it."""
    rng = np.random.default_rng(1)
    rate, sound = 16000, []
    for formant in (700, 400, 1000):
        sound.append(0.02 * rng.standard_normal(rate // 20))
        buzz = signal.square(2 * np.pi * hertz * np.arange(rate // 3) / rate, duty=0.1)
        vowel = sum(
            signal.sosfilt(signal.butter(2, (f, f + 250), "band", fs=rate, output="sos"), buzz)
            for f in (formant, 3 * formant)
        )
        sound.append(vowel * np.hanning(len(vowel)))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(sound), rate)
    return path


def _hertz(sound: np.ndarray) -> float:
    """The period of a sound, by its autocorrelation."""
    sound = sound - sound.mean()
    correlation = signal.correlate(sound, sound, "full")[len(sound) - 1 :]
    low, high = SAMPLE_RATE // 500, SAMPLE_RATE // 70
    return float(SAMPLE_RATE / (low + np.argmax(correlation[low:high])))


def test_one_voice_sings_the_highest_notes_one_after_the_other() -> None:
    chord = [Note(0.0, 2.0, 60, 90), Note(0.01, 2.0, 67, 90), Note(1.0, 1.5, 64, 90)]
    edges = [Note(-0.2, 0.3, 50, 90), Note(4.9, 9.0, 62, 90), Note(3.0, 3.01, 70, 90)]
    sung = [(n.start, n.end, n.pitch) for n in voices.one_voice(chord, 5.0)]
    assert sung == [(0.0, 1.0, 60), (1.0, 1.5, 64)]
    sung = [(n.start, n.end, n.pitch) for n in voices.one_voice(edges, 5.0)]
    assert sung == [(0.0, 0.3, 50), (4.9, 5.0, 62)]


def test_speech_is_cut_at_pauses_and_dips() -> None:
    pitch = np.zeros(200)
    pitch[30:110] = 120
    pitch[150:156] = 120  # too short for a vowel
    envelope = np.ones((200, 4))
    envelope[68:72] = 0.01
    envelope[:20] = 1e-9
    found = voices.syllables_of(pitch, envelope)
    assert [(s.onset, s.end) for s in found] == [(20, found[1].start), (found[1].start, 110)]
    assert 66 <= found[1].start <= 73
    assert found[0].start == 30


@needs_world
def test_a_melody_is_sung_at_its_pitch_and_time(tmp_path: Path) -> None:
    speech = voices.take_apart(_speech_like(tmp_path / "a.wav"))
    assert speech is not None
    assert speech.pitch == pytest.approx(120, rel=0.03)
    assert len(speech.syllables) >= 2
    sound = voices.sing(
        [Note(0.5, 1.5, A3, 90), Note(1.5, 2.5, E4, 90)], 3.0, [speech], output.generator("x", 1)
    )
    assert sound.dtype == np.float32
    assert len(sound) == 3 * SAMPLE_RATE
    quiet = np.abs(sound[: round(0.25 * SAMPLE_RATE)]).max()
    assert quiet < 0.01 * np.abs(sound).max()
    for start, pitch in ((0.8, A3), (1.9, E4)):
        heard = _hertz(sound[round(start * SAMPLE_RATE) :][: SAMPLE_RATE // 5])
        away = 12 * np.log2(heard / 440) + 69 - pitch
        # An octave is the voice's own choice; a semitone would be another note.
        assert abs(away - 12 * round(away / 12)) < 0.8
    again = voices.sing([Note(0.5, 1.5, A3, 90)], 2.0, [speech], output.generator("x", 1))
    assert np.array_equal(
        again, voices.sing([Note(0.5, 1.5, A3, 90)], 2.0, [speech], output.generator("x", 1))
    )
    assert not voices.sing([], 1.0, [speech], output.generator("x", 1)).any()


@needs_world
def test_what_is_not_spoken_is_not_sung(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).standard_normal(32000) * 0.1
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    soundfile.write(tmp_path / "short.wav", noise[:4000], 16000)
    assert voices.take_apart(tmp_path / "noise.wav") is None
    assert voices.take_apart(tmp_path / "short.wav") is None


@needs_fonts
@needs_world
def test_songs_are_the_same_but_for_the_melody(tmp_path: Path) -> None:
    write_song(tmp_path / "source", melody=True)
    for number in range(3):
        _speech_like(tmp_path / f"speech/nl/sound/{number}.ogg", 110.0 + 10 * number)
    common = ["--source", str(tmp_path / "source"), "--speech", str(tmp_path / "speech")]
    common += ["--language", "nl", "--excerpt-seconds", "12"]
    assert sung_songs.main([*common, "--out", str(tmp_path / "sung")]) == 0
    assert sung_songs.main([*common, "--out", str(tmp_path / "played"), "--played"]) == 0
    sung, played = (soundfile.read(tmp_path / d / "one-s1.flac")[0] for d in ("sung", "played"))
    assert len(sung) == len(played) == 12 * SAMPLE_RATE
    assert not np.array_equal(sung, played)
    labels = [(tmp_path / d / "one-s1.lab").read_text() for d in ("sung", "played")]
    assert labels[0] == labels[1]
    before = (tmp_path / "sung/one-s1.flac").stat().st_mtime_ns
    assert sung_songs.main([*common, "--out", str(tmp_path / "sung")]) == 0
    assert (tmp_path / "sung/one-s1.flac").stat().st_mtime_ns == before
