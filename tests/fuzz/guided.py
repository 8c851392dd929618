"""``python -m tests.fuzz.guided``: a child of the long runs that coverage guides, with atheris."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from random import Random

import atheris

# Before anything imports the program: what is imported here is instrumented.
with atheris.instrument_imports(include=["chordtool", "json"]):
    from tests.fuzz import runs
    from tests.fuzz.targets import TARGETS


def run_guided(name: str, folder: Path, *, seed: int, seconds: float) -> None:
    """Run a target under libFuzzer and leave the tally in the folder; the process ends here."""
    target, tally = TARGETS[name], runs.Tally()
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(data)
    end = time.monotonic() + seconds
    told = 0.0

    def one_input(data: bytes) -> None:
        nonlocal told
        tally.one(target, data)
        now = time.monotonic()
        if now - told > 5 or now > end:
            told = now
            (folder / "current").write_bytes(data)
            runs.write_tally(tally, folder)
        if now > end:
            os._exit(0)  # libFuzzer would add its own time for merging

    def mutate(data: bytes, limit: int, number: int) -> bytes:
        # Half of the inputs by libFuzzer's own mutations, half by ones that know the format.
        if number % 2:
            return bytes(atheris.Mutate(data, len(data)))
        return target.mutate(Random(number), data)[:limit]

    options = [f"-seed={seed}", "-max_len=65536", "-timeout=120", "-rss_limit_mb=4096",
               f"-artifact_prefix={folder}/", "-verbosity=0"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    _name, _folder, _seed, _minutes = sys.argv[1:]
    run_guided(_name, Path(_folder), seed=int(_seed), seconds=60 * float(_minutes))
