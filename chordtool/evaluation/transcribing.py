"""What a model hears in recordings, for evaluation: kept in memory, exact to the last bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from chordtool.errors import AudioError, ChordtoolError
from chordtool.segments import Segment
from chordtool.transcriber import Transcriber

Heard = tuple[Segment, ...] | ChordtoolError
"""Segments, or why there are none."""


def hear(
    model: str, recordings: Sequence[Path], *, vocabulary: str | None = None, n_jobs: int = 1
) -> Iterator[Heard]:
    """Transcribe recordings, in order.

    Args:
        model: name, or path of an ``.onnx`` file.
        vocabulary: ``"large"`` or ``"majmin"``; the model's own if ``None``.
        n_jobs: worker processes; with 1 all is done in this one.

    Raises:
        ModelUnavailableError, ModelError, UsageError: the model cannot be used at all.
    """
    transcriber = Transcriber(model, vocabulary=vocabulary, top=0)
    if min(n_jobs, len(recordings)) <= 1:
        for recording in recordings:
            yield _hear(transcriber, recording)
        return
    del transcriber  # it has shown that the model can be used
    pool = ProcessPoolExecutor(
        min(n_jobs, len(recordings)), get_context("spawn"), _start_worker, (model, vocabulary)
    )
    try:
        futures = [pool.submit(_work, recording) for recording in recordings]
        for future in futures:
            try:
                yield future.result()
            except BrokenProcessPool:
                yield AudioError(
                    "A worker process was lost.", hint="Use --jobs 1 to see which song it was."
                )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _hear(transcriber: Transcriber, recording: Path) -> Heard:
    try:
        return transcriber.transcribe(recording).segments
    except ChordtoolError as error:
        return error


_transcriber: Transcriber | None = None


def _start_worker(model: str, vocabulary: str | None) -> None:
    global _transcriber
    _transcriber = Transcriber(model, vocabulary=vocabulary, top=0)


def _work(recording: Path) -> Heard:
    assert _transcriber is not None, "the pool starts its workers with _start_worker"
    return _hear(_transcriber, recording)
