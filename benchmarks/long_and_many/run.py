"""Ten thousand small files, and one of six hours, through ``transcribe -o``: memory over time.

``python benchmarks/long_and_many/run.py --files 10000 --hours 6 --model default``

Samples the resident memory of the command and its workers five times a second. Prints, for each
part: wall time, the peak, and the means of the second and of the last quarter of the time, which
tell whether memory grows with the number of files.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

RATE = 22_050


def make_small(folder: Path, count: int) -> None:
    """Files of 0.5 s; links to a hundred different ones, so that they take no room."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    originals = folder.with_name("originals")
    originals.mkdir()
    for k in range(min(count, 100)):
        soundfile.write(originals / f"{k}.wav", rng.normal(0, 0.1, RATE // 2), RATE)
    for k in range(count):
        os.link(originals / f"{k % 100}.wav", folder / f"{k:05}.wav")


def make_long(path: Path, hours: float) -> None:
    """Changing chords over noise, as FLAC."""
    rng = np.random.default_rng(1)
    time_axis = np.arange(10 * RATE) / RATE
    with soundfile.SoundFile(path, "w", RATE, 1, format="FLAC") as file:
        for _ in range(round(hours * 360)):
            root = 110 * 2 ** (rng.integers(0, 24) / 12)
            tones = sum(np.sin(2 * np.pi * root * r * time_axis) for r in (1, 1.26, 1.5))
            file.write(0.1 * tones + rng.normal(0, 0.01, len(time_axis)))


def resident(process: psutil.Process) -> int:
    """Bytes that a process and its children hold in memory."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def follow(source: Path, out: Path, model: str, jobs: int) -> None:
    """Run the command and print what it took."""
    command = [sys.executable, "-m", "chordtool", "transcribe", str(source), "-o", f"{out}/",
               "-m", model, "-j", str(jobs), "-q"]  # fmt: skip
    begun = time.monotonic()
    child = subprocess.Popen(command)
    process, seen = psutil.Process(child.pid), []
    while child.poll() is None:
        seen.append(resident(process) / 2**20)
        time.sleep(0.2)
    quarter = max(1, len(seen) // 4)
    first, last = seen[quarter : 2 * quarter] or seen, seen[-quarter:]
    written = sum(1 for _ in out.rglob("*.lab"))
    print(
        f"{source.name}: status {child.returncode}, {written} files, "
        f"{time.monotonic() - begun:.0f} s, peak {max(seen):.0f} MiB, second quarter "
        f"{np.mean(first):.0f} MiB, last quarter {np.mean(last):.0f} MiB",
        flush=True,
    )


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--model", default="default")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.files:
            make_small(folder / "small", given.files)
            follow(folder / "small", folder / "out", given.model, given.jobs)
        if given.hours:
            make_long(folder / "long.flac", given.hours)
            follow(folder / "long.flac", folder / "out-long", given.model, 1)


if __name__ == "__main__":
    main()
