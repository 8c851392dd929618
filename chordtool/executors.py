"""Where work is done: in this process, in worker processes, or on a Dask cluster.

An executor applies a picklable function to tasks and gives back each task with its result, or
with the exception that took its place, in any order. It knows nothing of recordings.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from importlib import import_module
from multiprocessing import get_context, parent_process, resource_tracker
from typing import Any, Final, Protocol, TypeVar

from chordtool.errors import ChordtoolError, UsageError

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD: Final = 2
"""Tasks handed out for each worker: one in the works, one that waits for it."""
_MOST_WORKERS: Final = 61 if sys.platform == "win32" else 1 << 16
"""Windows waits for no more than that at once, and the pool refuses to have more."""
_TIDY_SECONDS: Final = 10.0
"""For how long a pool that is given up may tidy up behind itself."""
_WITHOUT_CLUSTER: Final = "Use fewer workers, or --jobs without --cluster."


def default_jobs() -> int:
    """Worker processes that suit this machine: one for each core that we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerDiedError(ChordtoolError):
    """A worker process died over a task, more than once."""


class Executor(Protocol):
    """Applies a function to tasks."""

    @property
    def workers(self) -> int:
        """How many tasks are worked on at a time."""
        ...

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Apply ``function`` to each task.

        Tasks are taken one by one as workers become free. A task whose worker dies is tried
        again; if it happens twice, its exception is a :class:`WorkerDiedError`. Closing the
        iterator stops what is going on.
        """
        ...

    def close(self) -> None:
        """Let go of the workers."""
        ...


class SerialExecutor:
    """Everything in this process."""

    workers = 1

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """See :class:`Executor`."""
        for task in tasks:
            try:
                result: Result | Exception = function(task)
            except Exception as error:
                result = error
            yield task, result

    def close(self) -> None:
        """Nothing to let go of."""


class ProcessExecutor:
    """Worker processes on this machine, started afresh (no fork), one BLAS thread each.

    Args:
        workers: how many; on Windows, 61 at most.
    """

    def __init__(self, workers: int) -> None:
        self.workers = min(workers, _MOST_WORKERS)
        self._pool: ProcessPoolExecutor | None = None

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """See :class:`Executor`."""
        coming = iter(tasks)
        while True:
            broken: list[Task] = []
            yield from self._feed(function, coming, self.workers, broken)
            # A pool that lost a worker is lost as a whole. What was in the works is tried
            # again, one task at a time, so that only the culprit fails.
            for task in broken:
                again: list[Task] = []
                yield from self._feed(function, iter([task]), 1, again)
                for culprit in again:
                    yield culprit, WorkerDiedError("Its worker process died.")
            if not broken:
                return

    def close(self) -> None:
        """Stop the workers, without waiting for what they are doing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((pool._processes or {}).values())
            manager: threading.Thread | None = vars(pool).get("_executor_manager_thread")
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()
            if manager is not None:
                # The interpreter, ending while this thread tidies up, stumbles over what it closes.
                manager.join(_TIDY_SECONDS)

    def _feed(
        self,
        function: Callable[[Task], Result],
        tasks: Iterator[Task],
        workers: int,
        broken: list[Task],
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run tasks until there are no more, or the pool breaks and ``broken`` says over which."""
        running: dict[Future[Result], Task] = {}
        more = True
        while more or running:
            while more and len(running) < _AHEAD * workers:
                task = next(tasks, _END)
                if task is _END:
                    more = False
                    break
                try:
                    with _signals_wait():
                        running[self._ready_pool().submit(function, task)] = task
                except BrokenProcessPool:
                    broken.append(task)
                    more = False
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    broken.append(task)
                    more = False
                elif isinstance(error, Exception):
                    yield task, error
                elif error is not None:
                    raise error
                else:
                    yield task, future.result()
        if broken:
            self.close()

    def _ready_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_start_worker
            )
        return self._pool


_END: Any = object()
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_MASKED: Final = hasattr(signal, "pthread_sigmask")


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Put interruptions off while a worker is started: it is told what to do after it has begun,
    and complains at length if that never comes."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run on the main thread only
        return
    came: list[int] = []
    with ExitStack() as stack:
        stack.callback(_raise_first, came)
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                stack.callback(signal.signal, number, handler)
                signal.signal(number, lambda late, frame: came.append(late))
        if _MASKED:
            # For the worker, which inherits the mask: Ctrl-C reaches it before it can ignore it.
            resource_tracker.ensure_running()  # lifts the mask when it is started
            earlier = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, earlier)
        yield


def _raise_first(numbers: list[int]) -> None:
    if numbers:
        signal.raise_signal(numbers[0])


def _start_worker() -> None:
    # Ctrl-C reaches the whole group; only the parent answers. And a worker whose parent was
    # killed would wait for ever for its next task.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _MASKED:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # put off by whoever started it
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class DaskExecutor:
    """Workers of a Dask cluster, which must see the audio and the corpus at the same paths.

    Args:
        address: of a scheduler, ``tcp://host:port``, or ``local:4`` for a cluster of four
            worker processes on this machine.
        patience_seconds: how long to wait for the scheduler.

    Raises:
        UsageError: Dask is not installed, or the address makes no sense.
        ChordtoolError: there is no scheduler at the address, or the cluster on this machine does
            not start.
    """

    def __init__(self, address: str, *, patience_seconds: float = 10.0) -> None:
        try:
            distributed: Any = import_module("distributed")
        except ImportError:
            raise UsageError(
                "--cluster needs Dask.", hint="Install it: pipx inject chordtool distributed."
            ) from None
        self._distributed = distributed
        self._cluster: Any = None
        with ExitStack() as stack:
            if address.startswith("local:"):
                self._cluster = _start_local(distributed, _local_workers(address))
                stack.callback(self._cluster.close)
            self._client = self._connect(address, patience_seconds)
            stack.pop_all()  # the cluster stays

    def _connect(self, address: str, patience_seconds: float) -> Any:
        scheduler = address if self._cluster is None else self._cluster
        try:
            return self._distributed.Client(scheduler, timeout=patience_seconds)
        except (OSError, ValueError, TimeoutError) as error:
            if self._cluster is not None:
                raise ChordtoolError(
                    f"The local cluster does not answer: {error}.", hint=_WITHOUT_CLUSTER
                ) from None
            if isinstance(error, ValueError):
                raise UsageError(
                    f"{address!r} names no Dask scheduler: {error}.",
                    hint="Give its tcp://HOST:PORT, or local:4.",
                ) from None
            raise ChordtoolError(
                f"There is no Dask scheduler at {address}: {error}.",
                hint="Start one with: dask scheduler, and workers with: dask worker ADDRESS.",
            ) from None

    @property
    def workers(self) -> int:
        """How many tasks the cluster works on at a time; it may grow and shrink."""
        return max(1, int(sum(self._client.nthreads().values())))

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """See :class:`Executor`."""
        coming = iter(tasks)
        running: dict[Any, Task] = {}
        queue = self._distributed.as_completed()
        try:
            while True:
                while len(running) < _AHEAD * self.workers:
                    task = next(coming, _END)
                    if task is _END:
                        break
                    future = self._client.submit(function, task, pure=False)
                    running[future] = task
                    queue.add(future)
                if not running:
                    return
                future = next(queue)
                yield running.pop(future), self._result(future)
        finally:
            self._client.cancel(list(running))

    def _result(self, future: Any) -> Any:
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, self._distributed.KilledWorker):
            return WorkerDiedError("Its worker process died.")
        return error if isinstance(error, Exception) else RuntimeError(str(error))

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _start_local(distributed: Any, workers: int) -> Any:
    """A cluster on this machine; a worker that dies while it starts takes it down once."""
    for last in (False, True):
        try:
            return distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                # Without a dashboard there still is a port for its state: any but the usual one.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
        except (RuntimeError, OSError, ValueError, TimeoutError) as error:
            if last:
                raise ChordtoolError(
                    f"The workers of the local cluster do not start: {error}",
                    hint=_WITHOUT_CLUSTER,
                ) from None
    raise AssertionError("it was returned or raised")


def _local_workers(address: str) -> int:
    text = address.removeprefix("local:")
    if not (text.isdigit() and 1 <= int(text) <= 1024):
        raise UsageError(f"{address!r} names no local cluster.", hint="Use for example local:4.")
    return int(text)
