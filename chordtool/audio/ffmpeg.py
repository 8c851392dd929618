"""opus, m4a, mp4, webm and whatever else FFmpeg plays, through PyAV. Imported only when needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import av
import numpy as np
from numpy.typing import NDArray

from chordtool.audio.mono import BLOCK_SAMPLES, MonoSignal, SourceFacts
from chordtool.bounds import HEADER_BYTES, bounded_memory
from chordtool.printable import one_line

_OPTIONS: Final = {"protocol_whitelist": "none"}
"""A playlist that calls itself a song must not open other files, let alone the network."""
_BUFFER_BYTES: Final = 1 << 18
_LONGEST_PADDING: Final = 1 << 14
"""Frames. What an encoder adds to fill its last packet is less; more is not taken off."""


def decode(file: BinaryIO, signal: MonoSignal) -> tuple[SourceFacts, bool]:
    """Feed the samples of a file's (main) audio track to the signal.

    Packets that do not decode are left out, as players do. Time runs from the track's first
    sample. Encoder delay and padding are taken off where the container tells of them.

    Returns:
        What the file says of itself, and whether all of it was decoded.

    Raises:
        AudioError: a limit is exceeded.
        Exception: FFmpeg does not know the file, or it has no audio track.
    """
    file.seek(0)
    with bounded_memory(HEADER_BYTES):
        opened = av.open(
            file, "r", options=_OPTIONS, buffer_size=_BUFFER_BYTES, metadata_errors="replace"
        )
    with opened as container:
        track = container.streams.best("audio")
        if track is None:
            raise ValueError("it has no audio track")
        reader = _Reader(container, track)
        for block, rate in reader.blocks():
            signal.add(block, rate)
        tags = {k.lower(): v for k, v in {**track.metadata, **container.metadata}.items()}
        facts = SourceFacts(
            sample_rate=reader.rate,
            channels=reader.channels,
            codec=track.codec_context.name,
            container=container.format.name,
            decoder="ffmpeg",
            title=one_line(tags.get("title", "")),
            artist=one_line(tags.get("artist", "")),
        )
    return facts, reader.complete


class _Reader:
    """Reads a track front to back in blocks of useful size."""

    def __init__(self, container: Any, track: Any) -> None:
        self.rate = 0
        """Hz; of the first decoded frame, because headers may tell half of it (HE-AAC)."""
        self.channels = 0
        self.complete = True
        self._container = container
        self._track = track

    def blocks(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Pairs of float32 [frames, channels] and their rate in Hz."""
        waiting: list[NDArray[np.float32]] = []
        rate, channels, count = 0, 0, 0
        for block, block_rate in self._without_padding():
            if (block_rate, block.shape[1]) != (rate, channels) or count >= BLOCK_SAMPLES:
                if waiting:
                    yield np.concatenate(waiting), rate
                waiting, count = [], 0
                rate, channels = block_rate, block.shape[1]
            waiting.append(block)
            count += block.size
        if waiting:
            yield np.concatenate(waiting), rate

    def _without_padding(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Decoded frames; the container of an m4a tells where the padding at the end begins."""
        end = self._stated_frames()
        total = 0
        beyond: list[tuple[NDArray[np.float32], int]] = []
        for frame in self._frames():
            block, rate = _as_float(frame), frame.sample_rate
            if not self.rate:
                self.rate, self.channels = rate, block.shape[1]
            total += len(block)
            if total <= end or not end:
                yield block, rate
            elif total - end < _LONGEST_PADDING:
                inside = max(0, len(block) - (total - end))
                yield block[:inside], rate
                beyond.append((block[inside:], rate))
            else:  # so much more is music: the container is wrong
                yield from beyond
                yield block, rate
                beyond, end = [], 0

    def _frames(self) -> Iterator[Any]:
        packets = self._container.demux(self._track)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self.complete = False
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                self.complete = False

    def _stated_frames(self) -> int:
        """The track's length in frames if the container counts in frames, else 0."""
        base, duration = self._track.time_base, self._track.duration
        if not base or not duration or base * self._track.codec_context.sample_rate != 1:
            return 0
        return int(duration)


def _as_float(frame: Any) -> NDArray[np.float32]:
    """Samples of a decoded frame within -1..1, float32 [frames, channels]."""
    samples = frame.to_ndarray()
    channels = frame.layout.nb_channels
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, channels)
    if samples.dtype == np.float32:  # a new array each time, so it may wait for others
        return samples  # type: ignore[no-any-return]
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32)  # type: ignore[no-any-return]
    scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    offset = scale if samples.dtype.kind == "u" else 0.0
    return ((samples - offset) / scale).astype(np.float32)  # type: ignore[no-any-return]
