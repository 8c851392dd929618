"""Windows: how a model that hears a fixed number of frames at a time hears a whole recording.

Frames are cut into windows of equal length, the last one filled up with zeros, and the answers
for frames that several windows hold are made one (the votes of arXiv 2602.19778).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chordtool.decoding import log_probabilities
from chordtool.types import Features, Logits

Forward: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
DEFAULT_FRAMES: Final = 108
"""Frames of a window where the card leaves it open."""
BATCH: Final = 6
"""Windows of that many frames answered at a time, fewer of longer ones. Larger batches gain nothing
on a CPU, take more memory, and begin later."""
MOST_OVERLAPPING: Final = 4
"""Windows that may hold a frame, on a card; the paper's stride gives two. The answers of all are
kept until the recording ends."""
MOST_WAITING: Final = 32
"""Batches that may wait for an answer: half an hour of music, 12 MiB of features."""
VOTES: Final = ("centre", "logits", "probabilities", "hard")


@dataclass(frozen=True)
class Windows:
    """How the windows of a recording overlap, and who decides where they do."""

    context_frames: int = 0
    """Frames at either edge of a window that are there to be heard. Neighbours overlap by twice
    as many; 27 of 108 are the paper's stride of 54."""
    vote: str = "centre"
    """``"centre"``: a frame is taken from the window that has it closest to its centre.
    ``"logits"`` and ``"probabilities"``: the mean over the windows that hold it. ``"hard"``: the
    share of those windows that rank a class first."""

    def __post_init__(self) -> None:
        context = self.context_frames
        if not isinstance(context, int) or isinstance(context, bool) or not 0 <= context <= 50_000:
            raise ValueError(f"windows context_frames is {context!r}")
        if self.vote not in VOTES:
            raise ValueError(f"windows vote is {self.vote!r}")

    def stride(self, frames: int) -> int:
        """Frames from the start of a window of that many frames to the start of the next."""
        return max(1, frames - 2 * self.context_frames)

    def overlapping(self, frames: int) -> int:
        """How many windows of that many frames hold a frame, at most."""
        return -(-frames // self.stride(frames))

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


DEFAULT: Final = Windows()


def run_windows(
    forward: Forward, features: Features, frames: int, windows: Windows = DEFAULT
) -> Logits:
    """Frame logits of a whole recording.

    Args:
        forward: see :class:`WindowStream`.
        features: float32 [n, bins], normalised, n >= 1.
        frames: of a window.
        windows: how they overlap.

    Returns:
        float32 [n, classes].
    """
    stream = WindowStream(forward, frames, windows)
    stream.add(features)
    return stream.finish()


class WindowStream:
    """Windows over a recording whose features arrive in pieces.

    Windows are answered in batches that are the same however the features arrive, and on
    several threads if asked, so that the result is to the bit that of the whole recording.

    Args:
        forward: from float32 [batch, frames, bins] to float32 [batch, frames, classes]; called
            with at most :data:`BATCH` windows, by several threads at once if ``threads > 1``.
        frames: of a window; zeros fill the last one.
        windows: how they overlap.
        threads: batches that are answered at the same time.
    """

    def __init__(
        self, forward: Forward, frames: int, windows: Windows = DEFAULT, *, threads: int = 1
    ) -> None:
        self._forward = forward
        self._frames = frames
        self._stride = windows.stride(frames)
        self._windows = windows
        self._batch = max(1, min(BATCH, BATCH * DEFAULT_FRAMES // frames))
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.alone = False
        """Answer on the calling thread, because the cores are needed for something else."""
        self._pieces: list[Features] = []
        self._pending = 0
        self._n = 0
        self._answers: list[Future[NDArray[np.float32]] | NDArray[np.float32]] = []

    def add(self, features: Features) -> None:
        """Take the next features, float32 [n, bins], and answer the batches that they complete."""
        self._pieces.append(features)
        self._pending += len(features)
        self._n += len(features)
        width, stride, batch = self._frames, self._stride, self._batch
        needed = (batch - 1) * stride + width
        while self._pending >= needed:
            held = np.concatenate(self._pieces)
            self._answer(held[:needed], batch)
            self._pieces = [held[batch * stride :]]
            self._pending -= batch * stride

    def finish(self) -> Logits:
        """Answer what is left; the logits of all frames, float32 [n, classes], n >= 1."""
        width, stride = self._frames, self._stride
        done = self._batch * len(self._answers)
        count = 1 + max(0, -(-(self._n - width) // stride)) - done
        if count > 0:
            held = np.concatenate(self._pieces)
            padded = np.zeros(((count - 1) * stride + width, held.shape[1]), np.float32)
            padded[: len(held)] = held
            self._answer(padded, count)
        answers = self._joined(done + max(0, count))
        self.close()
        return _vote(answers, self._stride, self._windows.vote)[: self._n]

    def _joined(self, count: int) -> NDArray[np.float32]:
        """All windows' answers in one piece, each batch freed as soon as it is copied."""
        joined, at = np.empty((0, 0, 0), np.float32), 0
        for answer in _drained(self._answers):
            if not len(joined):
                joined = np.empty((count, *answer.shape[1:]), np.float32)
            joined[at : at + len(answer)] = answer
            at += len(answer)
        return joined

    def close(self) -> None:
        """Let go of the threads; batches that have not begun are dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _answer(self, frames: Features, count: int) -> None:
        starts = range(0, count * self._stride, self._stride)
        batch = np.stack([frames[s : s + self._frames] for s in starts])
        if self._pool is None or self.alone:
            self._answers.append(self._forward(batch))
        else:
            self._answers.append(self._pool.submit(self._forward, batch))
            self._wait_for(len(self._answers) - MOST_WAITING)

    def _wait_for(self, k: int) -> None:
        """Let the network catch up to a batch; those that wait hold their features."""
        if k >= 0 and isinstance(answer := self._answers[k], Future):
            self._answers[k] = answer.result()


def _drained(
    answers: list[Future[NDArray[np.float32]] | NDArray[np.float32]],
) -> Iterator[NDArray[np.float32]]:
    answers.reverse()
    while answers:
        answer = answers.pop()
        yield answer.result() if isinstance(answer, Future) else answer


def _vote(answers: NDArray[np.float32], stride: int, vote: str) -> Logits:
    """One answer a frame from those of all windows, float32 [windows, frames, classes]."""
    count, width, classes = answers.shape
    if stride == width:
        return answers.reshape(count * width, classes)
    total = np.zeros(((count - 1) * stride + width, classes), np.float32)
    if vote == "centre":
        for k, answer in enumerate(answers):
            # Half of the overlap is left to the window before, half to the one after.
            margin = (width - stride) // 2 if k else 0
            total[k * stride + margin : k * stride + width] = answer[margin:]
        return total
    votes = np.zeros((len(total), 1), np.float32)
    for k, answer in enumerate(answers):
        if vote == "probabilities":
            answer = np.exp(log_probabilities(answer))
        elif vote == "hard":
            answer = np.eye(classes, dtype=np.float32)[answer.argmax(axis=1)]
        total[k * stride : k * stride + width] += answer
        votes[k * stride : k * stride + width] += 1
    total /= votes
    # No window's vote is no impossibility: it counts as less than any vote can.
    return total if vote == "logits" else np.log(np.maximum(total, np.float32(1e-7)))
