from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest

from chordtool import audio
from chordtool.models.teacher_frontends import (
    CREMA_FRONT_END,
    LV_FRONT_END,
    estimate_tuning,
    harmonic_cqt_db,
    hybrid_cqt,
)
from chordtool.types import Samples

SONG = "audio/unlabelled/mcmusic_kevin_macleod__amazing_plan_7f6c53.opus"
FULL_LENGTHS = (1, 2, 511, 512, 513, 40_000)


def music(shared: Path, sample_rate: int, seconds: int = 12) -> Samples:
    """A stretch of a recording, faded in and out: resamplers differ over what follows a jump."""
    samples = audio.load(shared / SONG, sample_rate).samples
    stretch = samples[20 * sample_rate : (20 + seconds) * sample_rate].copy()
    fade = np.linspace(0, 1, sample_rate, dtype=np.float32)
    stretch[:sample_rate] *= fade
    stretch[-sample_rate:] *= fade[::-1]
    return stretch


def chord(tuning_cents: float, seconds: float = 4.0) -> Samples:
    times = np.arange(int(22_050 * seconds)) / 22_050
    notes = 440.0 * 2 ** ((np.array([-9, -5, -2, 3, 7]) + tuning_cents / 100) / 12)
    tones = [np.sin(2 * np.pi * note * times) / k for k, note in enumerate(notes, 1)]
    return np.sum(tones, axis=0).astype(np.float32)


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs) / np.maximum(theirs, 1e-4 * theirs.max())


@pytest.mark.parametrize("cents", [-47, -16, 0, 5, 23, 50])
def test_tuning_is_that_of_librosa(cents: float) -> None:
    samples = chord(cents)
    expected = librosa.estimate_tuning(y=samples, sr=22_050, bins_per_octave=36)
    assert estimate_tuning(samples) == pytest.approx(expected, abs=1e-9)


def test_tuning_of_music_is_that_of_librosa(shared: Path) -> None:
    samples = music(shared, 22_050)
    expected = librosa.estimate_tuning(y=samples, sr=22_050, bins_per_octave=36)
    assert estimate_tuning(samples) == pytest.approx(expected, abs=1e-9)


def test_silence_is_in_tune() -> None:
    assert estimate_tuning(np.zeros(30_000, np.float32)) == 0.0
    assert estimate_tuning(np.zeros(0, np.float32)) == 0.0


@pytest.mark.parametrize("tuning", [-0.5, 0.0, 0.37])
def test_hybrid_transform_agrees_with_librosa(shared: Path, tuning: float) -> None:
    samples = music(shared, 22_050)
    expected = librosa.hybrid_cqt(
        samples,
        sr=22_050,
        hop_length=512,
        fmin=librosa.note_to_hz("F#0"),
        n_bins=288,
        bins_per_octave=36,
        tuning=tuning,
    )
    error = relative_error(hybrid_cqt(samples, tuning), np.abs(expected).T)
    assert np.median(error) < 5e-4
    assert np.percentile(error, 99) < 5e-3


def test_hybrid_transform_finds_the_tuning_itself() -> None:
    samples = chord(23)
    expected = hybrid_cqt(samples, estimate_tuning(samples))
    np.testing.assert_array_equal(hybrid_cqt(samples), expected)


@pytest.mark.parametrize("n_samples", FULL_LENGTHS)
def test_hybrid_transform_takes_any_length(n_samples: int) -> None:
    features = hybrid_cqt(chord(0)[:n_samples])
    assert features.shape == (1 + n_samples // 512, LV_FRONT_END.n_bins)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_harmonic_transform_agrees_with_librosa(shared: Path) -> None:
    samples = music(shared, 44_100)
    n_frames = len(samples) // 4096
    channels = [
        librosa.cqt(
            samples,
            sr=44_100,
            hop_length=4096,
            fmin=harmonic * librosa.note_to_hz("C1"),
            n_bins=216,
            bins_per_octave=36,
        )[:, :n_frames]
        for harmonic in (1, 2)
    ]
    expected = [librosa.amplitude_to_db(np.abs(c), ref=np.max).T for c in channels]
    error = np.abs(harmonic_cqt_db(samples) - np.stack(expected, axis=-1))
    assert np.median(error) < 0.01
    assert np.percentile(error, 99) < 0.1


@pytest.mark.parametrize("n_samples", FULL_LENGTHS)
def test_harmonic_transform_takes_any_length(n_samples: int) -> None:
    features = harmonic_cqt_db(chord(0)[:n_samples])
    assert features.shape == (max(1, n_samples // 4096), CREMA_FRONT_END.n_bins, 2)
    assert features.dtype == np.float32
    assert features.max() <= 1e-4
    assert features.min() >= -80.0001


def test_harmonic_transform_of_silence_is_finite() -> None:
    assert (harmonic_cqt_db(np.zeros(20_000, np.float32)) == 0).all()


def test_no_samples_give_no_frames() -> None:
    nothing = np.zeros(0, np.float32)
    assert hybrid_cqt(nothing).shape == (0, 288)
    assert harmonic_cqt_db(nothing).shape == (0, 216, 2)
