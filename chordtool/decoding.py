"""Decoding: frame logits become chord segments.

Two ways, chosen by :class:`Decoding`: Viterbi with a prior for staying on a chord, and plain
argmax. Before either, logits may be smoothed as in arXiv 2602.19778, whose overlapping windows
and votes are :mod:`chordtool.models.windows`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chordtool.segments import Alternative, Segment
from chordtool.types import Logits

METHODS: Final = ("viterbi", "argmax")
_BLOCK_FRAMES: Final = 1024
"""Frames that are worked on at a time where all of them would take too much memory."""


@dataclass(frozen=True)
class Decoding:
    """How frame logits become segments."""

    method: str = "viterbi"
    """``"viterbi"`` or ``"argmax"``."""
    change_penalty: float = 4.0
    """Viterbi's one parameter, in nats: the log-odds, prior to any audio, of staying on a chord
    from one frame to the next against moving to any one given other chord."""
    temperature: float = 1.0
    """Logits are divided by it before they are read as probabilities."""
    smoothing_frames: int = 1
    """Odd width of the Gaussian (sigma = width / 6, edges repeated) that smooths logits over
    time before decoding; 1 is none, the paper's is 9."""
    min_seconds: float = 0.0
    """No segment comes out shorter than this: short ones join the neighbour that explains
    their frames better. A recording that is itself shorter is one segment."""
    between_frames: bool = False
    """Whether a boundary may lie between the centres of the two frames beside it, where the
    log-odds of their chords, drawn as a line, cross 0; else it lies halfway."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"decoding method is {self.method!r}")
        for name, low, high in (
            ("change_penalty", 0.0, 1e4),
            ("temperature", 1e-3, 1e3),
            ("min_seconds", 0.0, 60.0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"decoding {name} is not a number")
            # Comparing comes first: a whole number may be too large for a float.
            if not (low <= value <= high and math.isfinite(value)):
                raise ValueError(f"decoding {name} is {value!r}")
        if not isinstance(self.between_frames, bool):
            raise TypeError("decoding between_frames is neither true nor false")
        width = self.smoothing_frames
        if not isinstance(width, int) or isinstance(width, bool):
            raise TypeError("decoding smoothing_frames is not a whole number")
        if not (1 <= width <= 999 and width % 2 == 1):
            raise ValueError(f"decoding smoothing_frames is {width!r}")

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Decoding:
        """Read a description.

        Raises:
            TypeError, ValueError: it is not one.
        """
        if not isinstance(document, dict):
            raise TypeError("decoding is not an object")
        unknown = set(document) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"decoding has unknown fields {sorted(unknown)[:3]}")
        return cls(**document)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        return asdict(self)


def decode(
    logits: Logits,
    edges: NDArray[np.float64],
    labels: tuple[str, ...],
    decoding: Decoding = Decoding(),
    *,
    top: int = 3,
) -> tuple[Segment, ...]:
    """Turn frame logits into segments that tile the recording.

    Args:
        logits: float32 [frames, classes].
        edges: float64 [frames + 1], times between frames in seconds, from 0 to the end
            (:meth:`chordtool.frontend.FrontEnd.frame_edges`).
        labels: Harte label of each class.
        decoding: how.
        top: how many alternatives each segment carries, at most.

    Returns:
        Segments from 0 to ``edges[-1]``; none if there are no frames or no time.
    """
    if len(logits) == 0 or edges[-1] <= 0:
        return ()
    logits = smooth(logits, decoding.smoothing_frames)
    if decoding.temperature != 1.0:
        logits = logits / decoding.temperature
    scores = log_probabilities(logits)
    if decoding.method == "viterbi":
        path = viterbi(scores, decoding.change_penalty)
    else:
        path = scores.argmax(axis=1)
    runs = _runs(path, edges)
    runs = _merge_short(runs, scores, edges, decoding.min_seconds)
    times = _boundaries(runs, scores, edges, decoding)
    return tuple(
        _segment(run, start, end, scores, labels, top)
        for run, (start, end) in zip(runs, pairwise(times), strict=True)
    )


def log_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Log-softmax over the last axis, float32."""
    scores = np.empty(logits.shape, np.float32)
    for first in range(0, len(logits), _BLOCK_FRAMES):  # what is made on the way stays small
        block = logits[first : first + _BLOCK_FRAMES]
        shifted = block - block.max(axis=-1, keepdims=True)
        norm = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        scores[first : first + _BLOCK_FRAMES] = shifted - norm
    return scores


def smooth(logits: Logits, width: int) -> Logits:
    """Gaussian smoothing over time, sigma = width / 6, edges repeated; width 1 changes nothing."""
    if width == 1:
        return logits
    half = width // 2
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / (width / 6)) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(logits, ((half, half), (0, 0)), mode="edge")
    smoothed = np.zeros_like(logits)
    for offset, weight in enumerate(kernel):
        smoothed += np.float32(weight) * padded[offset : offset + len(logits)]
    return smoothed


