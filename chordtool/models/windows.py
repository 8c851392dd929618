"""Windows: how a model that hears a fixed number of frames at a time hears a whole recording.

Frames are cut into windows of equal length, the last one filled up with zeros, and the answers
for frames that several windows hold are made one (the votes of arXiv 2602.19778).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chordtool.decoding import log_probabilities
from chordtool.types import Features, Logits

VOTES: Final = ("centre", "logit", "probability", "hard")


@dataclass(frozen=True)
class Windows:
    """How a recording is cut and put together again."""

    frames: int = 108
    """Frames of a window."""
    stride: int = 108
    """Frames from one window's start to the next; less than ``frames`` lets them overlap."""
    vote: str = "centre"
    """What a frame in several windows gets: ``"centre"``, the logits of the window in which it
    lies most centrally; ``"logit"``, their mean; ``"probability"``, the log of the mean
    probability; ``"hard"``, the log of the share of windows that voted for the class."""

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.frames:
            raise ValueError(f"windows of {self.frames} frames cannot be {self.stride} apart")
        if self.vote not in VOTES:
            raise ValueError(f"vote is {self.vote!r}")


def run_windows(
    forward: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    features: Features,
    windows: Windows,
    *,
    batch_size: int = 6,
) -> Logits:
    """Frame logits of a whole recording.

    Args:
        forward: from float32 [batch, frames, bins] to float32 [batch, frames, classes]; batches
            of at most ``batch_size``.
        features: float32 [n, bins], normalised, n >= 1; zeros fill the last window.

    Returns:
        float32 [n, classes].
    """
    n, width, stride = len(features), windows.frames, windows.stride
    count = 1 + max(0, -(-(n - width) // stride))
    padded = np.zeros(((count - 1) * stride + width, *features.shape[1:]), np.float32)
    padded[:n] = features
    starts = range(0, count * stride, stride)
    total: NDArray[np.float32] | None = None
    weight = np.zeros(len(padded), np.float32)
    for first in range(0, count, batch_size):
        chosen = starts[first : first + batch_size]
        answers = forward(np.stack([padded[s : s + width] for s in chosen]))
        if total is None:
            total = np.zeros((len(padded), answers.shape[2]), np.float32)
        for start, answer in zip(chosen, answers, strict=True):
            _add(total, weight, start, answer, windows)
    assert total is not None, "there is at least one window"
    total, weight = total[:n], weight[:n]
    if windows.vote != "centre" and stride < width:
        total /= weight[:, None]
        if windows.vote != "logit":
            # No window's vote is no impossibility: give it less than any vote can be.
            total = np.log(np.maximum(total, np.float32(1e-7)))
    return total


def _add(
    total: NDArray[np.float32],
    weight: NDArray[np.float32],
    start: int,
    answer: NDArray[np.float32],
    windows: Windows,
) -> None:
    """Add a window's answer to what the recording has so far."""
    stop = start + windows.frames
    if windows.vote == "centre" or windows.stride == windows.frames:
        # Half of the overlap is left to the window before, half to the one after.
        margin = (windows.frames - windows.stride) // 2 if start else 0
        total[start + margin : stop] = answer[margin:]
        return
    if windows.vote == "probability":
        answer = np.exp(log_probabilities(answer))
    elif windows.vote == "hard":
        answer = np.eye(answer.shape[1], dtype=np.float32)[answer.argmax(axis=1)]
    total[start:stop] += answer
    weight[start:stop] += 1
