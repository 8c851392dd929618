"""Time the whole process, cold, on a 4-minute song, beside other programs.

    python benchmarks/transcribe/run.py --rivals RIVALS/bin/python

RIVALS is a virtual environment with ``benchmarks/transcribe/rivals/requirements.txt`` in it. The
contenders take turns, so that what else the machine does meets all of them alike; figures are
medians over the runs. Wall time of one run means little, the ratios are what to quote. Where the
machine is busy, processor seconds tell more, though they do not see that two cores were used.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parent
CLIP = HERE.parents[1] / "examples/clip.mp3"
SECONDS = 240
ENV = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
"""Packages that pip installed have their bytecode; a checkout gets it when it first runs."""


@dataclass
class Contender:
    name: str
    command: list[str]
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run once, from the start of the process to its end."""
        begin = time.perf_counter()
        process = subprocess.Popen(
            self.command, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{self.name} failed:\n{complaint[-2000:]}")
        self.seconds.append(time.perf_counter() - begin)
        self.processor.append(usage.ru_utime + usage.ru_stime)
        self.peak_mib.append(usage.ru_maxrss / 1024)

    def forget(self) -> None:
        """Leave the runs so far out."""
        for figures in (self.seconds, self.processor, self.peak_mib):
            figures.clear()


def song(path: Path) -> Path:
    """A 4-minute stereo mp3 at 44.1 kHz, made of the clip at changing levels."""
    samples, rate = soundfile.read(CLIP, dtype="float32")
    repeats = -(-SECONDS * rate // len(samples))
    levels = np.repeat(np.linspace(0.4, 1.0, repeats, dtype=np.float32), len(samples))
    whole = np.tile(samples, (repeats, 1)) * levels[:, None]
    soundfile.write(path, whole[: SECONDS * rate], rate, format="MP3")
    return path


def contenders(song: Path, rivals: str | None) -> list[Contender]:
    program = Path(sys.executable).with_name("chordtool")
    found = [Contender("chordtool", [str(program), "transcribe", str(song)])]
    librosa_cqt = HERE / "rivals/librosa_cqt.py"
    btc_way = HERE / "rivals/btc_way.py"
    found.append(Contender("librosa: load and CQT", [sys.executable, str(librosa_cqt), str(song)]))
    found.append(Contender("librosa + torch", [sys.executable, str(btc_way), str(song)]))
    if rivals:
        for name in ("essentia_chords", "chordino"):
            script = HERE / f"rivals/{name}.py"
            found.append(Contender(name, [rivals, str(script), str(song)]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--song", type=Path, help="a recording instead of the made-up one")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rivals", help="python of the environment with the other programs")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = arguments.song or song(Path(scratch, "song.mp3"))
        field_ = contenders(path, arguments.rivals)
        for number in range(arguments.runs + 1):
            for contender in field_:
                contender.run()
                if number == 0:  # it fills the disk cache, and bytecode is written
                    contender.forget()
    ours = statistics.median(field_[0].seconds)
    rows = []
    print(f"{'':24}{'seconds':>9}{'least':>8}{'ratio':>8}{'processor':>11}{'peak MiB':>10}")
    for contender in field_:
        median = statistics.median(contender.seconds)
        processor = statistics.median(contender.processor)
        peak = statistics.median(contender.peak_mib)
        ratio = ours / median
        print(
            f"{contender.name:24}{median:9.2f}{min(contender.seconds):8.2f}{ratio:8.2f}"
            f"{processor:11.2f}{peak:10.0f}"
        )
        rows.append(
            {
                "name": contender.name,
                "seconds": median,
                "ratio": ratio,
                "processor": processor,
                "peak_mib": peak,
            }
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
