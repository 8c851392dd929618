"""Hearing a recording while it is still being decoded.

Decoding an mp3 takes as long as everything that follows, and neither holds the interpreter. So
one thread decodes while another sets up the model and takes in what is there already. A program
that has yet to import the rest may begin before it does: :func:`ahead`. Samples are handed on
and forgotten, so that memory does not grow with them.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from chordtool import audio
from chordtool.audio.loading import Audio, Source, decode, opened
from chordtool.audio.mono import Limits, MonoSignal, SourceFacts
from chordtool.errors import AudioError
from chordtool.frontend import FrontEnd
from chordtool.types import Logits, Samples

if TYPE_CHECKING:
    from chordtool.models.onnx import Hearing, OnnxModel

USUAL_RATE: Final = FrontEnd().sample_rate
"""Hz, at which students listen."""
MOST_QUEUED: Final = 1 << 23
"""Samples that are decoded ahead of who hears them: 6 minutes at 22,050 Hz, 32 MiB."""
_POLL_SECONDS = 0.004
_BIRTH_POLLS = 50
"""How often one looks whether a thread has begun that may never have been started."""
__all__ = ["Heard", "UnderWay", "ahead", "hear", "load"]


@dataclass(frozen=True)
class Heard:
    """What is left of a recording that was heard."""

    logits: Logits
    """float32 [frames, classes]"""
    seconds: float
    """Exact length of the source: its frames over its own rate."""
    facts: SourceFacts


class _CancelledError(AudioError):
    """Nobody waits for the recording any more."""


class _Flow(MonoSignal):
    """A signal that is taken away in pieces; it ends early when nobody wants it any more."""

    def __init__(self, sample_rate: int, limits: Limits, size: int, name: str) -> None:
        super().__init__(sample_rate, limits, size, name)
        self.full = False
        """Whether the decoder had to wait: it is faster than who hears."""
        self._blocks: deque[Samples] = deque()
        self._queued = 0
        self._length = 0
        self._wanted = True
        self._change = threading.Condition()

    def add(self, block: NDArray[np.float32], rate: int) -> None:
        if not self._wanted:
            raise _CancelledError("Decoding was given up.")
        super().add(block, rate)

    def finish(self) -> Samples:
        """Let the last samples flow; there is nothing to give."""
        super().finish()
        if self.seconds and not self._length:
            self._store(np.zeros(1, np.float32))
        return np.empty(0, np.float32)

    def take(self) -> Samples | None:
        """The next block, if it is there."""
        with self._change:
            if not self._blocks:
                return None
            block = self._blocks.popleft()
            self._queued -= len(block)
            self._change.notify()
        return block

    def give_up(self) -> None:
        """Let no more come."""
        with self._change:
            self._wanted = False
            self._change.notify()

    def _make_room(self, length: int) -> None:
        """Nothing is set aside."""

    def _store(self, mono: Samples) -> None:
        with self._change:
            while self._queued > MOST_QUEUED and self._wanted:
                self.full = True
                self._change.wait()
            self._blocks.append(mono)
            self._queued += len(mono)
            self._length += len(mono)


class UnderWay(threading.Thread):
    """A recording that is being decoded on a thread of its own.

    Args:
        source: a file, or a stream of an encoded recording. It should keep nobody waiting, as a
            pipe does: nothing can stop a thread that waits for one.
        sample_rate: wanted, Hz.
    """

    def __init__(self, source: Source, sample_rate: int) -> None:
        # No daemon: a thread that still decodes while the interpreter ends takes it down with a
        # crash, so whatever happens, the interpreter has to wait for this one.
        super().__init__(name="decoding")
        self.source = source
        self.sample_rate = sample_rate
        self.flows: list[_Flow] = []
        """One for each decoder that was tried."""
        self._unwanted = False
        self._outcome: tuple[_Flow, SourceFacts] | BaseException | None = None
        # Not join: interrupted by a signal, it takes a thread that still runs for one that has
        # ended (https://github.com/python/cpython/issues/90882), and nobody waits for it any more.
        self._ended = threading.Event()

    def run(self) -> None:
        try:
            self._decode()
        finally:
            self._ended.set()

    def _decode(self) -> None:
        limits = Limits()

        def make_signal(size: int, name: str) -> MonoSignal:
            flow = _Flow(self.sample_rate, limits, size, name)
            self.flows.append(flow)
            if self._unwanted:
                flow.give_up()
            return flow

        try:
            signal, facts = decode(self.source, make_signal, limits)
            assert isinstance(signal, _Flow), "it is what make_signal made"
            signal.finish()
            self._outcome = signal, facts
        except BaseException as error:  # raised again by the thread that waits for it
            self._outcome = error

    def blocks(self) -> Iterator[tuple[_Flow, Samples, bool]]:
        """What is decoded, as it comes, until all is: of which flow, the next samples, and
        whether decoding still takes a core of its own."""
        while True:
            over = self._ended.is_set()
            for flow in tuple(self.flows):
                while (block := flow.take()) is not None:
                    yield flow, block, not flow.full and not self._ended.is_set()
            if over:
                return
            self._ended.wait(_POLL_SECONDS)

    def result(self) -> tuple[_Flow, SourceFacts]:
        """The flow that got furthest, and what its source says of itself.

        Raises:
            AudioError: as decoding raised it.
        """
        self._ended.wait()
        # An error refers to its frames, which hold the decoder: keep it no longer than needed.
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, BaseException):
            try:
                raise outcome
            finally:
                del outcome
        assert outcome is not None, "the thread has ended"
        return outcome

    def give_up(self) -> None:
        """Stop decoding, and wait until it has stopped."""
        self._unwanted = True
        for flow in tuple(self.flows):
            flow.give_up()
        waited = 0
        while not self._ended.wait(_POLL_SECONDS):
            waited += 1
            if self.ident is None and waited > _BIRTH_POLLS:
                return  # it was never started, or an interruption came before that took effect


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
    with suppress(ImportError, OSError):  # where libsndfile is missing, FFmpeg may be there
        # Here, because the decoder's thread would have to wait for the interpreter.
        from chordtool.audio import libsndfile  # noqa: F401
    begun = UnderWay(Path(sources[0]), USUAL_RATE)
    try:
        begun.start()
        yield begun
    finally:
        begun.give_up()


def hear(model: OnnxModel, source: Path | BinaryIO | UnderWay) -> Heard:
    """Decode a recording and run a model over it, both at once.

    Returns:
        What was heard; the logits are to the bit what the model answers on the recording as a
        whole.

    Raises:
        AudioError: the source cannot be read as audio.
        ModelError: the model fails.
    """
    rate = model.card.front_end.sample_rate
    if isinstance(source, UnderWay):
        return _hear(model, _under_way(source, rate))
    with opened(source) as encoded:
        return _hear(model, UnderWay(encoded, rate))


def _hear(model: OnnxModel, decoding: UnderWay) -> Heard:
    hearings: dict[_Flow, Hearing] = {}
    try:
        if decoding.ident is None:
            decoding.start()
        model.prepare()
        for flow, block, alone in decoding.blocks():
            if flow not in hearings:
                hearings[flow] = model.listen()
            hearings[flow].advance(block, alone=alone)
        kept, facts = decoding.result()
        return Heard(hearings[kept].finish(), kept.seconds, facts)
    finally:
        decoding.give_up()
        for hearing in hearings.values():
            hearing.close()


def load(source: Path | BinaryIO | UnderWay, sample_rate: int) -> Audio:
    """A whole recording, as :func:`chordtool.audio.load` gives it; one under way is waited for.

    Raises:
        AudioError: the source cannot be read as audio.
    """
    if not isinstance(source, UnderWay):
        return audio.load(source, sample_rate)
    decoding = _under_way(source, sample_rate)
    if decoding.ident is None:
        return audio.load(decoding.source, sample_rate)
    pieces: dict[_Flow, deque[Samples]] = {}
    for flow, block, _ in decoding.blocks():
        pieces.setdefault(flow, deque()).append(block)
    kept, facts = decoding.result()
    samples, at = np.empty(sum(map(len, pieces[kept])), np.float32), 0
    while pieces[kept]:  # each piece is freed as soon as it is copied
        piece = pieces[kept].popleft()
        samples[at : at + len(piece)] = piece
        at += len(piece)
    return Audio(samples, sample_rate, kept.seconds, facts)


def _under_way(begun: UnderWay, sample_rate: int) -> UnderWay:
    """What was begun, or the same recording anew at the rate that is wanted."""
    if begun.sample_rate == sample_rate:
        return begun
    begun.give_up()
    return UnderWay(begun.source, sample_rate)
