"""Hearing a recording while it is still being decoded.

Decoding an mp3 takes as long as everything that follows, and neither holds the interpreter. So
one thread decodes while another sets up the model and takes in what is there already.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from chordtool import audio
from chordtool.audio.loading import Audio, decode
from chordtool.audio.mono import Limits, MonoSignal, SourceFacts
from chordtool.errors import AudioError
from chordtool.models.onnx import Hearing, OnnxModel
from chordtool.types import Logits

_POLL_SECONDS = 0.004
__all__ = ["hear"]


class _CancelledError(AudioError):
    """Nobody waits for the recording any more."""


class _GrowingSignal(MonoSignal):
    """A signal that stops growing when nobody wants it any more."""

    wanted = True

    def add(self, block: NDArray[np.float32], rate: int) -> None:
        if not self.wanted:
            raise _CancelledError("Decoding was given up.")
        super().add(block, rate)


class _Decoding(threading.Thread):
    """A recording being decoded; ``signal`` is the attempt that is under way."""

    def __init__(self, source: Path | BinaryIO, sample_rate: int) -> None:
        super().__init__(daemon=True, name="decoding")
        self.signal: _GrowingSignal | None = None
        self._source = source
        self._rate = sample_rate
        self._outcome: tuple[MonoSignal, SourceFacts] | BaseException | None = None

    def run(self) -> None:
        limits = Limits()

        def make_signal(size: int, name: str) -> MonoSignal:
            self.signal = _GrowingSignal(self._rate, limits, size, name)
            return self.signal

        try:
            self._outcome = decode(self._source, make_signal, limits)
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
        return signal, audio.Audio(samples, self._rate, signal.seconds, facts)


def hear(model: OnnxModel, source: Path | BinaryIO) -> tuple[Audio, Logits]:
    """Decode a recording and run a model over it, both at once.

    Returns:
        The recording, and its frame logits, float32 [frames, classes]: to the bit what the
        model answers on the recording as a whole.

    Raises:
        AudioError: the source cannot be read as audio.
        ModelError: the model fails.
    """
    decoding = _Decoding(source, model.card.front_end.sample_rate)
    decoding.start()
    hearing: Hearing | None = None
    heard: MonoSignal | None = None
    try:
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
        # A thread that still decodes while the interpreter ends would take it down with a crash.
        if decoding.is_alive() and decoding.signal is not None:
            decoding.signal.wanted = False
        decoding.join()
        if hearing is not None:
            hearing.close()


def _again(model: OnnxModel, hearing: Hearing | None) -> Hearing:
    if hearing is not None:
        hearing.close()
    return model.listen()
