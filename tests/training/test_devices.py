from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from chordtool.errors import TrainingError, UsageError
from chordtool.training import devices
from chordtool.training.devices import place
from tests.training.made import config


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


def run_two(*call: str) -> subprocess.CompletedProcess[str]:
    """Run a program in two processes that know of each other."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "CHORDTOOL_CONFIG": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run([*launch, *call], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("device", ["meta", "cuda:9", "nonsense", ""])
def test_a_device_that_does_not_compute_is_one_sentence(device: str) -> None:
    with (
        pytest.raises(UsageError, match=r"no device|--device names nothing"),
        place(config(device=device)),
    ):
        pass


@pytest.mark.parametrize("world", ["x", "0", "-1"])
def test_a_number_of_processes_that_is_none_is_one_sentence(
    world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(UsageError, match="WORLD_SIZE"), place(config()):
        pass


def test_processes_that_were_not_told_of_each_other_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="cannot be reached"), place(config()):
        pass


def test_a_process_that_does_not_come_is_not_waited_for_like_one_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "MEETING", devices.timedelta(seconds=1))
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1",
                        "MASTER_PORT": "1"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match="cannot be reached"), place(config()):
        pass


def test_an_error_of_one_process_is_not_a_bug_of_the_others(tmp_path: Path) -> None:
    # The first process alone looks at the folder.
    (tmp_path / "something.txt").touch()
    call = ["distill", "--corpus", str(tmp_path), "-o", str(tmp_path), "--batch-size", "2"]
    done = run_two("-m", "chordtool", *call)
    assert done.returncode != 0
    assert done.stderr.count("is not empty and holds no run") == 1
    assert "This is a bug" not in done.stderr


WAITING = """
import signal, sys, time
from chordtool.training.config import DistillConfig
from chordtool.training.devices import place

with place(DistillConfig(batch_size=2)) as here:
    here.wait()
    if here.leads:
        time.sleep(10)
        sys.exit()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    begun = time.monotonic()
    try:
        here.wait()
    except KeyboardInterrupt:
        print(f"interrupted after {time.monotonic() - begun:.1f} s", flush=True)
"""


def test_a_process_that_waits_for_others_hears_signals(tmp_path: Path) -> None:
    script = tmp_path / "waiting.py"
    script.write_text(WAITING)
    done = run_two(str(script))
    found = re.search(r"interrupted after ([\d.]+) s", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) < 5


def test_what_is_no_error_of_the_company_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="out of memory"), place(config()):
        raise torch.cuda.OutOfMemoryError("out of memory")
