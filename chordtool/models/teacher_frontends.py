"""The front ends of the pre-trained teachers, in numpy.

- ``"hybrid-cqt"`` (lv): what ``librosa.hybrid_cqt`` with ``tuning=None`` computes. The tuning of
  the whole recording shifts the bins; low bins come from the constant-Q transform, high ones,
  whose filters are shorter than a hop, from the magnitudes of a short-time spectrum.
- ``"harmonic-cqt-db"`` (crema): two constant-Q transforms an octave apart, in decibels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from chordtool.constantq import cqt_magnitude, relative_bandwidth, wavelet_spectra
from chordtool.frontend import C1, FrontEnd
from chordtool.types import Features, Samples

LV_FRONT_END: Final = FrontEnd(
    kind="hybrid-cqt",
    hop_length=512,
    n_bins=288,
    bins_per_octave=36,
    fmin=C1 * 2 ** (-6 / 12),
    log_offset=0.0,
)
"""288 linear magnitudes from F#0 up, three a semitone, bins shifted by the estimated tuning."""

CREMA_FRONT_END: Final = FrontEnd(
    kind="harmonic-cqt-db",
    sample_rate=44_100,
    hop_length=4096,
    n_bins=216,
    bins_per_octave=36,
    log_offset=0.0,
)
"""216 decibel values from C1 and 216 from C2, as two channels."""

_TOP_DB: Final = 80.0
_AMIN: Final = 1e-5
# piptrack's range and threshold, and the bins of pitch_tuning's histogram.
_TUNING_FFT: Final = 2048
_TUNING_RANGE: Final = (150.0, 4000.0)
_TUNING_THRESHOLD: Final = 0.1
_TUNING_STEPS: Final = 100
_BLOCK_FRAMES: Final = 512


