"""The table of docs/reproduction.md, by one command that can be interrupted.

python -m recipes.results --list
python -m recipes.results --out ../data/results --only btc-stage2
python -m recipes.results --out ../data/results --report
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from chordtool.errors import ChordtoolError, ExitCode
from chordtool.training.progress import Display
from recipes.results import material
from recipes.results.packing import pack, unpack
from recipes.results.plan import Row, Settings, chosen, cost
from recipes.results.report import read_rows, report


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="python -m recipes.results",
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = found.add_argument
    add("--out", type=Path, default=Path("../data/results"), help="folder of the table")
    data = Path("../data")
    add("--corpus", type=Path, default=data / "corpus-unlabelled", help="corpus of stage 1")
    add("--labels", type=Path, default=data / "pop909-rendered", help="labelled songs and audio")
    add("--test", type=Path, default=Path("../shared/audio/pop909-dev"), help="test songs, alike")
    add("--only", nargs="+", default=[], metavar="ROW", help="these, and those they start from")
    add("--scale", type=float, default=1.0, help="budget as a multiple of what --list says")
    add("--songs", type=int, default=100, help="labelled songs, validation included")
    add("--epochs", type=int, default=20, help="validations of each run")
    add("--batch-size", type=int, default=16)
    add("--lr", type=float, default=6e-4, help="peak for random weights")
    add("--lr-stage-2", type=float, default=3e-4)
    add("--seed", type=int, default=42)
    add("--teacher", action="append", help="who labels the songs; lv")
    add("--device", default="auto", help="auto, cpu, cuda or mps")
    add("--precision", default="auto", help="auto, float32, bfloat16 or float16")
    add("--threads", type=int, default=0, help="of torch")
    add("--jobs", type=int, default=1, help="processes that label and score audio")
    action = found.add_mutually_exclusive_group()
    for name, words in (
        ("--list", "show the rows, their budget, and which are done"),
        ("--report", "show tables of the rows that are done, as markdown"),
        ("--prepare", "make the data only"),
    ):
        action.add_argument(name, action="store_true", help=words)
    action.add_argument("--pack", type=Path, metavar="DIR", help="write the data to archives")
    action.add_argument("--unpack", type=Path, metavar="DIR|FILE", help="take them from there")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Do what was asked.

    Returns:
        the exit code: 1 if some rows failed.
    """
    arguments = parser().parse_args(argv)
    try:
        return _act(arguments)
    except ChordtoolError as error:
        _say(f"{error.message} {error.hint}")
        return int(error.exit_code)
    except KeyboardInterrupt:
        _say("Interrupted; the same command goes on.")
        return int(ExitCode.INTERRUPTED)


def _act(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    places = material.Places(arguments.out, arguments.corpus, arguments.labels, arguments.test)
    rows = chosen(arguments.only)
    if arguments.list:
        _list(rows, settings, places)
    elif arguments.report:
        print(report(read_rows(places.rows)), end="")
    elif arguments.unpack:
        unpack(arguments.unpack, places, arguments.jobs)
    elif arguments.prepare or arguments.pack:
        material.labelled_corpus(places, settings, arguments.jobs)
        material.tested_corpus(places, settings, arguments.jobs)
        if arguments.pack:
            for archive in pack(places, arguments.pack, jobs=arguments.jobs):
                print(f"{archive}\t{archive.stat().st_size / 2**20:.1f} MiB")
    else:
        return _run(rows, settings, places, arguments.jobs)
    return int(ExitCode.OK)


def _settings(arguments: argparse.Namespace) -> Settings:
    running: dict[str, Any] = {
        "device": arguments.device, "precision": arguments.precision, "threads": arguments.threads,
    }  # fmt: skip
    return Settings(
        scale=arguments.scale, epochs=arguments.epochs, batch_size=arguments.batch_size,
        lr=arguments.lr, lr_stage_2=arguments.lr_stage_2, songs=arguments.songs,
        seed=arguments.seed, teachers=tuple(arguments.teacher or Settings.teachers),
        running=running,
    )  # fmt: skip


def _list(rows: Sequence[Row], settings: Settings, places: material.Places) -> None:
    done = read_rows(places.rows)
    print("row\tsegments\tas BTC segments\tstarts from\tdone\twhat")
    for row in rows:
        print(
            row.name, settings.segments(row), cost([row], settings), row.start or "-",
            "yes" if row.name in done else "no", row.title, sep="\t",
        )  # fmt: skip
    print("all", sum(map(settings.segments, rows)), cost(rows, settings), "", "", "", sep="\t")


def _run(rows: Sequence[Row], settings: Settings, places: material.Places, jobs: int) -> int:
    """Carry rows out; those that fail hold up only the ones that start from them."""
    from recipes.results.running import run_row

    failed: set[str] = set()
    for row in rows:
        if row.start in failed:
            failed.add(row.name)
            _say(f"{row.name}: left out, for {row.start} is not there.")
            continue
        _say(f"{row.name}: {row.title}")
        try:
            found = run_row(
                row, settings, places, jobs=jobs, listener=Display(Console(file=sys.stderr))
            )
        except ChordtoolError as error:
            failed.add(row.name)
            _say(f"{row.name}: {error.message} {error.hint}")
            continue
        mean, acqa = (found["scores"][k]["value"] for k in ("mean", "acqa"))
        print(f"{row.name}\tmean {100 * mean:.2f}\tACQA {100 * acqa:.2f}", flush=True)
    return int(ExitCode.SOME_FAILED if failed else ExitCode.OK)


def _say(text: str) -> None:
    print(text.strip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
