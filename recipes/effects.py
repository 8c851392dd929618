"""What happens between the instrument and the file: rooms, equalisers, compressors, noise, phones.

All processing is causal and starts with the direct sound, so that labels stay in place.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import signal

Samples = NDArray[np.float32]


def biquad(kind: str, frequency: float, gain_db: float, q: float, rate: int) -> NDArray[np.float64]:
    """One second-order section of a peaking or shelving equaliser.

    From R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter coefficients".

    Args:
        kind: ``"peak"``, ``"low"`` or ``"high"`` (shelves).
        frequency: centre or corner in Hz.
        gain_db: boost or cut.
        q: quality factor.
        rate: samples a second.

    Returns:
        float64 [1, 6], as scipy's ``sosfilt`` wants it.
    """
    a = 10 ** (gain_db / 40)
    w = 2 * np.pi * frequency / rate
    cos, alpha = np.cos(w), np.sin(w) / (2 * q)
    if kind == "peak":
        section = [1 + alpha * a, -2 * cos, 1 - alpha * a, 1 + alpha / a, -2 * cos, 1 - alpha / a]
    else:
        s = 1 if kind == "low" else -1
        root = 2 * np.sqrt(a) * alpha
        section = [
            a * ((a + 1) - s * (a - 1) * cos + root),
            s * 2 * a * ((a - 1) - s * (a + 1) * cos),
            a * ((a + 1) - s * (a - 1) * cos - root),
            (a + 1) + s * (a - 1) * cos + root,
            -s * 2 * ((a - 1) + s * (a + 1) * cos),
            (a + 1) + s * (a - 1) * cos - root,
        ]
    normalised: NDArray[np.float64] = np.array(section) / section[3]
    return normalised[None]


def equalise(audio: Samples, rng: Generator, rate: int, depth_db: float = 7.0) -> Samples:
    """A low shelf, a high shelf and up to three peaks, each drawn up to ``depth_db``."""
    sections = [
        biquad("low", rng.uniform(80, 300), rng.uniform(-depth_db, depth_db), 0.7, rate),
        biquad("high", rng.uniform(2000, 6000), rng.uniform(-depth_db, depth_db), 0.7, rate),
    ]
    for _ in range(int(rng.integers(0, 4))):
        frequency = float(np.exp(rng.uniform(np.log(120), np.log(6000))))
        gain, q = rng.uniform(-depth_db, depth_db), rng.uniform(0.5, 3)
        sections.append(biquad("peak", frequency, gain, q, rate))
    return np.asarray(signal.sosfilt(np.concatenate(sections), audio), np.float32)


def reverberate(
    audio: Samples, rng: Generator, rate: int, seconds: tuple[float, float], wet: float
) -> Samples:
    """Add a room: noise that decays by 60 dB in a time drawn from ``seconds``, early echoes."""
    decay = rng.uniform(*seconds)
    n = int(decay * rate)
    t = np.arange(n) / rate
    room = rng.standard_normal(n) * 10 ** (-3 * t / decay)
    room[: int(rng.uniform(0.004, 0.02) * rate)] = 0.0
    for _ in range(int(rng.integers(2, 7))):
        room[int(rng.uniform(0.003, 0.04) * rate) % n] += rng.uniform(-6, 6)
    # Air and walls take the highs first.
    room = signal.sosfilt(
        signal.butter(1, rng.uniform(1500, 6000), fs=rate, output="sos"), room
    ) / np.sqrt(n / 10)
    tail = signal.oaconvolve(audio, room)[: len(audio)]
    level = np.std(audio) / (np.std(tail) + 1e-9)
    return np.asarray((1 - wet) * audio + wet * level * tail, np.float32)


def compress(audio: Samples, rng: Generator, rate: int, ratio: float) -> Samples:
    """Reduce what is above a threshold near the mean level by ``ratio`` (in dB)."""
    smoothing = np.exp(-1 / (rng.uniform(0.02, 0.15) * rate))
    power = signal.lfilter([1 - smoothing], [1, -smoothing], audio.astype(np.float64) ** 2)
    level = 10 * np.log10(power + 1e-9)
    loud = level[level > -60]
    if not len(loud):
        return audio
    threshold = np.mean(loud) + rng.uniform(-8, 2)
    reduction = np.maximum(level - threshold, 0) * (1 - 1 / ratio)
    return np.asarray(audio * 10 ** (-reduction / 20), np.float32)


def noise(n: int, rng: Generator, rate: int) -> Samples:
    """Noise of unit power: white, pink or brown, at times with mains hum."""
    colour = rng.choice(("white", "pink", "brown"))
    sound = rng.standard_normal(n)
    if colour == "pink":
        # Paul Kellet's economy filter, as three one-pole sections in parallel.
        poles = ((0.99765, 0.0990460), (0.96300, 0.2965164), (0.57000, 1.0526913))
        sound = sum(signal.lfilter([g], [1, -p], sound) for p, g in poles) + 0.1848 * sound
    elif colour == "brown":
        sound = signal.lfilter([1], [1, -0.985], sound)
    sound = sound / np.std(sound)
    if rng.random() < 0.15:
        mains = rng.choice((50.0, 60.0))
        t = np.arange(n) / rate
        for harmonic in range(1, 6):
            phase = rng.uniform(0, 2 * np.pi)
            sound += rng.uniform(0, 0.7) * np.sin(2 * np.pi * mains * harmonic * t + phase)
    return np.asarray(sound, np.float32)


def add_noise(audio: Samples, rng: Generator, rate: int, snr_db: float) -> Samples:
    """Add noise ``snr_db`` below the audio's mean power."""
    level = np.std(audio) * 10 ** (-snr_db / 20)
    return np.asarray(audio + level * noise(len(audio), rng, rate), np.float32)


