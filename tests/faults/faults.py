"""One fault: the command, what is done to it, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from tests.faults import disks
from tests.faults.processes import POWERLESS, Ended, files_below, members, run
from tests.faults.scenarios import SCENARIOS, LabelCorpus, Scenario

SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "interrupt": signal.SIGINT}
_UNTIDY = ("Traceback (most recent call last)", "This is a bug", "Unexpected ")
_ADVICE = ("hint:", "hint", "Make room", "Choose another folder", "same command",
           "labels again")  # fmt: skip
_PYTHON_STARTING = ("Fatal Python error: init_", "Could not import runpy module")
_DOORS = ("tests/faults/weights_server.py", "chordtool/__main__.py")


@dataclass
class Tried:
    """A fault and what came of it."""

    command: str
    fault: str
    number: int
    struck: bool = False
    """Whether it hit the command while it ran; damage always does."""
    status: int = 0
    lost: list[str] = field(default_factory=list)
    """Promises that were broken."""
    said: str = ""


class Harness:
    """Scenarios that were built, and faults to try on them.

    Args:
        folder: where everything lies.
        address: of the server for downloads.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self.built: dict[str, Scenario] = {}

    def scenario(self, name: str) -> Scenario:
        """A scenario, built, with the results of its undisturbed command."""
        if name in self.built:
            return self.built[name]
        place = self.folder / name.replace(" ", "-")
        made = SCENARIOS[name](place / "fixtures", name)
        made.environment = {"CHORDTOOL_MODELS_URL": self.address}
        made.fixtures.mkdir(parents=True)
        made.build()
        work = place / "reference"
        made.lay(work)
        ended = run(made.command(work), work / "home", extra=made.environment)
        if ended.status:
            raise RuntimeError(f"{name} fails undisturbed: {ended.text}")
        made.reference, made.seconds = made.results(work), ended.seconds
        made.disk_bytes = disks.used(work)
        assert made.reference, f"{name} has no results"
        shutil.rmtree(work)
        self.built[name] = made
        return made

    def possible(self, name: str, fault: str) -> str:
        """Why a fault cannot be tried here; empty if it can."""
        if fault == "disk" and not disks.can_mount():
            return "filling a disk takes the right to mount one"
        if fault == "permissions" and os.geteuid() == 0 and shutil.which(POWERLESS[0]) is None:
            return "root passes over permissions, and setpriv, which could stop it, is not here"
        return ""

    def one(self, name: str, fault: str, seed: int) -> Tried:
        """Try a fault at a moment that the seed decides."""
        scenario, rng = self.scenario(name), Random(f"{name} {fault} {seed}")
        tried = Tried(name, fault, seed)
        work = self.folder / name.replace(" ", "-") / f"{fault}-{seed}"
        try:
            with self._disk(scenario, work, fault, rng):
                self._lay(scenario, work)
                if fault == "corrupt":
                    self._corrupt(scenario, work, rng, tried)
                else:
                    self._disturb(scenario, work, fault, rng, tried)
        finally:
            _unlock(work)
            if not tried.lost:
                shutil.rmtree(work, ignore_errors=True)
        return tried

    @contextlib.contextmanager
    def _disk(self, scenario: Scenario, work: Path, fault: str, rng: Random) -> Iterator[None]:
        if fault != "disk":
            work.mkdir(parents=True)
            yield
            return
        work.mkdir(parents=True)
        with disks.small_disk(work, 1 << 30):
            yield

    def _lay(self, scenario: Scenario, work: Path) -> None:
        scenario.lay(work)
        (work / "home").mkdir(exist_ok=True)
        scenario.output(work).mkdir(exist_ok=True)

    def _disturb(
        self, scenario: Scenario, work: Path, fault: str, rng: Random, tried: Tried
    ) -> None:
        powerless = fault == "permissions" and os.geteuid() == 0
        if fault == "disk":
            before = disks.used(work)
            room = int((scenario.disk_bytes - before) * rng.uniform(0.0, 1.0))
            disks.resize(work, max(1 << 16, before + room))
        ended = run(
            scenario.command(work), work / "home", powerless=powerless,
            extra=scenario.environment, strike=_striker(fault, scenario.output(work), rng),
            moment=None if fault == "disk" else _moment(scenario, work, rng),
        )  # fmt: skip
        _unlock(work)
        tried.status, tried.said = ended.status, ended.text[-2000:]
        tried.struck = ended.struck or (fault == "disk" and ended.status != 0)
        tried.lost += _honest(scenario, work, fault, ended)
        tried.lost += scenario.stand_alone(work)
        if fault == "disk":
            disks.resize(work, 1 << 30)
        self._take_up(scenario, work, scenario.again(work), tried, powerless=powerless)

    def _corrupt(self, scenario: Scenario, work: Path, rng: Random, tried: Tried) -> None:
        """Damage something of a finished or interrupted command, look at it, mend it."""
        tried.struck = True
        half = rng.random() < 0.5
        run(
            scenario.command(work), work / "home", extra=scenario.environment,
            strike=_striker("kill", scenario.output(work), rng) if half else None,
            moment=_moment(scenario, work, rng) if half else None,
        )  # fmt: skip
        damaged = sorted(scenario.damageable(work))
        if damaged:
            _flip(rng.choice(damaged), rng)
        ended = run(scenario.again(work)[-1], work / "home", extra=scenario.environment)
        tried.status, tried.said = ended.status, ended.text[-2000:]
        tried.lost += [f"after damage: {why}" for why in _tidy(ended)]
        self._take_up(scenario, work, scenario.repair(work), tried)

    def _take_up(
        self, scenario: Scenario, work: Path, commands: list[list[str]], tried: Tried,
        powerless: bool = False,
    ) -> None:  # fmt: skip
        for number, command in enumerate(commands, 1):
            ended = run(command, work / "home", powerless=powerless, extra=scenario.environment)
            tried.lost += [f"taken up: {why}" for why in _tidy(ended)]
            if number == len(commands) and ended.status:
                tried.lost.append(f"taken up: status {ended.status}: {ended.text[-500:]}")
        found = scenario.results(work)
        if found != scenario.reference:
            names = sorted(n for n in found.keys() | scenario.reference.keys()
                           if found.get(n) != scenario.reference.get(n))  # fmt: skip
            tried.lost.append(f"not the undisturbed result: {', '.join(names[:4])}")
        if isinstance(scenario, LabelCorpus):
            tried.lost += scenario.twice(work)


