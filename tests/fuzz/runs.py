"""One fuzz run in this process: inputs in, findings out."""

from __future__ import annotations

import hashlib
import json
import math
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from chordtool.errors import ChordtoolError
from tests.fuzz.targets import ROOT, Target

CPU_SECONDS = 20.0
"""What one input may take of the processor; wall time would depend on who else uses it."""


class TooSlowError(BaseException):
    """An input took too long; no handler for Exception shall see it."""


@dataclass
class Tally:
    """What a run did."""

    executions: int = 0
    refused: int = 0
    """Inputs that a ChordtoolError answered."""
    grown: int = 0
    """Bytes by which the process's peak grew."""
    findings: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    """By place: an input, and the traceback."""

    def one(self, target: Target, data: bytes) -> None:
        """Try an input and note what came of it."""
        self.executions += 1
        before = peak_bytes()
        try:
            with cpu_limit():
                target.check(data)
        except ChordtoolError as error:
            self.refused += 1
            if not (error.message and error.message == error.message.strip()):
                self._note("an error without a message", data)
        except (Exception, TooSlowError):
            self._note(_place(), data)
        grown = peak_bytes() - before
        self.grown += grown
        if grown > target.memory:
            self._note(f"grew by {grown >> 20} MiB", data)

    def _note(self, place: str, data: bytes) -> None:
        self.findings.setdefault(place, (data, traceback.format_exc()))


def _place() -> str:
    """Kind of the exception and the last line of ours that it went through."""
    kind, _, trace = sys.exc_info()
    lines = [f for f in traceback.extract_tb(trace) if str(ROOT) in f.filename]
    where = f"{Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else "?"
    return f"{kind.__name__ if kind else '?'} at {where}"


def inputs(target: Target, seed: int) -> Iterator[bytes]:
    """Good input first, then mutations of it, without end; the same for the same seed."""
    seeds = target.seeds()
    yield from seeds
    yield from (b"", b"\x00", b"\xff" * 64)
    rng = Random(f"{target.name} {seed}")
    while True:
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = target.mutate(rng, data)
        yield data[: 4 << 20]


def run(
    target: Target,
    *,
    seed: int,
    count: float = math.inf,
    seconds: float = math.inf,
    before: Callable[[bytes], None] | None = None,
) -> Tally:
    """Mutate and try until so many inputs were tried, or the time is over.

    Args:
        count: of inputs; the same ones are tried however busy the machine is.
        seconds: of wall time.
        before: told of each input before it is tried, in case it takes the process down.
    """
    tally = Tally()
    for data in target.seeds():
        target.check(data)  # loads what is imported on first use
    end = time.monotonic() + seconds
    for data in inputs(target, seed):
        if before is not None:
            before(data)
        tally.one(target, data)
        if tally.executions >= count or time.monotonic() > end:
            return tally
    raise AssertionError("inputs do not end")


@contextmanager
def cpu_limit(seconds: float = CPU_SECONDS) -> Iterator[None]:
    """Raise TooSlowError in Python code that uses the processor for longer."""

    def stop(number: int, frame: object) -> None:
        raise TooSlowError

    earlier = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, earlier)


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def save(findings: dict[str, tuple[bytes, str]], folder: Path) -> list[Path]:
    """Write findings where somebody will look at them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for place, (data, trace) in findings.items():
        path = folder / hashlib.sha256(place.encode()).hexdigest()[:12]
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(f"{place}\n\n{trace}")
        written.append(path)
    return written


def write_tally(tally: Tally, folder: Path) -> None:
    """Leave a tally and its findings where the parent process looks for them."""
    save(tally.findings, folder / "findings")
    document = {"executions": tally.executions, "refused": tally.refused, "grown": tally.grown,
                "findings": list(tally.findings)}  # fmt: skip
    part = folder / "tally.part"
    part.write_text(json.dumps(document))
    part.replace(folder / "tally.json")
