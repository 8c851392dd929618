"""Ground truth: label files matched to audio, features and teacher's posteriors cached on disk.

What the cache holds is named by the hash of the audio and by what was computed from it, so that
changed audio, another front end or another teacher is computed anew, and several runs can share
one cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from chordtool import audio
from chordtool.audio.signals import open_signals
from chordtool.constantq import log_cqt
from chordtool.corpus.ensemble import Ensemble
from chordtool.errors import AudioError, ChordtoolError, TrainingError
from chordtool.evaluation.files import label_files
from chordtool.files import atomic_write, sha256_of
from chordtool.formats import read_segments
from chordtool.frontend import FrontEnd
from chordtool.matching import Matches, match_by_name
from chordtool.segments import Segment
from chordtool.training import slices
from chordtool.training.data import Source, Tell, Track
from chordtool.training.sources import read_log_posteriors
from chordtool.types import Labels
from chordtool.vocabulary import MASKED, class_of


def match(labels: Path, audio_folder: Path | None = None) -> Matches:
    """Match label files to recordings by name: the same path below the folders, else the stem.

    Args:
        labels: a folder of ``.lab``, ``.jams`` or ``.json`` files, in it and below it.
        audio_folder: where the recordings are; beside the labels if ``None``.

    Raises:
        UsageError: it is no folder, or there are no labels.
        TrainingError: no label file has a recording.
    """
    files = label_files(labels)
    root = audio_folder or labels
    recordings = [path for path in audio.find_audio([root]) if path.is_file()]
    matches = match_by_name(files, labels, recordings, root)
    if not matches.pairs:
        raise TrainingError(
            f"None of the {len(files)} label files in {labels} has audio in {root}.",
            hint="Audio and labels belong together by name: song.flac and song.lab. "
            "Say where the audio is with --audio.",
        )
    return matches


def read_labels(path: Path) -> tuple[Segment, ...]:
    """Read a label file by its suffix; what is not labelled in it is not made up.

    Raises:
        TrainingError: it cannot be read, does not parse, overlaps itself, runs backwards, or
            labels nothing.
    """
    try:
        # As a transcription its gaps would be N, which the student would learn.
        segments = read_segments(path)
    except ChordtoolError as error:
        why = error.message.removeprefix(f"{path}: ")
        raise TrainingError(
            f"The labels {path} cannot be used: {why}",
            hint=error.hint or "Mend the file, or move it away.",
        ) from None
    if not segments:
        raise TrainingError(
            f"The labels {path} cannot be used: they label nothing.",
            hint="Mend the file, or move it away.",
        )
    return segments


def label_frames(segments: Sequence[Segment], front_end: FrontEnd, n_frames: int) -> Labels:
    """The class of the label at each frame's time, :data:`MASKED` where there is none.

    Args:
        segments: in order, not overlapping; there may be gaps.

    Returns:
        int16 [n_frames].

    Raises:
        LabelError: a label is not a chord.
    """
    labels = np.full(n_frames, MASKED, np.int16)
    if not segments:
        return labels
    times = front_end.frame_times(n_frames)
    starts = np.array([s.start for s in segments])
    ends = np.array([s.end for s in segments])
    classes = np.array([class_of(s.label) for s in segments], np.int16)
    owner = np.searchsorted(starts, times, side="right") - 1
    inside = (owner >= 0) & (times < ends[np.maximum(owner, 0)])
    labels[inside] = classes[owner[inside]]
    return labels


@dataclass(frozen=True)
class Cache:
    """A folder of features and posteriors."""

    folder: Path

    def features(self, path: Path, digest: str, front_end: FrontEnd) -> tuple[Path, int, float]:
        """Features of a recording, computed if they are not there.

        Returns:
            the safetensors file with ``features`` float16 [frames, bins], the number of frames,
            the recording's length in seconds.

        Raises:
            AudioError: the recording cannot be decoded.
        """
        target = self._path(digest, front_end.fingerprint)
        known = _metadata(target)
        if known is None:
            recording = audio.load(path, front_end.sample_rate)
            stored = log_cqt(recording.samples, front_end).astype(np.float16)
            _write(target, {"features": stored}, {"seconds": recording.seconds})
            return target, len(stored), recording.seconds
        return target, slices.layout(target)["features"].shape[0], float(known["seconds"])

    def posteriors(
        self, path: Path, digest: str, front_end: FrontEnd, n_frames: int, seconds: float,
        teachers: Callable[[], Ensemble], teachers_id: str,
    ) -> Path:  # fmt: skip
        """Posteriors of teachers at the student's frames, computed if they are not there.

        Returns:
            the safetensors file with ``log_posteriors`` float16 [frames, 170].
        """
        frames = f"{front_end.frame_seconds:.12g}-{front_end.chunk_samples}-{n_frames}"
        target = self._path(digest, hashlib.sha256(f"{teachers_id}-{frames}".encode()).hexdigest())
        if _metadata(target) is None:
            log_posteriors = teacher_posteriors(teachers(), path, front_end, n_frames, seconds)
            _write(target, {"log_posteriors": log_posteriors}, {"teachers": teachers_id})
        return target

    def _path(self, digest: str, kind: str) -> Path:
        return self.folder / digest[:2] / f"{digest[:32]}-{kind[:16]}.safetensors"


def teacher_posteriors(
    teachers: Ensemble, path: Path, front_end: FrontEnd, n_frames: int, seconds: float
) -> NDArray[np.float16]:
    """What teachers say about a recording, at the student's frames.

    Returns:
        float16 [frames, 170]: log-probabilities, cut off at e**-46. Rounding loses less than
        0.016 nats, and less than 0.004 where a class is above e**-8.

    Raises:
        AudioError: the recording cannot be decoded, or is too short for a teacher.
    """
    with open_signals(path, teachers.sample_rates) as signals:
        opinion = teachers.listen(signals, front_end.frame_edges(n_frames, seconds))
    stored: NDArray[np.float16] = np.maximum(opinion.log_probabilities, -46.0).astype(np.float16)
    return stored


def labelled_source(
    matches: Matches,
    cache: Cache,
    front_end: FrontEnd,
    *,
    name: str,
    weight: float = 1.0,
    song_pattern: str | None = None,
    teachers: Callable[[], Ensemble] | None = None,
    teachers_id: str = "",
    tell: Tell | None = None,
) -> tuple[Source, dict[Path, str]]:
    """Recordings with ground truth, their features computed or taken from the cache.

    Returns:
        the source, and for each recording that could not be used why not.

    Raises:
        TrainingError: a label file is broken, or no recording is left.
    """
    labels = [read_labels(file) for file, _ in matches.pairs]
    songs = matches.songs(song_pattern)
    tracks: list[Track] = []
    failed: dict[Path, str] = {}
    for number, (_, path) in enumerate(matches.pairs):
        try:
            digest = audio_digest(path)
            stored, n_frames, seconds = cache.features(path, digest, front_end)
            soft = None
            if teachers is not None:
                soft = cache.posteriors(
                    path, digest, front_end, n_frames, seconds, teachers, teachers_id
                )
        except ChordtoolError as error:
            if isinstance(error, TrainingError):
                raise
            failed[path] = error.message
            if tell is not None:
                tell(number + 1, len(matches.pairs))
            continue
        tracks.append(
            Track(
                key=str(path), song=songs[number], path=stored, n_frames=n_frames,
                labels=label_frames(labels[number], front_end, n_frames),
                digest=digest,
                posteriors=None if soft is None else read_log_posteriors, soft_path=soft,
            )
        )  # fmt: skip
        if tell is not None:
            tell(number + 1, len(matches.pairs))
    if not tracks:
        raise TrainingError(
            f"None of the recordings of {name} can be decoded.",
            hint=next(iter(failed.values()), ""),
        )
    return Source(name, tuple(tracks), front_end, weight), failed


def audio_digest(path: Path) -> str:
    """sha256 of a recording's bytes in hex digits.

    Raises:
        AudioError: it cannot be read.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}.") from None