def band_limit(audio: Samples, low: float | None, high: float | None, rate: int) -> Samples:
    """Keep what lies between ``low`` and ``high`` Hz (12 dB an octave below, 24 above)."""
    sections = []
    if low is not None:
        sections.append(signal.butter(2, low, "high", fs=rate, output="sos"))
    if high is not None and high < 0.48 * rate:
        sections.append(signal.butter(4, high, "low", fs=rate, output="sos"))
    if not sections:
        return audio
    return np.asarray(signal.sosfilt(np.concatenate(sections), audio), np.float32)


def saturate(audio: Samples, drive: float) -> Samples:
    """Soft clipping; ``drive`` is how far the peak goes into it."""
    peak = np.max(np.abs(audio)) + 1e-9
    return np.asarray(np.tanh(drive * audio / peak) / np.tanh(drive), np.float32)


def normalise(audio: Samples, peak_db: float) -> Samples:
    """Scale to a peak in dB below full scale; silence stays silence."""
    peak = np.max(np.abs(audio), initial=0.0)
    gain = 1.0 if peak < 1e-7 else 10 ** (peak_db / 20) / peak
    return np.asarray(audio * gain, np.float32)


def produce(audio: Samples, rng: Generator, rate: int) -> tuple[Samples, tuple[str, ...]]:
    """What a studio, a medium and a listener's device may do to a mix.

    Returns:
        the audio and the names of what was applied.
    """
    applied = []
    audio = normalise(audio, 0.0)
    if rng.random() < 0.75:
        audio = equalise(audio, rng, rate)
        applied.append("equaliser")
    if rng.random() < 0.5:
        audio = reverberate(audio, rng, rate, (0.2, 1.8), rng.uniform(0.05, 0.35))
        applied.append("room")
    if rng.random() < 0.5:
        audio = compress(audio, rng, rate, rng.uniform(1.5, 5))
        applied.append("compressor")
    if rng.random() < 0.15:
        audio = saturate(audio, rng.uniform(1, 3))
        applied.append("saturation")
    medium = rng.random()
    if medium < 0.1:
        audio = band_limit(audio, rng.uniform(150, 350), rng.uniform(3300, 6000), rate)
        applied.append("phone band")
    elif medium < 0.4:
        low = rng.uniform(30, 150) if rng.random() < 0.5 else None
        audio = band_limit(audio, low, rng.uniform(5000, 10500), rate)
        applied.append("band limit")
    if rng.random() < 0.4:
        audio = add_noise(audio, rng, rate, rng.uniform(22, 55))
        applied.append("noise")
    return normalise(audio, rng.uniform(-9, -0.3)), tuple(applied)


def record_on_phone(audio: Samples, rng: Generator, rate: int) -> Samples:
    """A room, a small microphone, automatic gain, a noise floor, sometimes clipping."""
    audio = normalise(audio, 0.0)
    audio = reverberate(audio, rng, rate, (0.15, 0.8), rng.uniform(0.05, 0.45))
    audio = equalise(audio, rng, rate, 6.0)
    audio = band_limit(audio, rng.uniform(60, 220), rng.uniform(4500, 10500), rate)
    if rng.random() < 0.6:
        audio = compress(audio, rng, rate, rng.uniform(1.5, 6))
    audio = add_noise(audio, rng, rate, rng.uniform(18, 55))
    if rng.random() < 0.12:
        audio = saturate(audio, rng.uniform(1.5, 5))
    return normalise(audio, rng.uniform(-18, -0.5))
