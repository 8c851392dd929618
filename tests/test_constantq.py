from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chordtool import constantq
from chordtool.constantq import CqtStream, cqt_magnitude, halve, log_cqt
from chordtool.frontend import BTC_FRONT_END, FrontEnd

STUDENT = FrontEnd()


def reference(samples: np.ndarray, front_end: FrontEnd = STUDENT) -> np.ndarray:
    return np.abs(
        librosa.cqt(
            samples,
            sr=front_end.sample_rate,
            hop_length=front_end.hop_length,
            n_bins=front_end.n_bins,
            bins_per_octave=front_end.bins_per_octave,
            fmin=front_end.fmin,
        )
    ).T


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def music(shared: Path) -> np.ndarray:
    import soundfile

    samples, rate = soundfile.read(shared / "teachers/btc-golden/clip.flac", dtype="float32")
    assert rate == 22_050
    return samples


def relative_error(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.abs(found - expected) / np.abs(expected)


def test_whole_recordings_agree_with_librosa(music: np.ndarray) -> None:
    error = relative_error(cqt_magnitude(music, STUDENT), reference(music))
    assert np.median(error) < 5e-4
    assert np.quantile(error, 0.99) < 5e-3


def test_chunks_agree_with_the_features_of_the_btc_program(shared: Path, music: np.ndarray) -> None:
    expected = np.load(shared / "teachers/btc-golden/btc_random_expected.npz")["log_cqt"]
    found = log_cqt(music, BTC_FRONT_END)
    assert found.shape == expected.shape
    error = relative_error(np.exp(found) - 1e-6, np.exp(expected) - 1e-6)
    assert np.median(error) < 5e-4
    assert np.quantile(error, 0.99) < 1e-2


@pytest.mark.parametrize("n", [40_000, 65_535, 65_536, 65_537, 100_352, 100_351])
def test_noise_agrees_with_librosa_in_shape_and_value(n: int) -> None:
    samples = noise(n)
    found, expected = cqt_magnitude(samples, STUDENT), reference(samples)
    assert found.shape == expected.shape
    # The edges of the recording meet the edges of two different resampling filters.
    error = relative_error(found, expected)
    assert np.median(error) < 5e-4
    assert np.quantile(error, 0.95) < 5e-3


@pytest.mark.parametrize(
    "front_end",
    [
        FrontEnd(n_bins=168, fmin=STUDENT.fmin * 2 ** (-12 / 24)),
        FrontEnd(n_bins=84, bins_per_octave=12, hop_length=512),
        FrontEnd(n_bins=100, bins_per_octave=36, hop_length=1024),
        FrontEnd(n_bins=60, bins_per_octave=12, hop_length=100),
        FrontEnd(sample_rate=44_100, n_bins=144, hop_length=4096),
    ],
    ids=["spare bins", "12 an octave", "36 an octave", "odd hop", "44.1 kHz"],
)
def test_other_descriptions_agree_with_librosa(front_end: FrontEnd) -> None:
    samples = noise(6 * front_end.sample_rate)
    found, expected = cqt_magnitude(samples, front_end), reference(samples, front_end)
    assert found.shape == expected.shape
    inside = slice(len(found) // 4, -len(found) // 4)
    assert np.median(relative_error(found[inside], expected[inside])) < 5e-4


def test_spare_bins_are_the_same_bins_moved() -> None:
    samples = noise(8 * 22_050)
    spare = FrontEnd(n_bins=168, fmin=STUDENT.fmin * 2 ** (-12 / 24))
    inside = slice(20, -20)
    moved = cqt_magnitude(samples, spare)[inside, 12:156]
    assert np.median(relative_error(moved, cqt_magnitude(samples, STUDENT)[inside])) < 1e-2


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 30_000), chunked=st.booleans())
def test_any_length_gives_finite_frames(n: int, chunked: bool) -> None:
    front_end = FrontEnd(chunk_samples=8192 if chunked else None)
    features = log_cqt(noise(n), front_end)
    assert features.dtype == np.float32
    assert features.shape[1] == 144
    assert len(features) >= 1
    assert np.isfinite(features).all()


def test_no_samples_give_no_frames() -> None:
    assert log_cqt(np.zeros(0, np.float32), STUDENT).shape == (0, 144)
    assert log_cqt(np.zeros(0, np.float32), BTC_FRONT_END).shape == (0, 144)


def test_silence_is_the_floor() -> None:
    features = log_cqt(np.zeros(30_000, np.float32), STUDENT)
    assert np.allclose(features, np.log(1e-6))


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = noise(40 * 22_050)
    whole = cqt_magnitude(samples, STUDENT)
    monkeypatch.setattr(constantq, "BLOCK_FRAMES", 37)
    blocks = cqt_magnitude(samples, STUDENT)
    assert np.allclose(blocks, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("front_end", [STUDENT, BTC_FRONT_END], ids=["whole", "chunked"])
@pytest.mark.parametrize("step", [9_999, 200_000, 3_000_000])
def test_a_growing_recording_gives_the_same_bits(front_end: FrontEnd, step: int) -> None:
    samples = noise(2_900_000)
    stream = CqtStream(front_end)
    blocks: list[np.ndarray] = []
    for start in range(0, len(samples), step):
        piece = samples[start : start + step]
        blocks += stream.log_advance(piece, finished=start + step >= len(samples))
    assert np.array_equal(np.concatenate(blocks), log_cqt(samples, front_end))


def test_a_chunk_knows_nothing_of_its_neighbours() -> None:
    samples = noise(2 * 220_500)
    both = log_cqt(samples, BTC_FRONT_END)
    assert both.shape == (216, 144)
    assert np.array_equal(both[108:], log_cqt(samples[220_500:], BTC_FRONT_END))


def test_a_sine_peaks_in_its_bin() -> None:
    times = np.arange(4 * 22_050) / 22_050
    for k in (10, 70, 130):
        tone = np.sin(2 * np.pi * STUDENT.fmin * 2 ** (k / 24) * times).astype(np.float32)
        assert (cqt_magnitude(tone, STUDENT)[10:-10].argmax(axis=1) == k).all()


def test_halving_keeps_what_the_octaves_below_hear() -> None:
    n = 8192
    for share in (0.01, 0.1, 0.19):
        tone = np.sin(np.pi * share * np.arange(n)).astype(np.float32)
        assert np.abs(halve(tone)[50:-50] - tone[::2][50:-50]).max() < 2e-5
    for share in (0.81, 0.9, 0.99):
        tone = np.cos(np.pi * share * np.arange(n)).astype(np.float32)
        assert np.abs(halve(tone)[50:-50]).max() < 2e-5


def test_bins_above_the_nyquist_frequency_are_refused() -> None:
    with pytest.raises(ValueError, match="highest bin"):
        log_cqt(noise(1000), FrontEnd(n_bins=240))
