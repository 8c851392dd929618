"""Commands in child processes, and what is done to them while they run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
POWERLESS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Runs a command as root without root's right to pass over permissions."""
TIMEOUT_SECONDS = 600.0
ORPHAN_SECONDS = 30.0
"""What a process that lost its leader has for ending, on a busy machine too."""
_POLL_SECONDS = 0.003


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    """Exit status; minus the number of the signal that ended it."""
    text: str
    """What it said on standard error."""
    seconds: float
    struck: bool = True
    """Whether it was still running when the fault came."""
    orphans: int = 0
    """Processes of it that were still there :data:`ORPHAN_SECONDS` after it had ended."""


def environment(home: Path) -> dict[str, str]:
    """What commands see: a home of their own, one thread each, no settings of the user."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHORDTOOL", "XDG"))}
    return {
        **kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(home),
        "CHORDTOOL_CONFIG": "", "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200",
        "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


def chordtool(*arguments: object) -> list[str]:
    """The command line of a real command."""
    return [sys.executable, "-m", "chordtool", *map(str, arguments)]


def run(
    command: list[str],
    home: Path,
    *,
    moment: Callable[[float], bool] | None = None,
    strike: Callable[[subprocess.Popen[bytes]], None] | None = None,
    powerless: bool = False,
    extra: dict[str, str] | None = None,
) -> Ended:
    """Run a command; ``strike`` when ``moment``, told the seconds since the start, says so."""
    home.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with tempfile.TemporaryFile() as log:  # not at home, where the disk may be full
        process = subprocess.Popen(
            [*(POWERLESS if powerless else ()), *command], cwd=ROOT, stdin=subprocess.DEVNULL,
            env={**environment(home), **(extra or {})}, stdout=subprocess.DEVNULL, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        struck = False
        while process.poll() is None:
            elapsed = time.monotonic() - begun
            if moment is not None and strike is not None and not struck and moment(elapsed):
                strike(process)
                struck = True
            if elapsed > TIMEOUT_SECONDS:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return Ended(-999, "It did not end.", elapsed, struck)
            time.sleep(_POLL_SECONDS if not struck else 0.02)
        seconds = time.monotonic() - begun
        orphans = _left_over(process.pid)
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    return Ended(process.returncode, said, seconds, struck, orphans)


def _left_over(group: int) -> int:
    """Processes of a group that outlive their leader by too long; they are ended."""
    end = time.monotonic() + ORPHAN_SECONDS
    while (alive := members(group)) and time.monotonic() < end:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if alive:
            os.killpg(group, signal.SIGKILL)
    return len(alive)


def members(group: int) -> list[psutil.Process]:
    """The processes of a group that are alive."""
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            dead = process.info["status"] == psutil.STATUS_ZOMBIE
            if not dead and os.getpgid(process.info["pid"]) == group:
                found.append(process)
    return found


def files_below(folder: Path) -> int:
    """How many files there are, counted while they come and go."""
    count = 0
    for _, _, files in os.walk(folder):
        count += len(files)
    return count
