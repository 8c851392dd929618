"""wav, flac, mp3, ogg and their like, through libsndfile."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

import numpy as np
import soundfile

from chordtool.audio.mono import BLOCK_SAMPLES, MonoSignal, SourceFacts
from chordtool.printable import one_line

_UNREAD_BYTES: Final = 1 << 16
"""What may lie behind the last sample without casting doubt: tags, cover pictures, buffers."""
_UNKNOWN_FRAMES: Final = (1 << 63) - 1
"""What libsndfile answers where the header does not say, as in FLAC that came out of a pipe."""
_DESCRIPTORS: Final = os.name == "posix"


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is read once from start to end.

    soundfile seeks after every read of a seekable file, and mpg123 decodes anew after every
    seek: claiming to be unseekable makes reading mp3 up to twice as fast.
    """

    def seekable(self) -> bool:
        return False


def decode(file: BinaryIO, signal: MonoSignal) -> tuple[SourceFacts, bool]:
    """Feed a file's samples to the signal.

    Returns:
        What the file says of itself, and whether everything in it was decoded: false where
        there is less than the header claims, where the data breaks off, or where libsndfile
        stops early (it reads only the first of several streams in one file).

    Raises:
        AudioError: a limit is exceeded.
        Exception: libsndfile does not know the file.
    """
    with _ForwardFile(_handle(file), closefd=False) as source:
        rate, channels = source.samplerate, source.channels
        facts = SourceFacts(
            sample_rate=rate,
            channels=channels,
            codec=source.subtype,
            container=source.format,
            decoder="libsndfile",
            title=one_line(source.title),
            artist=one_line(source.artist),
        )
        claimed = 0 if source.frames == _UNKNOWN_FRAMES else source.frames
        signal.expect(claimed, rate)
        buffer = np.empty((max(BLOCK_SAMPLES // channels, 1024), channels), np.float32)
        decoded = 0
        while True:
            try:
                count = source.buffer_read_into(buffer, "float32")
            except soundfile.LibsndfileError:
                return facts, False
            if count == 0:
                break
            signal.add(buffer[:count], rate)
            decoded += count
        complete = decoded >= claimed - claimed // 50 - rate
        if source.format in ("MP3", "MPEG", "OGG"):
            complete = complete and _unread(file) <= _UNREAD_BYTES
    return facts, complete


class _Callbacks:
    """A file for libsndfile to call back into, where descriptors do not cross C runtimes.

    An exception in a callback would be printed, so a wild seek stays where it is.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, count: int) -> bytes:
        try:
            return self._file.read(count)
        except (OSError, ValueError):
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()


def _handle(file: BinaryIO) -> int | _Callbacks:
    """What to give to libsndfile: the open descriptor, so that no file name is decoded."""
    file.seek(0)
    if not _DESCRIPTORS:
        return _Callbacks(file)
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return file.fileno()


def _unread(file: BinaryIO) -> int:
    """Bytes between where the decoder stopped and the end of the file."""
    at = os.lseek(file.fileno(), 0, os.SEEK_CUR) if _DESCRIPTORS else file.tell()
    return os.fstat(file.fileno()).st_size - at
