"""Runs that coverage guides, with atheris; only the long runs need it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from random import Random

import atheris


def run_guided(name: str, folder: Path, *, seed: int, seconds: float) -> None:
    """Run a target under libFuzzer and leave the tally in the folder; the process ends here."""
    for module in [m for m in sys.modules if m.partition(".")[0] == "chordtool"]:
        del sys.modules[module]  # to be imported anew, instrumented
    for module in ("tests.fuzz.targets", "tests.fuzz.runs", "tests.tiny_student"):
        sys.modules.pop(module, None)
    with atheris.instrument_imports(include=["chordtool", "json"]):
        from tests.fuzz import runs
        from tests.fuzz.__main__ import write_tally
        from tests.fuzz.targets import TARGETS

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
            os.utime(folder)
            write_tally(tally, folder)
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
