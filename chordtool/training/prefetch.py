"""Batches read ahead of time, so that the device never waits for the disk."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from chordtool.training.data import Batch, Plan, Segments
from chordtool.training.tensors import OnDevice


class Reader:
    """Segments that stay on the disk, read by a thread while the device computes.

    Args:
        segments: what to read.
        device: where batches go.
    """

    def __init__(self, segments: Segments, device: torch.device) -> None:
        self.segments, self.device = segments, device
        self.waited_seconds = 0.0
        """Time that the last plan's consumer has waited for batches."""

    @contextmanager
    def batches(self, plan: Plan, parts: Iterable[range]) -> Iterator[Iterator[OnDevice]]:
        """The batches of a plan that have the segments of each part, in order."""
        gather = self.segments.gather
        jobs = (partial(gather, plan, part.start, part.stop, part.step) for part in parts)
        with Prefetcher(jobs) as loader:
            yield (OnDevice.copy(batch, self.device) for batch in loader)
        self.waited_seconds = loader.waited_seconds


class Prefetcher:
    """Batches made ahead of time in a thread, which ends with the context.

    Args:
        jobs: functions that each make a batch, in order.
        depth: batches that wait at most.
    """

    def __init__(self, jobs: Iterator[Callable[[], Batch]], depth: int = 4) -> None:
        self._queue: queue.Queue[Batch | BaseException | None] = queue.Queue(depth)
        self._stop = threading.Event()
        self.waited_seconds = 0.0
        """Time that the consumer has waited for batches."""
        self._thread = threading.Thread(target=self._work, args=(jobs,), daemon=True)
        self._thread.start()

    def _work(self, jobs: Iterator[Callable[[], Batch]]) -> None:
        last: BaseException | None = None
        try:
            for job in jobs:
                if not self._put(job()):
                    return
        except BaseException as error:
            last = error
        self._put(last)

    def _put(self, item: Batch | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Batch]:
        while True:
            begun = time.perf_counter()
            item = self._queue.get()
            self.waited_seconds += time.perf_counter() - begun
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
