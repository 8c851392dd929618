from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from chordtool import executors
from chordtool.errors import ChordtoolError, UsageError
from chordtool.executors import DaskExecutor
from tests.waiting import wait_until

from .conftest import Label, contents, start

pytest.importorskip("distributed", reason="needs chordtool[cluster]")

SCHEDULER = """
import asyncio, sys
from distributed import Scheduler
async def main():
    async with Scheduler(port=0, dashboard=False) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()
asyncio.run(main())
"""
WORKER = """
import asyncio, os, sys
from distributed import Worker
async def main():
    async with Worker(sys.argv[1], nthreads=1, dashboard=False) as worker:
        print(os.getpid(), flush=True)
        await worker.finished()
asyncio.run(main())
"""


def launch(code: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def listeners(heard: Path) -> set[str]:
    """The processes that have begun with a recording."""
    lines = heard.read_text().splitlines() if heard.exists() else []
    return {line.partition(" ")[0] for line in lines}


def test_a_real_cluster_makes_the_same_corpus_though_a_worker_is_killed(
    label: Label, music: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(music, tmp_path / "one")
    heard = tmp_path / "heard"
    monkeypatch.setenv("TOY_HEARD", str(heard))
    monkeypatch.setenv("TOY_SECONDS", "0.5")
    scheduler, address = launch(SCHEDULER)
    workers = [launch(WORKER, address) for _ in range(2)]
    try:
        run = start(music, "-o", tmp_path / "two", "-t", "toy", "--cluster", address, "-q")
        victim, pid = workers[0]
        wait_until(lambda: pid in listeners(heard), "something to do for the worker")
        victim.kill()  # it has begun with a recording and not finished it
        _, errors = run.communicate(timeout=120)
        assert run.returncode == 0, errors
    finally:
        for process in (scheduler, *(worker for worker, _ in workers)):
            process.kill()
            process.communicate()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert workers[1][1] in listeners(heard)


def test_a_local_cluster_makes_the_same_corpus(label: Label, music: Path, tmp_path: Path) -> None:
    label(music, tmp_path / "one")
    executor = DaskExecutor("local:2")
    try:
        assert executor.workers == 2
        label(music, tmp_path / "two", executor=executor)
    finally:
        executor.close()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_worker_that_dies_while_it_starts_is_replaced() -> None:
    here, over = psutil.Process(), threading.Event()

    def kill_the_first() -> None:
        while not over.is_set():
            for child in here.children():
                with contextlib.suppress(psutil.Error):
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
                        return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    try:
        executor = DaskExecutor("local:2")
        try:
            assert {result for _, result in executor.run(abs, [-1, 2, -3])} == {1, 2, 3}
        finally:
            executor.close()
    finally:
        over.set()
        killer.join()


def test_workers_that_never_start_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, **options: object) -> None:
            raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr("distributed.LocalCluster", Broken)
    with pytest.raises(ChordtoolError, match="do not start") as caught:
        DaskExecutor("local:2")
    assert "--jobs" in caught.value.hint


@pytest.mark.parametrize("address", ["local:0", "local:", "local:x", "local:-1"])
def test_a_local_cluster_of_no_size_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="no local cluster"):
        DaskExecutor(address)


def test_a_scheduler_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(ChordtoolError, match="no Dask scheduler") as caught:
        DaskExecutor("tcp://127.0.0.1:9", patience_seconds=1)
    assert "dask scheduler" in caught.value.hint


def test_without_dask_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(executors, "import_module", missing)
    with pytest.raises(UsageError) as caught:
        DaskExecutor("local:2")
    assert "distributed" in caught.value.hint
