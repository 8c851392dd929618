"""From an audio file to a labelled recording: one function, the same wherever it runs."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chordtool.audio.signals import Signals, open_signals
from chordtool.constantq import log_cqt
from chordtool.corpus.compact import STEP_NATS, encode
from chordtool.corpus.ensemble import Ensemble
from chordtool.corpus.folder import recording_path
from chordtool.corpus.manifest import FAILED, LABELLED, SKIPPED
from chordtool.corpus.recipe import Recipe
from chordtool.corpus.recording import Arrays, Metadata, Recording, write_recording
from chordtool.corpus.statistics import SILENCE_DBFS, describe
from chordtool.errors import AudioError, ChordtoolError, CorpusError, ModelUnavailableError
from chordtool.files import sha256_of
from chordtool.frontend import FrontEnd
from chordtool.printable import shown
from chordtool.types import Labels
from chordtool.vocabulary import MASKED

WHOLE_SECONDS: Final = 720.0
"""A recording up to this long is labelled in one go, as it would be transcribed."""
PART_SECONDS: Final = 480.0
"""Longer ones are labelled in parts of about this length, so that memory stays bounded."""
MARGIN_FRAMES: Final = 108
"""Frames computed and dropped on either side of a part: longer than any constant-Q filter."""


@dataclass(frozen=True)
class Job:
    """A recording to label."""

    path: str
    audio_sha256: str
    """What the file held when it was looked at."""
    min_seconds: float = 0.0
    max_seconds: float = math.inf


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    status: str
    """As in the manifest."""
    seconds: float = 0.0
    frames: int = 0
    recording_sha256: str = ""
    recording_bytes: int = 0
    statistics: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    reused: bool = False
    """Whether the recording was there already, so that nothing was computed."""


class CorpusWriteError(CorpusError):
    """The corpus folder cannot be written to; going on is of no use."""

    @classmethod
    def because(cls, error: OSError) -> CorpusWriteError:
        """The error over what the operating system said."""
        return cls(
            f"The corpus cannot be written to: {error.strerror or error}.",
            hint="Make room, or repair the folder; the same command then goes on where it was.",
        )


def label_recording(recipe: Recipe, corpus: str, job: Job) -> Outcome:
    """Label a recording and write it into the corpus, unless it is there already.

    Loads the teachers on first use, and keeps them for the recordings that follow.

    Args:
        recipe: how.
        corpus: the corpus folder.
        job: what.

    Raises:
        CorpusWriteError: the disk is full or the folder cannot be written to.
        ModelUnavailableError: the teachers are not here.
    """
    path = recording_path(Path(corpus), job.audio_sha256)
    try:
        found = _existing(path)
        if found is not None and _is_made_by(recipe, found):
            return _outcome(found.metadata, found.frames, *_file_facts(path), job, reused=True)
        return _label(recipe, path, job, found)
    except (CorpusWriteError, ModelUnavailableError):
        raise
    except ChordtoolError as error:
        return Outcome(FAILED, error=_without_name(error.message, job.path))
    except MemoryError:
        return Outcome(FAILED, error="There is not enough memory.")
    except Exception as error:
        # One odd recording must not end a run of a hundred thousand.
        first = (str(error).splitlines() or [""])[0]
        return Outcome(FAILED, error=f"Unexpected {type(error).__name__}: {first}")


def _without_name(message: str, path: str) -> str:
    """A message about a recording as its row has it: the same reason is the same text."""
    name = shown(path)
    return f"It{message.removeprefix(name)}" if message.startswith(f"{name} ") else message


def _label(recipe: Recipe, path: Path, job: Job, old: Recording | None) -> Outcome:
    ensemble = _ensemble(recipe)
    rates = ensemble.sample_rates | {recipe.front_end.sample_rate}
    with open_signals(Path(job.path), rates) as signals:
        if sha256_of(Path(job.path)) != job.audio_sha256:
            raise AudioError("The file was changed while it was being read.")
        seconds = signals.seconds
        if not job.min_seconds <= seconds <= job.max_seconds:
            return _out_of_bounds(job, seconds)
        arrays, agreement = compute(recipe, signals, old)
        silence = _silence(signals, recipe.front_end)
    metadata = Metadata(
        audio_sha256=job.audio_sha256,
        seconds=seconds,
        front_end=recipe.front_end,
        posterior_step=STEP_NATS,
        teachers=tuple(teacher.describe() for teacher in recipe.teachers),
        labels_fingerprint=recipe.labels_fingerprint,
        content_sha256=arrays.digest(),
        statistics=describe(arrays, STEP_NATS, silence=silence, agreement=agreement),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = write_recording(path, arrays, metadata)
        size = path.stat().st_size
    except OSError as error:
        raise CorpusWriteError.because(error) from None
    return _outcome(metadata, len(arrays.labels), digest, size, job)


def _outcome(
    metadata: Metadata, frames: int, digest: str, size: int, job: Job, *, reused: bool = False
) -> Outcome:
    if not job.min_seconds <= metadata.seconds <= job.max_seconds:
        return _out_of_bounds(job, metadata.seconds)
    return Outcome(
        LABELLED, metadata.seconds, frames, digest, size, metadata.statistics, reused=reused
    )


def _out_of_bounds(job: Job, seconds: float) -> Outcome:
    short = seconds < job.min_seconds
    bound = f"shorter than {job.min_seconds:g} s" if short else f"longer than {job.max_seconds:g} s"
    return Outcome(SKIPPED, seconds, error=f"It is {bound}.")


def _existing(path: Path) -> Recording | None:
    try:
        recording = Recording(path)
    except CorpusError:
        return None
    return recording if recording.is_intact() else None


def _is_made_by(recipe: Recipe, recording: Recording) -> bool:
    metadata = recording.metadata
    return (
        metadata.labels_fingerprint == recipe.labels_fingerprint
        and metadata.front_end == recipe.front_end
    )


def _file_facts(path: Path) -> tuple[str, int]:
    return sha256_of(path), path.stat().st_size


def compute(recipe: Recipe, signals: Signals, old: Recording | None) -> tuple[Arrays, float | None]:
    """Features, labels and posteriors of a recording, and how far the teachers agree.

    Args:
        recipe: how.
        signals: the recording, at the rates that the recipe's models want.
        old: an older recording of the same audio; what is the same in it is taken over.

    Returns:
        The arrays, and the teachers' agreement, 0..1, ``None`` if there is one teacher.

    Raises:
        AudioError: the recording is too short.
        ModelUnavailableError: the teachers are not here.
    """
    front_end = recipe.front_end
    kept = old.load() if old is not None else None
    meta = old.metadata if old is not None else None
    parts = list(_parts(signals, front_end))
    if kept is not None and meta is not None and meta.front_end == front_end:
        features = kept.features
    else:
        computed = [_features(signals, front_end, part) for part in parts]
        features = np.concatenate(computed).astype(np.float16)
        del computed
    frames = len(features)
    if frames == 0:
        raise AudioError("The recording is too short.")
    same_labels = meta is not None and meta.labels_fingerprint == recipe.labels_fingerprint
    if kept is not None and meta is not None and same_labels and len(kept.labels) == frames:
        agreement = meta.statistics.get("agreement")
        return Arrays(features, kept.labels, kept.codes), agreement
    edges = front_end.frame_edges(frames, signals.seconds)
    ensemble = _ensemble(recipe)
    labels, codes, agreeing = [], [], 0.0
    for part in parts:
        stop = min(part.stop, frames)
        opinion = ensemble.listen(signals, edges[part.first : stop + 1])
        labels.append(_labels(opinion.log_probabilities, recipe.filter_confidence))
        codes.append(encode(opinion.log_probabilities))
        agreeing += opinion.agreeing
    agreement = agreeing / frames if len(recipe.teachers) > 1 else None
    return Arrays(features, np.concatenate(labels), np.concatenate(codes)), agreement


def _labels(log_probabilities: NDArray[np.float32], filter_confidence: float) -> Labels:
    labels: Labels = log_probabilities.argmax(axis=1).astype(np.int16)
    if filter_confidence:
        labels[np.exp(log_probabilities.max(axis=1)) < filter_confidence] = MASKED
    return labels


@dataclass(frozen=True)
class _Part:
    """A stretch of frames of a recording; the last one reaches to the end."""

    first: int
    stop: int
    is_last: bool


_NO_STOP: Final = 1 << 60


def _parts(signals: Signals, front_end: FrontEnd) -> Iterator[_Part]:
    if signals.seconds <= WHOLE_SECONDS:
        yield _Part(0, _NO_STOP, True)
        return
    unit = _unit(front_end)
    length = max(1, round(PART_SECONDS / front_end.frame_seconds / unit)) * unit
    count = max(1, int(signals.seconds / front_end.frame_seconds / length))
    for k in range(count):
        last = k == count - 1
        yield _Part(k * length, _NO_STOP if last else (k + 1) * length, last)


def _unit(front_end: FrontEnd) -> int:
    """Frames that cannot be parted: those of a chunk."""
    chunk = front_end.chunk_samples
    return 1 if chunk is None else 1 + chunk // front_end.hop_length


def _features(signals: Signals, front_end: FrontEnd, part: _Part) -> NDArray[np.float32]:
    chunk = front_end.chunk_samples
    step = front_end.hop_length if chunk is None else chunk
    margin = MARGIN_FRAMES if chunk is None else 0
    unit = _unit(front_end)
    before = min(margin, part.first)
    start = (part.first - before) // unit * step
    stop = None if part.is_last else (part.stop + margin) // unit * step
    frames = log_cqt(signals.read(front_end.sample_rate, start, stop), front_end)
    return frames[before:] if part.is_last else frames[before : before + part.stop - part.first]


def _silence(signals: Signals, front_end: FrontEnd) -> float:
    """Share of hops whose root mean square is below :data:`SILENCE_DBFS`."""
    hop, rate = front_end.hop_length, front_end.sample_rate
    length = signals.length(rate)
    quiet = hops = 0
    for start in range(0, length, hop * 4096):
        block = signals.read(rate, start, min(length, start + hop * 4096))
        rows = np.pad(block, (0, -len(block) % hop)).reshape(-1, hop)
        power = np.einsum("ij,ij->i", rows, rows) / hop
        quiet += int((power < 10 ** (SILENCE_DBFS / 10)).sum())
        hops += len(power)
    return quiet / max(1, hops)


_THREAD = threading.local()


def _ensemble(recipe: Recipe) -> Ensemble:
    """The recipe's teachers, loaded once a thread: models are used by one thread at a time."""
    if getattr(_THREAD, "recipe", None) != recipe:
        _THREAD.recipe = _THREAD.ensemble = None  # never two sets of teachers in memory
        _THREAD.ensemble = Ensemble(recipe)
        _THREAD.recipe = recipe
    found: Ensemble = _THREAD.ensemble
    return found
