"""How well a student does on songs that it did not learn from, by the metrics of evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from chordtool.decoding import decode
from chordtool.errors import UsageError
from chordtool.evaluation import Scores, evaluate
from chordtool.models.card import ModelCard
from chordtool.models.windows import DEFAULT_FRAMES, run_windows
from chordtool.segments import Segment
from chordtool.training import slices
from chordtool.training.data import Source, spare_bins
from chordtool.types import Labels
from chordtool.vocabulary import LARGE, MASKED, X_INDEX

MAX_RECORDINGS: Final = 200
"""More than these are not judged, so that the report of a large corpus does not take hours."""


def judge(student: nn.Module, card: ModelCard, sources: Sequence[Source]) -> Scores | None:
    """Scores against the labels at the frames' times.

    Frames without a label are ``X``, which mir_eval leaves out; recordings of nothing else are
    left out, too.

    Args:
        student: takes and returns what :func:`chordtool.models.students.build` says.
        card: front end, windows and decoding.
        sources: recordings; of more than :data:`MAX_RECORDINGS`, evenly spread ones are taken.

    Returns:
        the scores, ``None`` if no recording has a label.
    """
    tracks = [(source, track) for source in sources for track in source.tracks]
    step = -(-len(tracks) // MAX_RECORDINGS) or 1
    references: dict[str, tuple[Segment, ...]] = {}
    estimates: dict[str, tuple[Segment, ...]] = {}
    device = next(student.parameters()).device
    was_training = student.training
    student.eval()

    @torch.no_grad()
    def forward(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = student(torch.from_numpy(windows).to(device)).cpu().numpy()
        return logits

    for number, (source, track) in enumerate(tracks[::step]):
        low, _ = spare_bins(source.front_end, card.front_end)
        (stored,) = slices.rows(track.path, ("features",), 0, track.n_frames)
        labels = track.labels
        if labels is None:
            (labels,) = slices.rows(track.path, ("labels",), 0, track.n_frames)
        if np.isin(labels, (MASKED, X_INDEX)).all():
            continue
        cut = stored[:, low : low + card.front_end.n_bins].astype(np.float32)
        features = card.front_end.normalise(cut)
        logits = run_windows(forward, features, card.segment_frames or DEFAULT_FRAMES, card.windows)
        seconds = track.n_frames * card.front_end.frame_seconds
        edges = card.front_end.frame_edges(track.n_frames, seconds)
        name = f"{number} {track.song}"
        references[name] = labelled_segments(labels, edges)
        estimates[name] = decode(logits, edges, LARGE, card.decoding, top=0)
    student.train(was_training)
    try:
        return evaluate(references, estimates)
    except UsageError:
        return None


def labelled_segments(labels: Labels, edges: NDArray[np.float64]) -> tuple[Segment, ...]:
    """Frames of the same class as segments; masked ones are ``X``.

    Args:
        labels: int16 [frames], -1..169.
        edges: float64 [frames + 1], seconds.
    """
    classes = np.where(labels < 0, X_INDEX, labels)
    starts = np.flatnonzero(np.diff(classes, prepend=-1))
    stops = np.append(starts[1:], len(classes))
    return tuple(
        Segment(float(edges[a]), float(edges[b]), LARGE[classes[a]])
        for a, b in zip(starts.tolist(), stops.tolist(), strict=True)
        if edges[b] > edges[a]
    )
