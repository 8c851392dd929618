"""``python -m tests.faults --count 200 --seed 1``: the long run.

Every command gets every fault that can be tried here, round and round, at moments that the seed
decides. A fault that came too late to strike is tried again with another moment and not counted.
Ends with 1 if a promise was broken; what was broken is kept below ``--keep``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.faults import Harness, Tried
from tests.faults.scenarios import SCENARIOS
from tests.faults.weights_server import serving

SHARES = {
    "transcribe": 6, "label-corpus": 5, "models download": 4, "distill": 2, "finetune": 1,
    "export": 1, "label-corpus --cluster": 1,
}  # fmt: skip
"""How often each command comes in a round; training takes its time."""


def main() -> int:
    """Try as many faults as were asked for; 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="faults that strike")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="these commands only")
    parser.add_argument("--fault", action="append", help="these faults only")
    parser.add_argument("--number", type=int, help="repeat the fault of this number; with --only "
                        "and --fault")  # fmt: skip
    parser.add_argument("--keep", type=Path, help="folder for what was left of broken promises")
    parser.add_argument("--json", type=Path, help="append one line a fault to this file")
    given = parser.parse_args()
    if given.number is not None and not (given.only and given.fault):
        parser.error("--number needs --only and --fault")
    folder = Path(tempfile.mkdtemp(prefix="chordtool-faults-"))
    folder.chmod(0o755)
    begun = time.monotonic()
    try:
        with serving() as address:
            harness = Harness(folder, address)
            if given.number is not None:
                tried = [harness.one(given.only[0], given.fault[0], given.number)]
                print(*(f"LOST {why}" for why in tried[0].lost), sep="\n")
            else:
                tried = try_faults(harness, given.count, given.seed, given.only, given.fault,
                                   given.json)  # fmt: skip
    finally:
        if given.keep:
            shutil.copytree(folder, given.keep, dirs_exist_ok=True, ignore=_fixtures)
        shutil.rmtree(folder, ignore_errors=True)
    print(table(tried))
    print(f"{(time.monotonic() - begun) / 60:.1f} min")
    return 1 if any(t.lost for t in tried) else 0


def _fixtures(folder: str, names: list[str]) -> list[str]:
    return [n for n in names if n in ("fixtures", "home", "music")]


def try_faults(
    harness: Harness, count: int, seed: int, only: list[str] | None = None,
    faults: list[str] | None = None, log: Path | None = None,
) -> list[Tried]:  # fmt: skip
    """Try faults until ``count`` of them have struck."""
    chosen = only or list(SHARES)
    order = [n for k in range(max(SHARES.values())) for n in chosen if SHARES[n] > k]
    turns: Counter[str] = Counter()
    tried: list[Tried] = []
    number = seed * 100_000
    while sum(t.struck for t in tried) < count:
        name = order[len(tried) % len(order)]
        kinds = [f for f in SCENARIOS[name].faults if not harness.possible(name, f)]
        kinds = [f for f in kinds if faults is None or f in faults]
        if not kinds:
            raise SystemExit(f"{name}: none of its faults can be tried here")
        kind = kinds[turns[name] % len(kinds)]
        turns[name] += 1
        number += 1
        result = harness.one(name, kind, number)
        tried.append(result)
        if log is not None:
            with log.open("a") as file:
                file.write(json.dumps(vars(result)) + "\n")
        for why in result.lost:
            print(f"LOST {name}, {kind}, {result.number}: {why}", flush=True)
    return tried


def table(tried: list[Tried]) -> str:
    """Faults by command and kind: how many struck, how many promises were broken."""
    rows = [f"{'command':24}{'fault':13}{'struck':>7}{'survived':>9}{'lost':>5}"]
    pairs = sorted({(t.command, t.fault) for t in tried})
    for command, fault in pairs:
        mine = [t for t in tried if (t.command, t.fault) == (command, fault) and t.struck]
        lost = sum(bool(t.lost) for t in mine)
        rows.append(f"{command:24}{fault:13}{len(mine):7}{len(mine) - lost:9}{lost:5}")
    struck = [t for t in tried if t.struck]
    lost = sum(bool(t.lost) for t in struck)
    rows.append(f"{'all':37}{len(struck):7}{len(struck) - lost:9}{lost:5}")
    late = len(tried) - len(struck)
    return "\n".join([*rows, f"{late} more came when the command had ended."])


if __name__ == "__main__":
    sys.exit(main())
