"""``python -m tests.fuzz --minutes 10 TARGET...``: the long runs.

Each target runs in a child process, so that an input that takes the process down, or that hangs
in native code, is a finding as well. Python readers are guided by coverage where atheris is
installed (``--engine atheris``); the others, and all of them otherwise, get mutations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz import runs
from tests.fuzz.targets import ROOT, TARGETS

HANG_SECONDS = 180.0


@dataclass
class Result:
    """What became of one target."""

    target: str
    engine: str
    minutes: float = 0.0
    executions: int = 0
    refused: int = 0
    grown_mib: int = 0
    findings: list[str] = field(default_factory=list)


def main() -> int:
    """Run what the command line says; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("auto", "mutations", "atheris"), default="auto")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--json", type=Path, help="append one line a target to this file")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if given.worker:
        (name,) = given.targets
        work(name, given.worker, seed=given.seed, seconds=60 * given.minutes)
        return 0
    found = 0
    for name in given.targets or TARGETS:
        result = follow(name, given.minutes, given.seed, engine_for(name, given.engine),
                        given.findings)  # fmt: skip
        found += len(result.findings)
        print(
            f"{name:11}{result.engine:10}{result.minutes:6.1f} min {result.executions:>10,} inputs,"
            f" {result.refused:,} refused, peak grew {result.grown_mib} MiB,"
            f" {len(result.findings)} findings",
            flush=True,
        )
        for finding in result.findings:
            print(f"    {finding}", flush=True)
        if given.json:
            with given.json.open("a") as file:
                file.write(json.dumps(vars(result)) + "\n")
    return 1 if found else 0


def engine_for(name: str, wanted: str) -> str:
    """Coverage guides Python code; it sees nothing of what libraries do."""
    if wanted == "auto":
        there = find_spec("atheris") is not None
        return "atheris" if TARGETS[name].in_python and there else "mutations"
    return wanted


def follow(name: str, minutes: float, seed: int, engine: str, findings: Path) -> Result:
    """Run a target in child processes until its time is over."""
    result = Result(name, engine)
    end = time.monotonic() + 60 * minutes
    attempt = 0
    while (left := end - time.monotonic()) > 1:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            begun = time.monotonic()
            why = _one_child(name, folder, seed + 1000 * attempt, left, engine)
            result.minutes += (time.monotonic() - begun) / 60
            _collect(result, folder, findings / name, why)
        attempt += 1
    return result


def _one_child(name: str, folder: Path, seed: int, seconds: float, engine: str) -> str:
    """Start a worker and wait for it; why it ended, empty if its time was over."""
    numbers = str(seed), str(seconds / 60)
    command = [sys.executable, "-m", "tests.fuzz", name, "--worker", str(folder),
               "--seed", numbers[0], "--minutes", numbers[1]]  # fmt: skip
    if engine == "atheris":
        command = [sys.executable, "-m", "tests.fuzz.guided", name, str(folder), *numbers]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    while child.poll() is None:
        time.sleep(0.5)
        if time.time() - _last_sign_of_life(folder) > HANG_SECONDS:
            child.kill()
            child.wait()
            return "hung"
    ended = (folder / "tally.json").exists() and child.returncode == 0
    return "" if ended else f"ended with {child.returncode}"


def _last_sign_of_life(folder: Path) -> float:
    current = folder / "current"
    return (current if current.exists() else folder).stat().st_mtime


def _collect(result: Result, folder: Path, findings: Path, why: str) -> None:
    try:
        tally = json.loads((folder / "tally.json").read_text())
    except (OSError, ValueError):
        tally = {"executions": 0, "refused": 0, "grown": 0, "findings": []}
    result.executions += tally["executions"]
    result.refused += tally["refused"]
    result.grown_mib = max(result.grown_mib, tally["grown"] >> 20)
    result.findings += [f for f in tally["findings"] if f not in result.findings]
    for path in folder.glob("findings/*"):
        findings.mkdir(parents=True, exist_ok=True)
        (findings / path.name).write_bytes(path.read_bytes())
    if why:
        place = f"the process {why}"
        current = folder / "current"
        data = current.read_bytes() if current.exists() else b""
        log = (folder / "log").read_text(errors="replace")[-4000:]
        (path,) = runs.save({f"{place} {len(data)}": (data, log)}, findings)
        result.findings.append(f"{place}: {path}")


def work(name: str, folder: Path, *, seed: int, seconds: float) -> None:
    """In the child: run, and leave the tally in the folder."""
    target = TARGETS[name]
    current = os.open(folder / "current", os.O_CREAT | os.O_WRONLY)

    def note(data: bytes) -> None:
        os.pwrite(current, data, 0)
        os.ftruncate(current, len(data))

    runs.write_tally(runs.run(target, seed=seed, seconds=seconds, before=note), folder)


if __name__ == "__main__":
    sys.exit(main())
