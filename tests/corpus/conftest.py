"""A teacher that is installed as a plug-in, a folder of short recordings, and runs over them."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from chordtool.corpus.folder import Corpus
from chordtool.corpus.recipe import Recipe, make_recipe
from chordtool.corpus.run import Bounds, Summary, label_corpus, plan
from chordtool.corpus.sources import find_sources
from chordtool.executors import Executor, SerialExecutor

TEACHER = '''
import os
import signal
import time
from pathlib import Path

import numpy as np

from chordtool.constantq import log_cqt
from chordtool.frontend import FrontEnd
from chordtool.models import ModelCard


TRIALS = (22_050, 20 * 22_050)  # samples of what the speed is measured with


class Toy:
    """Labels by a fixed projection of the constant-Q; as slow and as mortal as a test wants.

    After ``TOY_SONGS`` songs a process listens to the next one for ever.
    """

    def __init__(self, name, seed, vocabulary="large"):
        self.card = ModelCard(
            name=name, architecture="toy", front_end=FrontEnd(), vocabulary=vocabulary
        )
        self.songs = 0
        self.weights = np.random.default_rng(seed).normal(size=(144, 170)).astype(np.float32)
        loads = os.environ.get("TOY_LOADS")
        if loads:
            with open(loads, "a") as file:
                file.write(f"{os.getpid()}\\n")

    def features(self, samples):
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        self.songs += len(samples) not in TRIALS
        if self.songs > int(os.environ.get("TOY_SONGS", "1000000")):
            time.sleep(3600)
        heard = os.environ.get("TOY_HEARD")
        if heard:
            with open(heard, "a") as file:
                file.write(f"{os.getpid()} {len(samples)}\\n")
        loudest = float(np.abs(samples).max(initial=0))
        if loudest > 0.95 and "TOY_POISON" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        trap = os.environ.get("TOY_TRAP")
        if trap:
            try:
                Path(trap).unlink()
            except FileNotFoundError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return log_cqt(samples, self.card.front_end)

    def logits(self, features):
        if features.max(initial=-99.0) < -13.8:
            raise RuntimeError("the toy does not like silence")
        return (features @ self.weights / 20).astype(np.float32)


def load():
    return Toy("toy", 0)


def load_other():
    return Toy("other", 1)


def load_small():
    return Toy("small", 2, "majmin")
'''

ENTRY_POINTS = """[chordtool.models]
toy = toy_teacher:load
other = toy_teacher:load_other
small = toy_teacher:load_small
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two teachers, ``toy`` and ``other``, known to this process and to those it starts."""
    site = tmp_path / "site"
    info = site / "toy_teacher-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "toy_teacher.py").write_text(TEACHER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-teacher\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(site))
    earlier = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", str(site) + (os.pathsep + earlier if earlier else ""))
    monkeypatch.delenv("CHORDTOOL_PLUGINS", raising=False)
    importlib.invalidate_caches()
    yield site
    sys.modules.pop("toy_teacher", None)


def tone(seconds: float, seed: int, rate: int = 22_050) -> np.ndarray:
    """A few partials, a different chord for each seed."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    pitches = 110 * 2 ** (rng.integers(0, 36, 4) / 12)
    wave = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in pitches)
    return (0.15 * np.asarray(wave) + 0.01 * rng.normal(size=len(t))).astype(np.float32)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Eight short recordings in two folders."""
    folder = tmp_path / "music"
    (folder / "below").mkdir(parents=True)
    for k in range(8):
        where = folder / "below" if k % 2 else folder
        soundfile.write(where / f"song{k}.wav", tone(2 + 0.3 * k, k), 22_050)
    return folder


@pytest.fixture
def recipe(toy: Path) -> Recipe:
    return make_recipe(["toy"])


Label = Callable[..., Summary]


@pytest.fixture
def label(recipe: Recipe) -> Label:
    """Label a folder into a corpus, in this process unless told otherwise."""

    def run(
        sources: Path,
        corpus: Path,
        *,
        made_by: Recipe = recipe,
        executor: Executor | None = None,
        bounds: Bounds = Bounds(),  # noqa: B008 - frozen
        expiry_seconds: float = 120.0,
    ) -> Summary:
        folder = Corpus.create(corpus, made_by.describe())
        paths, problems = find_sources([str(sources)])
        summary = label_corpus(
            folder,
            made_by,
            plan(folder, paths, bounds),
            executor or SerialExecutor(),
            bounds=bounds,
            expiry_seconds=expiry_seconds,
        )
        summary.problems.extend(problems)
        return summary

    return run


def contents(corpus: Path) -> dict[str, object]:
    """Everything that counts in a corpus: hashes of files, lines of the manifest sorted."""
    found: dict[str, object] = {
        str(path.relative_to(corpus)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in corpus.rglob("*")
        if path.is_file() and path.name not in ("manifest.jsonl", ".lock")
    }
    found["manifest"] = sorted((corpus / "manifest.jsonl").read_text().splitlines())
    return found


def rows_written(corpus: Path) -> int:
    """How many rows a manifest has; may be asked while others write it."""
    manifest = corpus / "manifest.jsonl"
    return manifest.read_bytes().count(b"\n") if manifest.exists() else 0


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start ``chordtool label-corpus`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "chordtool", "label-corpus", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    return out + err
