"""Where a student's recordings come from: corpora, and audio with ground truth beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chordtool.corpus import Corpus
from chordtool.corpus.recording import METADATA_KEY
from chordtool.decoding import log_probabilities, viterbi
from chordtool.errors import TrainingError, UsageError
from chordtool.matching import song_names
from chordtool.training import slices
from chordtool.training.data import Source, Tell, Track, segment_starts
from chordtool.types import Labels
from chordtool.vocabulary import MASKED


def corpus_source(
    path: str | Path,
    *,
    weight: float = 1.0,
    song_pattern: str | None = None,
    weigh_by_agreement: bool = False,
    validates: bool = True,
    only: Collection[str] | None = None,
    path_cost: float = 0.0,
    tell: Tell | None = None,
) -> Source:
    """The labelled recordings of a corpus.

    Args:
        path: folder of the corpus.
        weight: how often each segment is seen in an epoch.
        song_pattern: regular expression whose first group, found in a file's stem, names the
            song; the whole stem if ``None``.
        weigh_by_agreement: whether a recording counts by the share of frames on which the
            teachers agree.
        validates: whether a part of it is put aside for validation and testing.
        only: sha256 of the audio of the recordings that are taken; all of them if ``None``.
        path_cost: nats that a change of chord costs on the teacher's best path, which is then
            learnt; 0: the labels of the corpus, which are each frame's best chord.
        tell: is told how many recordings have their path, of how many.

    Raises:
        CorpusError: it is no corpus.
        TrainingError: it holds nothing to learn from, or a recording cannot be read.
    """
    corpus = Corpus.open(path)
    recordings = [
        r for r in corpus.recordings()
        if r.music and r.frames > 0 and (only is None or r.audio_sha256 in only)
    ]  # fmt: skip
    if not recordings:
        raise TrainingError(
            f"The corpus {path} holds no labelled music.",
            hint=f"Look at it with: chordtool corpus info {path}",
        )
    names = song_names([Path(r.row.path or r.audio_sha256) for r in recordings], song_pattern)
    tracks = []
    for done, (r, name) in enumerate(zip(recordings, names, strict=True), 1):
        tracks.append(
            Track(
                key=r.row.path or r.audio_sha256,
                song=name,
                path=r.path,
                n_frames=r.frames,
                digest=r.row.recording_sha256,
                labels=best_path(r.path, r.frames, path_cost) if path_cost else None,
                posteriors=read_codes,
                weight=r.agreement if weigh_by_agreement and r.agreement is not None else 1.0,
            )
        )
        if path_cost and tell is not None:
            tell(done, len(recordings))
    return Source(str(path), tuple(tracks), corpus.front_end, weight, validates)


def read_codes(path: Path, start: int, stop: int) -> NDArray[np.float32]:
    """The teacher's posteriors of a corpus's recording: logits, float32 [frames, 170]."""
    (codes,) = slices.rows(path, ("posteriors",), start, stop)
    logits: NDArray[np.float32] = codes * np.float32(-_posterior_step(path))
    return logits


def best_path(path: Path, n_frames: int, cost: float) -> Labels:
    """The teacher's best path through a corpus's recording.

    A teacher that is listened to is decoded, and so its answer changes less often than the best
    chord of each frame does.

    Args:
        path: of the recording.
        n_frames: that it has.
        cost: of a change of chord, in nats.

    Returns:
        int16 [n_frames], :data:`MASKED` where the recording's labels are.
    """
    (labels,) = slices.rows(path, ("labels",), 0, n_frames)
    found = viterbi(log_probabilities(read_codes(path, 0, n_frames)), cost)
    return np.where(labels == MASKED, MASKED, found).astype(np.int16)


def read_log_posteriors(path: Path, start: int, stop: int) -> NDArray[np.float32]:
    """The teacher's cached posteriors: log-probabilities, float32 [frames, 170]."""
    (stored,) = slices.rows(path, ("log_posteriors",), start, stop)
    return stored.astype(np.float32)


@lru_cache(maxsize=4096)
def _posterior_step(path: Path) -> float:
    try:
        step = float(json.loads(slices.metadata(path)[METADATA_KEY])["posterior_step"])
    except (KeyError, ValueError, TypeError):
        raise slices.broken(path, "it is not a labelled recording") from None
    if not 0 < step < 100:
        raise slices.broken(path, "its posteriors have no sensible step")
    return step


def weights_for(names: tuple[str, ...], given: tuple[float, ...]) -> tuple[float, ...]:
    """One weight a source; 1 for those that were not given one.

    Raises:
        UsageError: there are more weights than sources, or one is not positive.
    """
    if len(given) > len(names):
        raise UsageError(
            f"There are {len(given)} weights for {len(names)} sources.",
            hint="Give one --weight a source at most, in the same order.",
        )
    if not all(math.isfinite(w) and 0 < w <= 1000 for w in given):
        raise UsageError("A --weight is not between 0 and 1000.")
    return given + (1.0,) * (len(names) - len(given))


def replayed(
    corpora: Sequence[Source],
    labelled: Sequence[Source],
    share: float,
    stride: int,
    *,
    augmented: bool = True,
) -> list[Source]:
    """Corpora weighted so that ``share`` of an epoch's segments comes from them; they are never
    put aside for validation.

    Args:
        corpora: what is replayed.
        labelled: what is trained on beside them, without the songs that validate.
        share: 0..1, less than 1.
        stride: frames from one segment's start to the next.
        augmented: whether the corpora are augmented as the labelled recordings are.
    """
    own = sum(s.weight * _segments(s, stride) for s in labelled)
    others = sum(_segments(s, stride) for s in corpora)
    weight = own * share / (1.0 - share) / max(1, others)
    return [replace(s, weight=weight, validates=False, augmented=augmented) for s in corpora]


def _segments(source: Source, stride: int) -> int:
    return sum(len(segment_starts(t.n_frames, stride, tail=False)) for t in source.tracks)
