"""Windows: how a model that hears a fixed number of frames at a time hears a whole recording.

Frames are cut into windows of equal length, the last one filled up with zeros, and the answers
for frames that several windows hold are made one (the votes of arXiv 2602.19778).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chordtool.decoding import log_probabilities
from chordtool.types import Features, Logits

Forward: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
BATCH: Final = 6
"""Windows answered at a time. Larger batches gain nothing on a CPU and take more memory."""
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


def run_windows(forward: Forward, features: Features, windows: Windows) -> Logits:
    """Frame logits of a whole recording.

    Args:
        forward: see :class:`WindowStream`.
        features: float32 [n, bins], normalised, n >= 1.

    Returns:
        float32 [n, classes].
    """
    stream = WindowStream(forward, windows)
    stream.add(features)
    return stream.finish()


class WindowStream:
    """Windows over a recording whose features arrive in pieces.

    Windows are answered in batches that are the same however the features arrive, and on
    several threads if asked, so that the result is to the bit that of the whole recording.

    Args:
        forward: from float32 [batch, frames, bins] to float32 [batch, frames, classes]; called
            with at most :data:`BATCH` windows, by several threads at once if ``threads > 1``.
        windows: how the recording is cut; zeros fill the last window.
        threads: batches that are answered at the same time.
    """

    def __init__(self, forward: Forward, windows: Windows, *, threads: int = 1) -> None:
        self._forward = forward
        self._windows = windows
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._pieces: list[Features] = []
        self._pending = 0
        self._n = 0
        self._answers: list[Future[NDArray[np.float32]] | NDArray[np.float32]] = []

    def add(self, features: Features) -> None:
        """Take the next features, float32 [n, bins], and answer the batches that they complete."""
        self._pieces.append(features)
        self._pending += len(features)
        self._n += len(features)
        width, stride = self._windows.frames, self._windows.stride
        needed = (BATCH - 1) * stride + width
        while self._pending >= needed:
            held = np.concatenate(self._pieces)
            self._answer(held[:needed], BATCH)
            self._pieces = [held[BATCH * stride :]]
            self._pending -= BATCH * stride

    def finish(self) -> Logits:
        """Answer what is left; the logits of all frames, float32 [n, classes], n >= 1."""
        width, stride = self._windows.frames, self._windows.stride
        done = BATCH * len(self._answers)
        count = 1 + max(0, -(-(self._n - width) // stride)) - done
        if count > 0:
            held = np.concatenate(self._pieces)
            padded = np.zeros(((count - 1) * stride + width, held.shape[1]), np.float32)
            padded[: len(held)] = held
            self._answer(padded, count)
        answers = [a.result() if isinstance(a, Future) else a for a in self._answers]
        self.close()
        return _vote(np.concatenate(answers), self._windows)[: self._n]

    def close(self) -> None:
        """Let go of the threads; batches that have not begun are dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _answer(self, frames: Features, count: int) -> None:
        starts = range(0, count * self._windows.stride, self._windows.stride)
        batch = np.stack([frames[s : s + self._windows.frames] for s in starts])
        if self._pool is None:
            self._answers.append(self._forward(batch))
        else:
            self._answers.append(self._pool.submit(self._forward, batch))


def _vote(answers: NDArray[np.float32], windows: Windows) -> Logits:
    """One answer a frame from those of all windows, float32 [windows, frames, classes]."""
    count, width, classes = answers.shape
    stride = windows.stride
    if stride == width:
        return answers.reshape(count * width, classes)
    total = np.zeros(((count - 1) * stride + width, classes), np.float32)
    if windows.vote == "centre":
        for k, answer in enumerate(answers):
            # Half of the overlap is left to the window before, half to the one after.
            margin = (width - stride) // 2 if k else 0
            total[k * stride + margin : k * stride + width] = answer[margin:]
        return total
    votes = np.zeros((len(total), 1), np.float32)
    for k, answer in enumerate(answers):
        if windows.vote == "probability":
            answer = np.exp(log_probabilities(answer))
        elif windows.vote == "hard":
            answer = np.eye(classes, dtype=np.float32)[answer.argmax(axis=1)]
        total[k * stride : k * stride + width] += answer
        votes[k * stride : k * stride + width] += 1
    total /= votes
    # No window's vote is no impossibility: it counts as less than any vote can.
    return total if windows.vote == "logit" else np.log(np.maximum(total, np.float32(1e-7)))
