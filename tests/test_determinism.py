"""The same input gives the same bytes: over --jobs, over numbers of threads, over runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.clips import music
from tests.tiny_student import tiny_student

WAYS = [("-j", "1", "1"), ("-j", "2", "1"), ("-j", "1", "2"), ("-j", "1", "1")]
"""--jobs, and threads of the linear algebra."""


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for k in range(3):
        soundfile.write(folder / f"{k}.flac", music(4.0 + k, 44_100, 2, seed=k), 44_100)
    (folder / "tiny.onnx").write_bytes(tiny_student())
    return folder


def run(*arguments: object, threads: str) -> None:
    variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
                              threads)  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "chordtool", *map(str, arguments)],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def content(path: Path) -> bytes:
    data = path.read_bytes()
    # Rows are written as recordings are done; their order is the one thing that is left open.
    return b"".join(sorted(data.splitlines(True))) if path.suffix == ".jsonl" else data


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_transcriptions_are_the_same_bytes(songs: Path, tmp_path: Path) -> None:
    found = []
    for number, (option, jobs, threads) in enumerate(WAYS):
        out = tmp_path / str(number)
        run("transcribe", songs, "-o", f"{out}/", "-m", songs / "tiny.onnx", "-f", "json",
            "-f", "html", option, jobs, threads=threads)  # fmt: skip
        # A page names its recording from where the page lies.
        found.append({name: data.replace(os.fsencode(str(out)), b"") for name, data
                      in contents(out).items()})  # fmt: skip
    assert len(found[0]) == 6
    assert all(other == found[0] for other in found[1:])


def test_corpora_are_the_same_bytes(songs: Path, tmp_path: Path) -> None:
    found = []
    for number, (option, jobs, threads) in enumerate(WAYS[:2]):
        out = tmp_path / str(number)
        run("label-corpus", songs, "-o", out, "-t", songs / "tiny.onnx", option, jobs,
            threads=threads)  # fmt: skip
        found.append(contents(out))
    assert len(found[0]) >= 5
    assert all(other == found[0] for other in found[1:])
