from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from chordtool import executors
from chordtool.errors import AudioError, ChordtoolError
from chordtool.executors import (
    DaskExecutor,
    Executor,
    ProcessExecutor,
    SerialExecutor,
    WorkerDiedError,
)
from tests.waiting import wait_until


def square(x: int) -> int:
    if x == 13:
        raise AudioError("unlucky")
    return x * x


def pid(_: int) -> int:
    return os.getpid()


def die_over(x: int) -> int:
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def die_once(trap: str) -> str:
    if Path(trap).exists():
        Path(trap).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return trap


def linger(seconds: int) -> int:
    time.sleep(60 * seconds)
    return os.getpid()


def has_ended(process: int) -> bool:
    """Whether a process is gone; a zombie is, though nobody has asked how it ended."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(2)], ids=["serial", "pool"])
def test_every_task_comes_back_with_its_result(executor: Executor) -> None:
    try:
        found = dict(executor.run(square, iter(range(20))))
    finally:
        executor.close()
    assert isinstance(found.pop(13), AudioError)
    assert found == {x: x * x for x in range(20) if x != 13}


def test_workers_are_started_once() -> None:
    executor = ProcessExecutor(2)
    try:
        first = {result for _, result in executor.run(pid, range(10))}
        again = {result for _, result in executor.run(pid, range(10))}
    finally:
        executor.close()
    assert os.getpid() not in first
    assert len(first | again) <= 2


def test_only_the_task_that_kills_its_worker_fails() -> None:
    executor = ProcessExecutor(2)
    try:
        found = dict(executor.run(die_over, iter(range(12))))
    finally:
        executor.close()
    assert isinstance(found.pop(5), WorkerDiedError)
    assert found == {x: x for x in range(12) if x != 5}


def test_a_task_whose_worker_dies_by_accident_is_tried_again(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.touch()
    executor = ProcessExecutor(1)
    try:
        assert dict(executor.run(die_once, [str(trap)])) == {str(trap): str(trap)}
    finally:
        executor.close()


def test_nothing_of_a_pool_outlives_it() -> None:
    """A thread that still tidied up made the interpreter's end stumble: bad file descriptor."""
    before = set(threading.enumerate())
    for _ in range(5):
        executor = ProcessExecutor(1)
        results = executor.run(pid, iter(range(10)))
        next(results)
        executor.close()
        assert set(threading.enumerate()) <= before


def test_tasks_are_taken_as_workers_become_free() -> None:
    taken: list[int] = []

    def tasks() -> object:
        for x in range(100):
            taken.append(x)
            yield x

    executor = ProcessExecutor(2)
    try:
        results = executor.run(pid, tasks())  # type: ignore[arg-type]
        next(results)
        assert len(taken) <= 8
        results.close()  # type: ignore[attr-defined]
    finally:
        executor.close()


def test_closing_does_not_wait_for_what_is_going_on() -> None:
    executor = ProcessExecutor(1)
    results = executor.run(linger, [0, 1])
    _, worker = next(results)
    results.close()  # type: ignore[attr-defined]
    begun = time.monotonic()
    executor.close()
    assert time.monotonic() - begun < 20
    assert isinstance(worker, int)
    assert has_ended(worker)


@pytest.mark.skipif(sys.platform == "win32", reason="workers are started in another way")
def test_an_interruption_waits_until_a_worker_knows_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from multiprocessing import resource_tracker, util

    # A signal comes by whichever thread lets it in.
    over = threading.Event()
    bystander = threading.Thread(target=over.wait)
    bystander.start()
    started: list[psutil.Process] = []
    start = util.spawnv_passfds

    def start_and_interrupt(*arguments: Any) -> int:
        started.append(psutil.Process(start(*arguments)))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)  # for the bystander to take it
        return started[-1].pid

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    resource_tracker.ensure_running()  # it is started in the same way
    earlier = signal.signal(signal.SIGTERM, interrupt)
    executor = ProcessExecutor(1)
    try:
        monkeypatch.setattr(util, "spawnv_passfds", start_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(executor.run(square, [1, 2]))
    finally:
        assert signal.signal(signal.SIGTERM, earlier) is interrupt
        executor.close()
        over.set()
        bystander.join()
    (worker,) = started
    assert psutil.wait_procs([worker], timeout=60)[0]
    assert capfd.readouterr().err == ""


def test_workers_go_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import tests.test_executors as t;"
        "e = t.ProcessExecutor(2)\n"
        "for _, worker in e.run(t.linger, [0, 0, 1, 1]): print(worker, flush=True)"
    )
    root = str(Path(__file__).parents[1])
    parent = subprocess.Popen([sys.executable, "-c", code, root], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = {int(parent.stdout.readline()) for _ in range(2)}
    parent.kill()
    parent.communicate()
    wait_until(lambda: all(map(has_ended, workers)), "the workers' end")


class FakeDask:
    """As much of Dask as shows what becomes of a local cluster that nobody can talk to."""

    class KilledWorker(Exception):  # noqa: N818 - its name
        pass

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.open = 0

    def LocalCluster(self, **options: object) -> FakeDask:  # noqa: N802 - its name
        self.open += 1
        return self

    def Client(self, address: object, timeout: float) -> None:  # noqa: N802 - its name
        raise self.error

    def close(self) -> None:
        self.open -= 1


@pytest.mark.parametrize("error", [OSError("timed out"), KeyboardInterrupt()])
def test_a_local_cluster_that_does_not_answer_is_closed(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask = FakeDask(error)
    monkeypatch.setitem(sys.modules, "distributed", dask)  # type: ignore[arg-type]
    with pytest.raises((ChordtoolError, KeyboardInterrupt)) as caught:
        DaskExecutor("local:2")
    assert dask.open == 0
    if isinstance(caught.value, ChordtoolError):
        assert caught.value.message == "The local cluster does not answer: timed out."


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    dask = FakeDask(OSError("timed out"))
    monkeypatch.setitem(sys.modules, "distributed", dask)  # type: ignore[arg-type]
    with pytest.raises(ChordtoolError, match="no Dask scheduler at tcp://nowhere:1: timed out"):
        DaskExecutor("tcp://nowhere:1")


def test_no_more_workers_than_the_system_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_MOST_WORKERS", 2)
    executor = ProcessExecutor(64)
    try:
        assert executor.workers == 2
        assert sorted(result for _, result in executor.run(square, [2, 3])) == [4, 9]
    finally:
        executor.close()
