"""Decoded blocks become one mono signal at one rate, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from chordtool.errors import AudioError
from chordtool.types import Samples

QUALITY: Final = "HQ"
"""soxr's recipe: 20 bits of precision. Halving the rate, it costs what the cheaper ones cost."""
BLOCK_SAMPLES: Final = 1 << 20
"""Samples (frames times channels) that a decoder hands over at a time, roughly.

Large (12 s of stereo, 4 MiB), because each block takes the interpreter's lock a few times, and
another thread that imports modules holds on to it for milliseconds.
"""
LOUDEST: Final = 1e9
"""Samples beyond this are broken data, not sound: they are cut off before they can overflow."""
LOWEST_RATE: Final = 1000
"""Hz. Less holds no chords, and a small file of 1 Hz would become gigabytes."""
_MIN_BYTES_PER_SECOND: Final = 1000
"""A header that claims more time than the file's size holds at this rate is not believed."""


@dataclass(frozen=True)
class Limits:
    """What a recording may cost. A recording beyond one of them is an AudioError."""

    seconds: float = 12 * 3600.0
    """Length of the recording."""
    sample_rate: int = 768_000
    """Of the source, Hz."""
    channels: int = 64
    decoded_bytes: int = 128 << 30
    """All channels as float32; they pass through in blocks and are never held together."""
    stream_bytes: int = 8 << 30
    """What is read from a pipe; it is kept in a temporary file."""


@dataclass(frozen=True)
class SourceFacts:
    """What is known of a recording besides its samples."""

    sample_rate: int
    """Of the source, Hz."""
    channels: int
    codec: str
    """In the decoder's words, such as ``MPEG_LAYER_III`` or ``aac``."""
    container: str
    """In the decoder's words, such as ``WAV`` or ``matroska,webm``."""
    decoder: str
    """``"libsndfile"`` or ``"ffmpeg"``."""
    title: str = ""
    """Untrusted text, without control characters, at most 200 characters; empty if unknown."""
    artist: str = ""
    """As ``title``."""


