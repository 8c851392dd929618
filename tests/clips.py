"""Encoded clips for tests, made with PyAV so that no program needs to be installed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

SECONDS = 4.321
"""Length of the clips that the fixture makes."""
CODECS = {
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "ogg": ("ogg", "libsndfile"),
    "opus": ("opus", "libopus"),
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "alac.m4a": ("ipod", "alac"),
    "webm": ("webm", "libopus"),
    "mka": ("matroska", "libopus"),
    "aac": ("adts", "aac"),
    "avi": ("avi", "libmp3lame"),
    "aiff": ("aiff", "pcm_s16be"),
}
"""Suffix: container and encoder, in FFmpeg's words. PyAV brings no encoder for Vorbis."""


def music(seconds: float, rate: int, channels: int = 2, seed: int = 0) -> NDArray[np.float32]:
    """Plucked notes over faint noise, which no shift in time looks like; float32 [n, channels]."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    time = np.arange(n) / rate
    x = 0.02 * rng.standard_normal((n, channels))
    for onset in np.arange(0.1, seconds, 0.23):
        here = slice(round(onset * rate), round((onset + 0.8) * rate))
        since = time[here] - time[here.start] if here.start < n else time[:0]
        pitch = 110 * 2 ** (rng.integers(0, 25) / 12)
        note = 0.2 * np.sin(2 * np.pi * pitch * since) * np.exp(-6 * since)
        x[here] += note[:, None] * rng.uniform(0.5, 1, channels)
    return np.clip(x, -0.9, 0.9).astype(np.float32)


def encode(
    path: Path,
    samples: NDArray[np.float32],
    rate: int,
    container: str,
    codec: str,
    tags: dict[str, str] | None = None,
) -> Path:
    """Write samples, float32 [n, channels], and return the path."""
    if codec == "libsndfile":
        with soundfile.SoundFile(path, "w", rate, samples.shape[1], "VORBIS", format="OGG") as ogg:
            for start in range(0, len(samples), rate):  # it breaks on writes of minutes
                ogg.write(samples[start : start + rate])
        return path
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    rate_out = 48_000 if codec == "libopus" else rate
    with av.open(str(path), "w", format=container) as output:
        output.metadata.update(tags or {})
        stream = output.add_stream(codec, rate=rate_out, layout=layout)
        context = stream.codec_context
        if not codec.startswith(("pcm", "flac", "alac")):
            context.bit_rate = 192_000
        context.open()
        resampler = av.AudioResampler(
            context.format, context.layout, rate_out, frame_size=context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T), format="fltp", layout=layout
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return path