def viterbi(scores: NDArray[np.float32], change_penalty: float) -> NDArray[np.intp]:
    """The likeliest path when any change of class costs the same.

    With one penalty for every change, the best predecessor of a class is either itself or the
    best class overall, so a step costs O(classes) instead of O(classes squared).

    Args:
        scores: float32 [frames, classes], log-probabilities, frames >= 1.
        change_penalty: nats, >= 0.

    Returns:
        intp [frames], class of each frame.
    """
    n_frames, n_classes = scores.shape
    came_from_best = np.empty((n_frames, n_classes), bool)
    best = np.empty(n_frames, np.intp)
    # Only what depends on the frame before is done frame by frame: the loop is Python's.
    totals = np.empty((min(n_frames, _BLOCK_FRAMES) + 1, n_classes), np.float64)
    totals[0] = scores[0]
    highest, add, reduce = np.maximum, np.add, np.maximum.reduce
    for first in range(1, n_frames, _BLOCK_FRAMES):
        block = scores[first : first + _BLOCK_FRAMES]
        before = totals[0]
        for frame, total in zip(block, totals[1:], strict=False):
            highest(before, reduce(before) - change_penalty, out=total)
            add(total, frame, out=total)
            before = total
        stop, left = first + len(block), totals[: len(block)]
        best[first:stop] = left.argmax(axis=1)
        moved = left.max(axis=1, keepdims=True) - change_penalty
        came_from_best[first:stop] = moved > left
        totals[0] = before - reduce(before)
    path = np.empty(n_frames, np.intp)
    path[-1] = totals[0].argmax()
    for t in range(n_frames - 1, 0, -1):
        here = path[t]
        path[t - 1] = best[t] if came_from_best[t, here] else here
    return path


@dataclass(slots=True)
class _Run:
    first: int
    stop: int
    index: int


def _runs(path: NDArray[np.intp], edges: NDArray[np.float64]) -> list[_Run]:
    """Stretches of one class, those of no length in time left out."""
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    stops = np.append(starts[1:], len(path))
    runs: list[_Run] = []
    for first, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if edges[stop] > edges[first]:
            runs.append(_Run(first, stop, int(path[first])))
    return _join(runs)


def _join(runs: list[_Run]) -> list[_Run]:
    joined: list[_Run] = []
    for run in runs:
        if joined and joined[-1].index == run.index:
            joined[-1].stop = run.stop
        else:
            joined.append(run)
    return joined


def _merge_short(
    runs: list[_Run],
    scores: NDArray[np.float32],
    edges: NDArray[np.float64],
    min_seconds: float,
) -> list[_Run]:
    """Give the shortest run to the neighbour that explains it better until none is too short."""

    def seconds(run: _Run) -> float:
        return float(edges[run.stop] - edges[run.first])

    # Hours of music may have a hundred thousand runs, so the shortest is not looked for among all
    # of them each time. Neighbours are kept as places in the list, where those that are gone stay.
    there = [True] * len(runs)
    before = list(range(-1, len(runs) - 1))
    after = [*range(1, len(runs)), -1]
    waiting = [(seconds(run), k) for k, run in enumerate(runs)]
    heapify(waiting)

    def give(k: int, heir: int) -> None:
        gone, run = runs[k], runs[heir]
        run.first, run.stop = min(run.first, gone.first), max(run.stop, gone.stop)
        there[k] = False
        if before[k] >= 0:
            after[before[k]] = after[k]
        if after[k] >= 0:
            before[after[k]] = before[k]

    while waiting:
        length, k = heappop(waiting)
        short = runs[k]
        if not there[k] or length != seconds(short):  # it is gone, or has grown and waits anew
            continue
        neighbours = [n for n in (before[k], after[k]) if n >= 0]
        if length >= min_seconds or not neighbours:
            break
        frames = scores[short.first : short.stop]
        heir = max(neighbours, key=lambda n: float(frames[:, runs[n].index].sum()))
        give(k, heir)
        if len(neighbours) == 2 and runs[neighbours[0]].index == runs[neighbours[1]].index:
            give(neighbours[1], neighbours[0])
            heir = neighbours[0]
        heappush(waiting, (seconds(runs[heir]), heir))
    return [run for run, is_there in zip(runs, there, strict=True) if is_there]


def _boundaries(
    runs: list[_Run],
    scores: NDArray[np.float32],
    edges: NDArray[np.float64],
    decoding: Decoding,
) -> list[float]:
    """Where runs begin, and where the last one ends, in seconds."""
    times = [float(edges[runs[0].first])]
    for before, after in pairwise(runs):
        k = after.first
        time = float(edges[k])
        if decoding.between_frames:
            here, there = (float(s[before.index] - s[after.index]) for s in scores[k - 1 : k + 1])
            if here > 0 > there:
                # Half of the shorter frame, so that the boundaries of one frame never cross.
                half = min(edges[k] - edges[k - 1], edges[k + 1] - edges[k]) / 2
                moved = time + float(half * (here + there) / (here - there))
                # Where a neighbour would get too short by it, the boundary stays. What is kept free
                # behind it is what the next one needs to stay.
                shortest = min(moved - times[-1], float(edges[after.stop]) - moved)
                if shortest > 0 and shortest >= decoding.min_seconds:
                    time = moved
        times.append(time)
    return [*times, float(edges[runs[-1].stop])]


def _segment(
    run: _Run,
    start: float,
    end: float,
    scores: NDArray[np.float32],
    labels: tuple[str, ...],
    top: int,
) -> Segment:
    mean = np.exp(scores[run.first : run.stop]).mean(axis=0)
    likeliest = np.argsort(-mean, kind="stable")[: top + 1].tolist()
    ranked = [i for i in likeliest if i != run.index][:top]
    return Segment(
        start=start,
        end=end,
        label=labels[run.index],
        confidence=min(1.0, float(mean[run.index])),
        alternatives=tuple(Alternative(labels[i], float(mean[i])) for i in ranked),
    )