class MonoSignal:
    """Takes blocks of any rate and channel count; gives one mono signal.

    Channels are averaged. Samples that are NaN or infinite count as 0, those beyond
    :data:`LOUDEST` are cut to it.

    Args:
        sample_rate: of the result, Hz.
        limits: what the recording may cost.
        size: bytes of the source, against which the header's claims are held.
        name: how messages call the recording.
    """

    def __init__(self, sample_rate: int, limits: Limits, size: int, name: str) -> None:
        self.sample_rate = sample_rate
        self.seconds = 0.0
        """Exact length of what came in: frames over their rate."""
        self._limits = limits
        self._size = size
        self._name = name
        self._rate = -1  # none yet
        self._rate_frames = 0
        self._earlier_seconds = 0.0
        self._decoded_bytes = 0
        self._sound = False
        self._resampler: soxr.ResampleStream | None = None
        self._weights: NDArray[np.float32] = np.ones(1, np.float32)
        self._head: Samples = np.empty(0, np.float32)
        self._filled = 0
        self._rest: list[Samples] = []

    def expect(self, frames: int, rate: int) -> None:
        """Make room for as many frames as the header claims, if that can be believed.

        Raises:
            AudioError: the recording is longer than the limit.
        """
        if frames <= 0 or rate <= 0 or frames / rate > self._size / _MIN_BYTES_PER_SECOND:
            return
        seconds = frames / rate
        self._check_seconds(seconds)
        self._make_room(int(seconds * self.sample_rate) + 1)

    def add(self, block: NDArray[np.float32], rate: int) -> None:
        """Append decoded audio.

        Args:
            block: float32 [frames, channels]; may be written over afterwards.
            rate: its sample rate in Hz; may change from block to block.

        Raises:
            AudioError: a limit is exceeded.
        """
        frames, channels = block.shape
        if rate != self._rate:
            self._change_rate(rate)
        self._rate_frames += frames
        self.seconds = self._earlier_seconds + self._rate_frames / rate
        self._decoded_bytes += 4 * block.size
        self._check_seconds(self.seconds)
        if channels > self._limits.channels:
            raise self._beyond(f"has {channels} channels", f"{self._limits.channels} channels")
        if self._decoded_bytes > self._limits.decoded_bytes:
            gib = self._limits.decoded_bytes >> 30
            raise self._beyond("decodes to too much data", f"{gib} GiB of samples")
        mono = self._mix_down(block)
        if self._resampler is None:
            self._store(mono)
        else:
            self._store(self._resampler.resample_chunk(mono))

    def finish(self) -> Samples:
        """The whole signal, float32 [n]; n is at least 1 if anything came in.

        Raises:
            AudioError: not one sample was a finite number.
        """
        self._flush()
        if self.seconds and not self._sound:
            raise AudioError(
                f"{self._name} holds no finite sample.",
                hint="Every sample is NaN or infinite; export the recording again.",
            )
        length = self._filled + sum(map(len, self._rest))
        if self.seconds and not length:
            return np.zeros(1, np.float32)
        if not self._rest and 2 * length > len(self._head):
            return self._head[:length]
        whole = np.empty(length, np.float32)
        whole[: self._filled] = self._head[: self._filled]
        self._head = np.empty(0, np.float32)
        at, self._filled = self._filled, 0
        self._rest.reverse()
        while self._rest:  # each part is freed as soon as it is copied
            part = self._rest.pop()
            whole[at : at + len(part)] = part
            at += len(part)
        return whole

    def _mix_down(self, block: NDArray[np.float32]) -> Samples:
        channels = block.shape[1]
        if len(self._weights) != channels:
            self._weights = np.full(channels, 1 / channels, np.float32)
        # A product with a vector is several times faster than mean(axis=1). One channel is
        # copied, because the decoder writes its buffer over.
        with np.errstate(all="ignore"):
            mono: Samples = np.dot(block, self._weights) if channels > 1 else block[:, 0].copy()
            power = np.dot(mono, mono)
        if power < LOUDEST:  # also false for NaN
            self._sound = self._sound or len(mono) > 0
            return mono
        finite = np.isfinite(block)
        self._sound = self._sound or bool(finite.any())
        clean = np.where(finite, block, np.float32(0)).clip(-LOUDEST, LOUDEST)
        mean: Samples = clean.mean(axis=1, dtype=np.float64).astype(np.float32)
        return mean

    def _change_rate(self, rate: int) -> None:
        if rate < LOWEST_RATE:
            raise AudioError(
                f"{self._name} has a sample rate of {rate} Hz.",
                hint=f"At least {LOWEST_RATE} Hz are needed; the file is damaged or no music.",
            )
        if rate > self._limits.sample_rate:
            raise self._beyond(f"has a sample rate of {rate} Hz", f"{self._limits.sample_rate} Hz")
        self._flush()
        self._earlier_seconds = self.seconds
        self._rate, self._rate_frames = rate, 0
        if rate != self.sample_rate:
            self._resampler = soxr.ResampleStream(
                rate, self.sample_rate, 1, dtype="float32", quality=QUALITY
            )

    def _flush(self) -> None:
        if self._resampler is not None:
            self._store(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
            self._resampler = None

    def _make_room(self, length: int) -> None:
        if not len(self._head):
            self._head = np.empty(length, np.float32)

    def _store(self, mono: Samples) -> None:
        room = 0 if self._rest else len(self._head) - self._filled
        head = mono[:room]
        self._head[self._filled : self._filled + len(head)] = head
        self._filled += len(head)
        if len(mono) > len(head):
            self._rest.append(mono[len(head) :])

    def _check_seconds(self, seconds: float) -> None:
        if seconds > self._limits.seconds:
            hours = self._limits.seconds / 3600
            raise self._beyond(f"is longer than {hours:g} h", f"{hours:g} h")

    def _beyond(self, what: str, limit: str) -> AudioError:
        return AudioError(
            f"{self._name} {what}.", hint=f"At most {limit} can be read; cut or convert it."
        )
