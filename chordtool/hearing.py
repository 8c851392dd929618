"""Hearing a recording while it is still being decoded.

Decoding an mp3 takes as long as everything that follows, and neither holds the interpreter. So
one thread decodes while another sets up the model and takes in what is there already. A program
that has yet to import the rest may begin before it does: :func:`ahead`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from chordtool import audio
from chordtool.audio.loading import Audio, decode
from chordtool.audio.mono import Limits, MonoSignal, SourceFacts
from chordtool.errors import AudioError
from chordtool.frontend import FrontEnd
from chordtool.types import Logits

if TYPE_CHECKING:
    from chordtool.models.onnx import Hearing, OnnxModel

USUAL_RATE: Final = FrontEnd().sample_rate
"""Hz, at which students listen."""
_POLL_SECONDS = 0.004
__all__ = ["UnderWay", "ahead", "hear", "load"]


class _CancelledError(AudioError):
    """Nobody waits for the recording any more."""


class _GrowingSignal(MonoSignal):
    """A signal that stops growing when nobody wants it any more."""

    wanted = True

    def add(self, block: NDArray[np.float32], rate: int) -> None:
        if not self.wanted:
            raise _CancelledError("Decoding was given up.")
        super().add(block, rate)


class UnderWay(threading.Thread):
    """A recording that is being decoded on a thread of its own.

    Args:
        source: a file, or a stream of an encoded recording.
        sample_rate: wanted, Hz.
    """

    def __init__(self, source: Path | BinaryIO, sample_rate: int) -> None:
        # No daemon: a thread that still decodes while the interpreter ends takes it down with a
        # crash, so whatever happens, the interpreter has to wait for this one.
        super().__init__(name="decoding")
        self.source = source
        self.sample_rate = sample_rate
        self.signal: _GrowingSignal | None = None
        """The attempt that is being made; a second decoder makes a second one."""
        self._unwanted = False
        self._outcome: tuple[MonoSignal, SourceFacts] | BaseException | None = None

    def run(self) -> None:
        limits = Limits()

        def make_signal(size: int, name: str) -> MonoSignal:
            self.signal = _GrowingSignal(self.sample_rate, limits, size, name)
            self.signal.wanted = not self._unwanted
            return self.signal

        try:
            self._outcome = decode(self.source, make_signal, limits)
        except BaseException as error:  # raised again by the thread that waits for it
            self._outcome = error

    def result(self) -> tuple[MonoSignal, Audio]:
        """The signal that was kept, and the recording.

        Raises:
            AudioError: as decoding raised it.
        """
        self.join()
        # An error refers to its frames, which hold the decoder: keep it no longer than needed.
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, BaseException):
            try:
                raise outcome
            finally:
                del outcome
        assert outcome is not None, "the thread has ended"
        signal, facts = outcome
        samples = signal.finish()
        return signal, audio.Audio(samples, self.sample_rate, signal.seconds, facts)

    def give_up(self) -> None:
        """Stop decoding, and wait until it has stopped."""
        self._unwanted = True
        if self.signal is not None:
            self.signal.wanted = False
        if self.is_alive():  # an interruption may come before it has begun; it ends at once then
            self.join()


@contextmanager
def ahead(sources: Sequence[str]) -> Iterator[UnderWay | None]:
    """Begin to decode what :func:`hear` will want, if that is plainly one file.

    Args:
        sources: as on the command line.

    Yields:
        the recording, for :func:`hear`, or ``None``; decoding ends with the block.
    """
    if len(sources) != 1 or not os.path.isfile(sources[0]):  # noqa: PTH113 - Path raises on NUL
        yield None
        return
    begun = UnderWay(Path(sources[0]), USUAL_RATE)
    try:
        begun.start()
        yield begun
    finally:
        begun.give_up()


def hear(model: OnnxModel, source: Path | BinaryIO | UnderWay) -> tuple[Audio, Logits]:
    """Decode a recording and run a model over it, both at once.

    Returns:
        The recording, and its frame logits, float32 [frames, classes]: to the bit what the
        model answers on the recording as a whole.

    Raises:
        AudioError: the source cannot be read as audio.
        ModelError: the model fails.
    """
    decoding = _under_way(source, model.card.front_end.sample_rate)
    hearing: Hearing | None = None
    heard: MonoSignal | None = None
    try:
        if decoding.ident is None:
            decoding.start()
        model.prepare()
        while decoding.is_alive():
            if decoding.signal is not heard or hearing is None:
                # The decoder that was tried first has failed: start over with the next.
                heard, hearing = decoding.signal, _again(model, hearing)
            if heard is not None:
                hearing.advance(heard.so_far, finished=False)
            decoding.join(_POLL_SECONDS)
        kept, recording = decoding.result()
        if kept is not heard or hearing is None:
            hearing = _again(model, hearing)
        hearing.advance(recording.samples, finished=True)
        return recording, hearing.finish()
    finally:
        decoding.give_up()
        if hearing is not None:
            hearing.close()


def load(source: Path | BinaryIO | UnderWay, sample_rate: int) -> Audio:
    """A whole recording, as :func:`chordtool.audio.load` gives it; one under way is waited for.

    Raises:
        AudioError: the source cannot be read as audio.
    """
    decoding = _under_way(source, sample_rate)
    if decoding.ident is None:
        return audio.load(decoding.source, sample_rate)
    return decoding.result()[1]


def _under_way(source: Path | BinaryIO | UnderWay, sample_rate: int) -> UnderWay:
    if isinstance(source, UnderWay):
        if source.sample_rate == sample_rate:
            return source
        source.give_up()
        source = source.source
    return UnderWay(source, sample_rate)


def _again(model: OnnxModel, hearing: Hearing | None) -> Hearing:
    if hearing is not None:
        hearing.close()
    return model.listen()
