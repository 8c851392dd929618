"""A recording's way from file or stream to mono samples, by whichever decoder can read it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from chordtool.audio.mono import Limits, MonoSignal, SourceFacts
from chordtool.errors import AudioError
from chordtool.printable import shown
from chordtool.streams import chunks
from chordtool.types import Samples

_CLEARLY_LONGER: Final = 0.1
"""Seconds. Less than this between two decoders is padding, and not worth a change."""
_HINT: Final = "Play it in a music player: if that fails too, the file is damaged or no audio."
_CHORD_SUFFIXES: Final = (".lab", ".jams", ".json")
_CHORD_HINT: Final = "`chordtool convert` turns written chords into other formats."


@dataclass(frozen=True)
class Audio:
    """A decoded recording."""

    samples: Samples
    """Mono, finite, at ``sample_rate``; at least one."""
    sample_rate: int
    """Hz."""
    seconds: float
    """Exact length of the source: its frames over its own rate."""
    facts: SourceFacts


@dataclass(frozen=True)
class Encoded:
    """An encoded recording that can be decoded at once: nothing has to be waited for any more."""

    file: BinaryIO
    """A regular file with a descriptor, positioned anywhere."""
    name: str
    """What messages call it."""


Source: TypeAlias = Path | BinaryIO | Encoded


def load(source: Source, sample_rate: int, *, limits: Limits | None = None) -> Audio:
    """Decode a recording, mix it to mono and bring it to a sample rate.

    The source is decoded in blocks: memory holds the mono signal at the target rate and one
    block. Encoder delay and padding are taken off where the file tells of them. A damaged
    recording gives what can be decoded of it. NaN and infinite samples count as silence.

    Args:
        source: a file; ``Path("-")`` is standard input; or a stream of an encoded recording,
            which is copied to a temporary file; or what :func:`opened` gives.
        sample_rate: wanted, Hz.
        limits: what the recording may cost; the defaults of :class:`Limits` if ``None``.

    Raises:
        AudioError: there is nothing to read, nothing to hear, or too much of it.
    """
    limits = limits or Limits()

    def make_signal(size: int, name: str) -> MonoSignal:
        return MonoSignal(sample_rate, limits, size, name)

    signal, facts = decode(source, make_signal, limits)
    samples = signal.finish()
    return Audio(samples, sample_rate, signal.seconds, facts)


def decode(
    source: Source, make_signal: Callable[[int, str], MonoSignal], limits: Limits
) -> tuple[MonoSignal, SourceFacts]:
    """Decode a recording into a signal by the decoder that gets furthest.

    Args:
        source: as for :func:`load`.
        make_signal: called with the source's size in bytes and its name, once for each decoder
            that is tried.
        limits: what the recording may cost.

    Returns:
        The signal, not finished yet, and what the source says of itself.

    Raises:
        AudioError: there is nothing to read, nothing to hear, or too much of it.
    """
    with opened(source, limits) as encoded:
        return _Loader(encoded.file, encoded.name, make_signal).load()


@contextmanager
def opened(source: Source, limits: Limits | None = None) -> Iterator[Encoded]:
    """Open a recording; read what is no regular file to its end, into a temporary one.

    Raises:
        AudioError: there is nothing to read, too much of it, or no room for it.
    """
    limits = limits or Limits()
    if isinstance(source, Encoded):
        yield source
    elif source == Path("-"):
        with _spooled(sys.stdin.buffer, "Standard input", limits) as encoded:
            yield encoded
    elif isinstance(source, os.PathLike):
        name = shown(source)
        with _open_path(source, name) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                yield Encoded(file, name)
                return
            with _spooled(file, name, limits) as encoded:
                yield encoded
    else:
        with _spooled(source, "The stream", limits) as encoded:
            yield encoded


def _open_path(path: Path, name: str) -> FileIO:
    # Unbuffered, because libsndfile moves the descriptor behind Python's back.
    try:
        return path.open("rb", buffering=0)
    except IsADirectoryError:
        raise AudioError(
            f"{name} is a folder without recordings.",
            hint="Give a folder that holds audio files, or the files themselves.",
        ) from None
    except FileNotFoundError:
        raise AudioError(f"{name} does not exist.", hint="Check the spelling.") from None
    except PermissionError:
        raise AudioError(
            f"{name} may not be read.", hint="Change its permissions, or copy it elsewhere."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise AudioError(f"{name} cannot be opened: {_reason(error)}.", hint=_HINT) from None


@contextmanager
def _spooled(stream: BinaryIO, name: str, limits: Limits) -> Iterator[Encoded]:
    """A copy of the stream on disk: decoders seek, and FFmpeg must see the end of an mp4 first."""
    import tempfile  # seldom needed

    try:
        copy = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed below
    except OSError as error:
        raise _no_room(error) from None
    with copy:
        for chunk in _chunks(stream, name, limits):
            try:
                _write(copy, chunk)
            except OSError as error:
                raise _no_room(error) from None
        yield Encoded(copy, name)


def _write(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _chunks(stream: BinaryIO, name: str, limits: Limits) -> Iterator[bytes]:
    size = 0
    found = chunks(stream)
    while True:
        try:
            chunk = next(found, b"")
        except (OSError, ValueError) as error:
            raise AudioError(f"{name} cannot be read: {_reason(error)}.", hint=_HINT) from None
        if not chunk:
            return
        size += len(chunk)
        if size > limits.stream_bytes:
            raise AudioError(
                f"{name} holds more than {limits.stream_bytes} bytes.",
                hint="Save it to a file first.",
            )
        yield chunk


def _no_room(error: OSError) -> AudioError:
    return AudioError(
        f"There is no room for a temporary file: {_reason(error)}.",
        hint="Point TMPDIR to a folder with space.",
    )


class _Loader:
    """Tries the decoders in turn and keeps the one that gets furthest."""

    def __init__(
        self, file: BinaryIO, name: str, make_signal: Callable[[int, str], MonoSignal]
    ) -> None:
        self._file = file
        self._name = name
        self._make_signal = make_signal
        self._failure: Exception | None = None

    def load(self) -> tuple[MonoSignal, SourceFacts]:
        size = os.fstat(self._file.fileno()).st_size
        if size == 0:
            raise AudioError(f"{self._name} is empty.", hint="Get the recording again.")
        best: tuple[MonoSignal, SourceFacts] | None = None
        for decoder in self._decoders():
            signal = self._make_signal(size, self._name)
            facts, complete = self._attempt(decoder, signal)
            reached = best[0].seconds + _CLEARLY_LONGER if best else 0.0
            if facts and signal.seconds > reached:
                best = signal, facts
            if best and complete:
                break
        if best is None:
            chords = self._name.lower().endswith(_CHORD_SUFFIXES)
            raise AudioError(
                f"{self._name} holds no audio that can be read.",
                hint=_CHORD_HINT if chords else _HINT,
            ) from self._failure
        return best

    def _decoders(self) -> tuple[Decoder, Decoder]:
        """libsndfile first: it starts faster, and decodes the common formats faster.

        Opus is the exception. libsndfile takes over twice the time for it, and gives up midway
        on files that FFmpeg wrote with long packets.
        """
        try:
            self._file.seek(0)
            head = self._file.read(64)
        except OSError as error:
            raise AudioError(
                f"{self._name} cannot be read: {_reason(error)}.",
                hint="Copy it elsewhere; if that fails too, its disk is damaged.",
            ) from None
        if head.startswith(b"OggS") and b"OpusHead" in head:
            return _decode_with_ffmpeg, _decode_with_libsndfile
        return _decode_with_libsndfile, _decode_with_ffmpeg

    def _attempt(self, decoder: Decoder, signal: MonoSignal) -> tuple[SourceFacts | None, bool]:
        try:
            return decoder(self._file, signal)
        except AudioError:
            raise
        except MemoryError:
            raise AudioError(
                f"{self._name} does not fit into memory.", hint="Cut it into shorter pieces."
            ) from None
        except Exception as error:  # whatever a decoder raises over a file that is none of its own
            self._failure = error
        return None, False


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else str(error)
    first = (text or type(error).__name__).splitlines()[0]
    return first.rstrip(". ")


Decoder = Callable[[BinaryIO, MonoSignal], tuple[SourceFacts, bool]]


def _decode_with_libsndfile(file: BinaryIO, signal: MonoSignal) -> tuple[SourceFacts, bool]:
    from chordtool.audio import libsndfile

    return libsndfile.decode(file, signal)


def _decode_with_ffmpeg(file: BinaryIO, signal: MonoSignal) -> tuple[SourceFacts, bool]:
    from chordtool.audio import ffmpeg  # slow to import, seldom needed

    return ffmpeg.decode(file, signal)
