"""Windows: how a network that sees a fixed number of frames at a time reads a whole recording.

Windows of equal length overlap. By default each frame is taken from the window in which it lies
furthest from an edge, where a network knows least; the overlapping windows of arXiv 2602.19778,
in which all windows that see a frame vote on it, are there too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chordtool.types import Features, Logits

VOTES: Final = ("centre", "logits", "probabilities", "hard")
FLOOR: Final = np.float32(1e-9)
"""Least probability of a class that has no vote."""

Forward = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""float32 [windows, frames, bins] -> float32 [windows, frames, classes]."""


@dataclass(frozen=True)
class Windows:
    """How windows overlap, and who decides where they do."""

    context_frames: int = 12
    """Frames at either edge of a window that are there to be seen. Two neighbours overlap by
    twice as many frames, or a few more; 27 of 108 are the paper's stride of 54."""
    vote: str = "centre"
    """``"centre"``: a frame is taken from the window that has it closest to its centre.
    ``"logits"`` and ``"probabilities"``: the mean over the windows that see it. ``"hard"``: the
    share of those windows that rank a class first."""
    batch: int = 5
    """Windows that go through the network together."""

    def __post_init__(self) -> None:
        for name, low, high in (("context_frames", 0, 50_000), ("batch", 1, 1024)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(f"windows {name} is {value!r}")
        if self.vote not in VOTES:
            raise ValueError(f"windows vote is {self.vote!r}")

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Windows:
        """Read a description.

        Raises:
            TypeError, ValueError: it is not one.
        """
        if not isinstance(document, dict):
            raise TypeError("windows is not an object")
        unknown = set(document) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"windows has unknown fields {sorted(unknown)[:3]}")
        return cls(**document)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        return asdict(self)


def window_starts(n_frames: int, length: int, context_frames: int) -> list[int]:
    """First frames of the windows over a recording.

    As few windows as give each frame ``context_frames`` on either side in one of them, spread
    evenly; the first begins with the recording, the last ends with it. A recording that fits
    into one window has one.
    """
    if n_frames <= length:
        return [0]
    context = min(context_frames, (length - 1) // 2)
    n_windows = -(-(n_frames - 2 * context) // (length - 2 * context))
    starts = np.linspace(0, n_frames - length, n_windows).round()
    return [int(start) for start in starts]


def read(
    features: Features, length: int | None, n_classes: int, windows: Windows, forward: Forward
) -> Logits:
    """Logits of a whole recording from a network that sees one window at a time.

    Args:
        features: float32 [frames, bins], normalised.
        length: frames of a window; ``None``: the network takes the whole recording at once. A
            shorter recording is filled up with zeros, which are taken off again.
        n_classes: classes of the network's answer.
        windows: how they overlap.
        forward: the network.

    Returns:
        float32 [frames, classes].
    """
    n_frames, n_bins = features.shape
    if n_frames == 0:
        return np.zeros((0, n_classes), np.float32)
    length = n_frames if length is None else length
    if n_frames < length:
        filled = np.zeros((length, n_bins), np.float32)
        filled[:n_frames] = features
        return forward(filled[None])[0, :n_frames]
    starts = window_starts(n_frames, length, windows.context_frames)
    answers = _answers(features, starts, length, windows.batch, forward)
    logits = np.zeros((n_frames, n_classes), np.float32)
    if windows.vote == "centre":
        # Where two windows overlap, the earlier one has the first half.
        cuts = [(a + length + b) // 2 for a, b in pairwise(starts)]
        for start, first, stop, answer in zip(
            starts, [0, *cuts], [*cuts, n_frames], answers, strict=True
        ):
            logits[first:stop] = answer[first - start : stop - start]
        return logits
    votes = np.zeros((n_frames, 1), np.float32)
    for start, answer in zip(starts, answers, strict=True):
        logits[start : start + length] += _ballot(answer, windows.vote)
        votes[start : start + length] += 1
    logits /= votes
    return logits if windows.vote == "logits" else np.log(np.maximum(logits, FLOOR))


def _answers(
    features: Features, starts: list[int], length: int, batch: int, forward: Forward
) -> Iterator[NDArray[np.float32]]:
    for k in range(0, len(starts), batch):
        yield from forward(np.stack([features[s : s + length] for s in starts[k : k + batch]]))


def _ballot(answer: NDArray[np.float32], vote: str) -> NDArray[np.float32]:
    if vote == "logits":
        return answer
    if vote == "hard":
        ranked_first: NDArray[np.float32] = np.zeros_like(answer)
        np.put_along_axis(ranked_first, answer.argmax(axis=-1)[..., None], 1.0, axis=-1)
        return ranked_first
    probability: NDArray[np.float32] = np.exp(answer - answer.max(axis=-1, keepdims=True))
    probability /= probability.sum(axis=-1, keepdims=True)
    return probability