def _moment(scenario: Scenario, work: Path, rng: Random) -> Callable[[float], bool]:
    """Some time in the run, or shortly after the n-th file has come."""
    seconds = rng.uniform(0.0, 1.0) * scenario.seconds
    if rng.random() < 0.4:
        return lambda elapsed: elapsed > seconds
    wanted = files_below(work) + 1 + rng.randrange(max(1, len(scenario.reference)))
    pause = rng.uniform(0.0, 0.05)
    seen: list[float] = []

    def moment(elapsed: float) -> bool:
        if not seen and files_below(work) >= wanted:
            seen.append(elapsed)
        return bool(seen) and elapsed - seen[0] >= pause

    return moment


def _striker(
    fault: str, output: Path, rng: Random
) -> Callable[[subprocess.Popen[bytes]], None] | None:
    if fault in SIGNALS:
        # A terminal sends Ctrl-C to the whole group; other signals have one addressee.
        whole = fault == "interrupt" or (fault == "kill" and rng.random() < 0.3)

        def send(process: subprocess.Popen[bytes]) -> None:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if whole else os.kill)(process.pid, SIGNALS[fault])

        return send
    if fault == "permissions":
        return lambda process: _lock(output)
    if fault == "worker":
        return lambda process: _cut_worker(process.pid, rng)
    return None


def _cut_worker(group: int, rng: Random) -> None:
    """Kill one of the processes that a command has started."""
    with contextlib.suppress(psutil.Error, IndexError):
        workers = [p for p in members(group) if p.pid != group and "spawn_main" in
                   " ".join(p.cmdline())]  # fmt: skip
        rng.choice(sorted(workers, key=lambda p: p.pid)).kill()


def _lock(folder: Path) -> None:
    for path in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
        with contextlib.suppress(OSError):
            path.chmod(0o500)


def _unlock(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        with contextlib.suppress(OSError):
            if path.is_dir():
                path.chmod(0o755)


def _flip(path: Path, rng: Random) -> None:
    """Change one to sixteen bytes of a file, or cut it."""
    data = bytearray(path.read_bytes())
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    else:
        for _ in range(rng.choice((1, 1, 4, 16))):
            data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    path.write_bytes(data)


def _honest(scenario: Scenario, work: Path, fault: str, ended: Ended) -> list[str]:
    """Whether a disturbed command said the truth about itself."""
    found = _tidy(ended)
    complete = scenario.results(work) == scenario.reference
    if ended.status == 0 and not complete:
        found.append("it ended with 0, and its results are not all there")
    if ended.status in (-999, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT):
        found.append(f"it ended with {ended.status}")
    stopped = ended.status in (0, 130, -SIGNALS.get(fault, 0)) or _before_main(ended)
    if fault in ("terminate", "interrupt") and ended.struck and not stopped:
        found.append(f"it was asked to stop, and ended with {ended.status}")
    if fault == "worker" and ended.status:
        found.append(f"a lost worker ended the run with {ended.status}: {ended.text[-300:]}")
    return found


def _tidy(ended: Ended) -> list[str]:
    """Whether what it said is for people, and nothing of it goes on."""
    found = [] if _before_main(ended) else _unfriendly(ended)
    if ended.orphans:
        found.append(f"{ended.orphans} of its processes were left over")
    return found


def _unfriendly(ended: Ended) -> list[str]:
    found = [f"it said {word!r}: {ended.text[-1500:]}" for word in _UNTIDY if word in ended.text]
    if ended.status > 0 and not ended.text.strip():
        found.append(f"it ended with {ended.status} and said nothing")
    if ended.status in (1, 2, 3) and not any(word in ended.text for word in _ADVICE):
        found.append(f"it did not say what to do: {ended.text[-300:]}")
    return found


def _before_main(ended: Ended) -> bool:
    """Whether Ctrl-C came before the program's own code ran.

    What is said then is the interpreter's business, or that of what the tests put around the
    program. Python itself ends with 1 while it still looks for what it is to run.
    """
    said = ended.text
    if ended.status == 1:
        return "KeyboardInterrupt" in said and any(word in said for word in _PYTHON_STARTING)
    frames = [line for line in said.splitlines() if line.startswith('  File "')]
    own = [frame for frame in frames if not frame.startswith('  File "<frozen ')]
    alone = bool(frames) and said.count("Traceback (most recent call last)") == 1
    begins = not own or own[0].split('"')[1].endswith(_DOORS)
    entered = any(frame.endswith(", in main") for frame in frames)
    return ended.status in (130, -2) and alone and begins and not entered
