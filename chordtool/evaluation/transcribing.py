"""What a model hears in recordings, for evaluation: kept in memory, exact to the last bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

from chordtool.errors import ChordtoolError
from chordtool.executors import Executor, ProcessExecutor, SerialExecutor
from chordtool.segments import Segment
from chordtool.transcriber import Transcriber

Heard = tuple[Segment, ...] | ChordtoolError
"""Segments, or why there are none."""


def hear(
    model: str, recordings: Sequence[Path], *, vocabulary: str | None = None, n_jobs: int = 1
) -> Iterator[tuple[Path, Heard]]:
    """Transcribe recordings; each comes with what was heard, in any order.

    Args:
        model: name, or path of an ``.onnx`` file.
        vocabulary: ``"large"`` or ``"majmin"``; the model's own if ``None``.
        n_jobs: worker processes; with 1 all is done in this one.

    Raises:
        ModelUnavailableError, ModelError, UsageError: the model cannot be used at all.
    """
    _transcriber(model, vocabulary)
    workers = min(n_jobs, len(recordings))
    executor: Executor = SerialExecutor() if workers <= 1 else ProcessExecutor(workers)
    listen = partial(_listen, model, vocabulary, workers > 1)
    try:
        for recording, found in executor.run(listen, recordings):
            if isinstance(found, Exception) and not isinstance(found, ChordtoolError):
                raise found
            yield recording, found
    finally:
        executor.close()
        _transcriber.cache_clear()


def _listen(
    model: str, vocabulary: str | None, beside_others: bool, recording: Path
) -> tuple[Segment, ...]:
    transcriber = _transcriber(model, vocabulary)
    if beside_others:
        transcriber.beside_others()
    return transcriber.transcribe(recording).segments


@lru_cache(maxsize=1)
def _transcriber(model: str, vocabulary: str | None) -> Transcriber:
    return Transcriber(model, vocabulary=vocabulary, top=0)
