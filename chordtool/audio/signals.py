"""One recording at several sample rates, in bounded memory however long it is.

:func:`open_signals` decodes once. What does not fit into memory waits in a temporary file that
has no name and is gone with its last user.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from chordtool.audio import loading
from chordtool.audio.mono import Limits, MonoSignal
from chordtool.errors import AudioError
from chordtool.types import Samples

MEMORY_SAMPLES: Final = 1 << 25
"""Samples at one rate that are kept in memory: 12 minutes at 44,100 Hz, 128 MiB."""


class Signals:
    """Mono samples of one recording at several rates."""

    def __init__(self, seconds: float, tapes: dict[int, _Tape]) -> None:
        self.seconds = seconds
        """Exact length of the source."""
        self._tapes = tapes

    def length(self, sample_rate: int) -> int:
        """Number of samples at a rate."""
        return self._tapes[sample_rate].length

    def read(self, sample_rate: int, start: int = 0, stop: int | None = None) -> Samples:
        """Samples from ``start`` to before ``stop``, float32 [n]."""
        start, stop, _ = slice(start, stop).indices(self.length(sample_rate))
        return self._tapes[sample_rate].read(start, max(start, stop))

    def close(self) -> None:
        """Let go of the samples."""
        for tape in self._tapes.values():
            tape.close()


@contextmanager
def open_signals(
    path: Path,
    sample_rates: Iterable[int],
    *,
    limits: Limits | None = None,
    memory_samples: int = MEMORY_SAMPLES,
) -> Iterator[Signals]:
    """Decode a recording once for all the rates that are wanted.

    The samples are those that :func:`chordtool.audio.load` gives at each of the rates.

    Args:
        path: a file.
        sample_rates: Hz.
        limits: what the recording may cost.
        memory_samples: what is kept in memory at each rate; the rest is on disk, in TMPDIR.

    Raises:
        AudioError: there is nothing to hear, too much of it, or no room for a temporary file.
    """
    limits = limits or Limits()
    rates = sorted(set(sample_rates))
    tapes: list[_Tape] = []

    def make_signal(size: int, name: str) -> MonoSignal:
        made = [_TapedSignal(rate, limits, size, name, memory_samples) for rate in rates]
        tapes.extend(signal.tape for signal in made)
        return _Several(made)

    try:
        signal, _ = loading.decode(path, make_signal, limits)
        assert isinstance(signal, _Several), "it is what make_signal made"
        yield Signals(signal.seconds, {s.sample_rate: s.taped() for s in signal.signals})
    finally:
        for tape in tapes:
            tape.close()


class _Tape:
    """Samples that are appended, then read from anywhere: in memory, then on disk."""

    def __init__(self, memory_samples: int) -> None:
        self.length = 0
        self._memory_samples = memory_samples
        self._blocks: list[Samples] = []
        self._file: BinaryIO | None = None

    def append(self, block: Samples) -> None:
        self.length += len(block)
        if self._file is None and self.length > self._memory_samples:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - close() closes it
            for earlier in self._blocks:
                _write(self._file, earlier)
            self._blocks.clear()
        if self._file is None:
            self._blocks.append(block)
        else:
            _write(self._file, block)

    def read(self, start: int, stop: int) -> Samples:
        if self._file is None:
            if len(self._blocks) != 1:
                self._blocks = [np.concatenate([np.empty(0, np.float32), *self._blocks])]
            return self._blocks[0][start:stop]
        self._file.seek(4 * start)
        samples = np.empty(stop - start, np.float32)
        view, got = samples.data.cast("B"), 0
        while got < len(view):
            count = self._file.readinto(view[got:])  # type: ignore[attr-defined]
            if not count:
                raise AudioError("A temporary file was cut short.", hint="Look at TMPDIR.")
            got += count
        return samples

    def close(self) -> None:
        self._blocks.clear()
        if self._file is not None:
            self._file.close()


def _write(file: BinaryIO, block: Samples) -> None:
    view, done = np.ascontiguousarray(block).data.cast("B"), 0
    while done < len(view):
        done += file.write(view[done:])


class _TapedSignal(MonoSignal):
    """A signal that goes onto a tape."""

    def __init__(
        self, sample_rate: int, limits: Limits, size: int, name: str, memory_samples: int
    ) -> None:
        super().__init__(sample_rate, limits, size, name)
        self.tape = _Tape(memory_samples)

    def _make_room(self, length: int) -> None:
        """Nothing is set aside: the tape grows as it must."""

    def _store(self, mono: Samples) -> None:
        try:
            self.tape.append(mono)
        except OSError as error:
            raise AudioError(
                f"There is no room for a temporary file: {error.strerror or error}.",
                hint="Point TMPDIR to a folder with more room.",
            ) from None

    def taped(self) -> _Tape:
        self.finish()
        if self.seconds and not self.tape.length:
            self.tape.append(np.zeros(1, np.float32))
        return self.tape


class _Several(MonoSignal):
    """Hands what it is given to several signals."""

    def __init__(self, signals: list[_TapedSignal]) -> None:
        self.signals = signals

    @property
    def seconds(self) -> float:  # type: ignore[override]
        return self.signals[0].seconds

    def expect(self, frames: int, rate: int) -> None:
        for signal in self.signals:
            signal.expect(frames, rate)

    def add(self, block: NDArray[np.float32], rate: int) -> None:
        for signal in self.signals:
            signal.add(block, rate)