def harmonic_cqt_db(samples: Samples) -> Features:
    """Constant-Q magnitudes from C1 and from C2 in decibels below each one's maximum.

    The bins that both share are computed once.

    Args:
        samples: float32 [n], mono at 44,100 Hz.

    Returns:
        float32 [frames, 216, 2], -80..0. ``n // 4096`` frames, as pumpp counts them, but one
        for a recording shorter than a hop and none without samples.
    """
    n_bins, per_octave = CREMA_FRONT_END.n_bins, CREMA_FRONT_END.bins_per_octave
    both = FrontEnd(
        sample_rate=CREMA_FRONT_END.sample_rate,
        hop_length=CREMA_FRONT_END.hop_length,
        n_bins=n_bins + per_octave,
        bins_per_octave=per_octave,
        fmin=CREMA_FRONT_END.fmin,
    )
    magnitude = cqt_magnitude(samples, both)
    n_frames = min(len(magnitude), max(1, len(samples) // both.hop_length))
    features = np.empty((n_frames, n_bins, 2), np.float32)
    for channel in range(2):
        low = channel * per_octave
        features[:, :, channel] = _decibels(magnitude[:n_frames, low : low + n_bins])
    return features


def _decibels(magnitude: Features) -> Features:
    """``20 log10(magnitude / max)``, at least -80; silence is 0 everywhere, as in librosa."""
    reference = max(_AMIN, float(magnitude.max(initial=0.0)))
    decibels = 20 * np.log10(np.maximum(magnitude, _AMIN) / np.float32(reference))
    floored: Features = np.maximum(decibels, decibels.max(initial=-np.inf) - _TOP_DB)
    return floored


def hybrid_cqt(samples: Samples, tuning: float | None = None) -> Features:
    """Constant-Q magnitudes as ``librosa.hybrid_cqt`` computes them.

    Args:
        samples: float32 [n], mono at 22,050 Hz.
        tuning: offset of the bins in bins; ``None``: estimated from the recording.

    Returns:
        float32 [frames, 288], linear magnitudes; ``1 + n // 512`` frames, none without samples.
    """
    if tuning is None:
        tuning = estimate_tuning(samples)
    front_end = LV_FRONT_END
    hop = front_end.hop_length
    n_full, low, basis = _high_bins(tuning)
    full = FrontEnd(
        hop_length=hop,
        n_bins=n_full,
        bins_per_octave=front_end.bins_per_octave,
        fmin=_tuned_fmin(tuning),
    )
    # Halved signals are rounded up, so the lower bins may have a frame that the others have not.
    n_frames = 1 + len(samples) // hop if len(samples) else 0
    magnitude = np.empty((n_frames, front_end.n_bins), np.float32)
    magnitude[:, :n_full] = cqt_magnitude(samples, full)[:n_frames]
    for first, block in _spectrogram(samples, 2 * hop, hop):
        rows = magnitude[first : first + len(block), n_full:]
        rows[...] = block[:, low : low + len(basis)] @ basis
    return magnitude


def _tuned_fmin(tuning: float) -> float:
    return LV_FRONT_END.fmin * 2 ** (tuning / LV_FRONT_END.bins_per_octave)


@lru_cache(maxsize=_TUNING_STEPS)
def _high_bins(tuning: float) -> tuple[int, int, NDArray[np.float32]]:
    """The filters that work on magnitudes of the short-time spectrum.

    Returns:
        How many bins lie below them; the first line of the spectrum that they hear; the
        filters, float32 [lines, bins], gain included.
    """
    front_end = LV_FRONT_END
    n_fft = 2 * front_end.hop_length
    alpha = relative_bandwidth(front_end.bins_per_octave)
    frequencies = _tuned_fmin(tuning) * 2 ** (
        np.arange(front_end.n_bins) / front_end.bins_per_octave
    )
    lengths = front_end.sample_rate / (alpha * frequencies)
    n_full = int(np.sum(2 ** np.ceil(np.log2(lengths)) >= n_fft))
    spectra = np.abs(wavelet_spectra(frequencies[n_full:], front_end.sample_rate, alpha, n_fft))
    spectra *= (lengths[n_full:] / n_fft / math.sqrt(n_fft))[:, None]
    heard = np.flatnonzero(spectra.any(axis=0))
    low, high = int(heard[0]), int(heard[-1]) + 1
    return n_full, low, np.ascontiguousarray(spectra[:, low:high].T, np.float32)


def _spectrogram(
    samples: Samples, n_fft: int, hop: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Hann-windowed magnitudes a block at a time: first frame, float32 [block, n_fft // 2 + 1].

    Frame k is centred on sample ``k * hop``; zeros surround the recording.
    """
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    n_frames = 1 + len(samples) // hop if len(samples) else 0
    for first in range(0, n_frames, _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, n_frames - first)
        begin = first * hop - n_fft // 2
        end = begin + (count - 1) * hop + n_fft
        stretch = np.ascontiguousarray(samples[max(0, begin) : end], np.float32)
        stretch = np.pad(stretch, (max(0, -begin), max(0, end - len(samples))))
        stride = stretch.strides[0]
        frames = as_strided(stretch, (count, n_fft), (hop * stride, stride), writeable=False)
        yield first, np.abs(np.fft.rfft(frames * window)).astype(np.float32, copy=False)


def estimate_tuning(samples: Samples) -> float:
    """Tuning of a recording against A4 = 440 Hz, as ``librosa.estimate_tuning`` finds it.

    Peaks of the short-time spectrum, their frequencies refined by a parabola through three
    lines; of the louder half of them the commonest distance from the nearest bin.

    Args:
        samples: float32 [n], mono at 22,050 Hz.

    Returns:
        In bins (a third of a semitone each), -0.5 up to 0.5 in steps of 0.01; 0 without peaks.
    """
    frequencies, magnitudes = _spectral_peaks(samples)
    if len(frequencies) == 0:
        return 0.0
    loud = frequencies[magnitudes >= np.median(magnitudes)]
    per_octave = LV_FRONT_END.bins_per_octave
    residual = np.mod(per_octave * np.log2(loud / (440.0 / 16)), 1.0)
    residual[residual >= 0.5] -= 1.0
    edges = np.linspace(-0.5, 0.5, _TUNING_STEPS + 1)
    counts, _ = np.histogram(residual, edges)
    return float(edges[counts.argmax()])


def _spectral_peaks(samples: Samples) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Refined frequencies in Hz and magnitudes of the peaks of all frames."""
    lines = np.fft.rfftfreq(_TUNING_FFT, 1 / LV_FRONT_END.sample_rate)
    low, high = np.searchsorted(lines, _TUNING_RANGE)
    frequencies, magnitudes = [], []
    for _, spectrum in _spectrogram(samples, _TUNING_FFT, _TUNING_FFT // 4):
        floor = _TUNING_THRESHOLD * spectrum.max(axis=1, keepdims=True)
        left = spectrum[:, low - 1 : high - 1]
        centre = spectrum[:, low:high]
        right = spectrum[:, low + 1 : high + 1]
        peaks = np.flatnonzero((centre > floor) & (centre > left) & (centre >= right))
        a, b, c = (part.reshape(-1)[peaks] for part in (left, centre, right))
        slope, curvature = (c - a) / 2, c + a - 2 * b
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = np.where(np.abs(slope) >= np.abs(curvature), 0, -slope / curvature)
        line = low + peaks % (high - low)
        frequencies.append((line + shift) * LV_FRONT_END.sample_rate / _TUNING_FFT)
        magnitudes.append(b + slope * shift / 2)
    if not frequencies:
        return np.empty(0, np.float32), np.empty(0, np.float32)
    return (
        np.concatenate(frequencies).astype(np.float32),
        np.concatenate(magnitudes).astype(np.float32),
    )
