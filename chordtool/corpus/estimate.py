"""What a run will cost, before it starts: hours of audio, hours of work, room on disk."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from chordtool.audio.signals import Signals
from chordtool.corpus.labelling import compute
from chordtool.corpus.recipe import Recipe
from chordtool.types import Samples
from chordtool.vocabulary import N_CLASSES

SAMPLED_FILES: Final = 40
"""Files whose headers are read; the others are taken to have the same bytes a second."""
TRIAL_SECONDS: Final = 20.0
"""Length of the noise that the teachers label to find out how fast they are."""
_HEADER_BYTES: Final = 4096
_BYTES_PER_SECOND: Final = 16_000.0
"""Of a file that tells nothing: 128 kbit/s."""


@dataclass(frozen=True)
class Cost:
    """Roughly what a run costs."""

    audio_seconds: float
    """Of all that has to be labelled."""
    disk_bytes: int
    """What the corpus grows by."""
    times_real_time: float
    """Speed of one worker; infinite if it was not measured."""
    workers: int

    @property
    def work_seconds(self) -> float:
        """How long all workers together will be busy, wall clock."""
        return self.audio_seconds / self.times_real_time / self.workers


def estimate(recipe: Recipe, paths: Sequence[str], workers: int) -> Cost:
    """Estimate a run from the sizes of its files, some headers, and a short trial.

    Raises:
        ModelUnavailableError: a teacher cannot be loaded.
    """
    seconds = audio_seconds(paths)
    speed = trial(recipe) if paths else math.inf
    return Cost(seconds, disk_bytes(recipe, seconds, len(paths)), speed, max(1, workers))


def audio_seconds(paths: Sequence[str]) -> float:
    """Roughly how long some recordings are together."""
    sizes = [_size(path) for path in paths]
    step = max(1, len(paths) // SAMPLED_FILES)
    heard = heard_bytes = 0.0
    for path, size in list(zip(paths, sizes, strict=True))[::step]:
        # Without a size it is empty, away, or a pipe, which would keep us waiting.
        seconds = header_seconds(path) if size else None
        if seconds:
            heard, heard_bytes = heard + seconds, heard_bytes + size
    per_byte = heard / heard_bytes if heard_bytes else 1 / _BYTES_PER_SECOND
    return sum(sizes) * per_byte


def disk_bytes(recipe: Recipe, seconds: float, files: int) -> int:
    """Size of the labelled recordings of so much audio in so many files."""
    a_frame = 2 * recipe.front_end.n_bins + 2 + N_CLASSES
    return int(seconds / recipe.front_end.frame_seconds * a_frame) + files * _HEADER_BYTES


def trial(recipe: Recipe) -> float:
    """How many seconds of audio one worker labels in a second, decoding not counted.

    Raises:
        ModelUnavailableError: a teacher cannot be loaded.
    """
    noise = np.random.default_rng(0)
    compute(recipe, _Noise(1.0, noise), None)  # the first time is slower
    start = time.perf_counter()
    compute(recipe, _Noise(TRIAL_SECONDS, noise), None)
    return TRIAL_SECONDS / max(1e-6, time.perf_counter() - start)


def header_seconds(path: str) -> float | None:
    """Length of a recording as its header has it; ``None`` if that cannot be read quickly."""
    try:
        import soundfile

        with Path(path).open("rb") as file:
            info: Any = soundfile.info(file)
        return float(info.duration)
    except Exception:  # whatever a decoder makes of a file that is none of its own
        return None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - Path drops what a name cannot hold
    except OSError:
        return 0


class _Noise(Signals):
    """Noise at any rate."""

    def __init__(self, seconds: float, generator: np.random.Generator) -> None:
        super().__init__(seconds, {})
        self._generator = generator

    def length(self, sample_rate: int) -> int:
        return int(self.seconds * sample_rate)

    def read(self, sample_rate: int, start: int = 0, stop: int | None = None) -> Samples:
        start, stop, _ = slice(start, stop).indices(self.length(sample_rate))
        return 0.1 * self._generator.standard_normal(stop - start, np.float32)