def _metadata(path: Path) -> dict[str, Any] | None:
    """What a cached file says about itself; ``None`` if it is missing or damaged."""
    try:
        found: dict[str, Any] = json.loads(slices.metadata(path)[_KEY])
        tensors = {
            name: slices.rows(path, (name,), 0, tensor.shape[0])[0]
            for name, tensor in slices.layout(path).items()
        }
        expected = found.pop("sha256", None)  # files of earlier versions have none
    except (ChordtoolError, KeyError, ValueError, AttributeError, IndexError):
        return None
    return found if expected in (None, _digest(tensors, found)) else None


_KEY: Final = "chordtool.cache"


def _write(
    path: Path, tensors: dict[str, NDArray[np.float16]], metadata: dict[str, object]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    described = {**metadata, "sha256": _digest(tensors, metadata)}
    with atomic_write(path) as file:
        file.write(save(tensors, metadata={_KEY: json.dumps(described)}))
    slices.forget()


def _digest(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, object]) -> str:
    """sha256 of all that a cached file holds."""
    total = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        total.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        total.update(np.ascontiguousarray(tensors[name]).data)
    return total.hexdigest()


def summary(matches: Iterable[Matches], failed: dict[Path, str]) -> list[str]:
    """What did not match, in lines for people."""
    lines: list[str] = []
    for found in matches:
        lines += _list("label files have no audio", found.alone)
        lines += _list("recordings have no labels", found.unused)
    lines += [f"{path}: {why}" for path, why in failed.items()]
    return lines


def _list(what: str, paths: tuple[Path, ...]) -> list[str]:
    if not paths:
        return []
    shown = ", ".join(str(p) for p in paths[:5]) + (", ..." if len(paths) > 5 else "")
    return [f"{len(paths)} {what}: {shown}"]
