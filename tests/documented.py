"""Commands that the documentation shows, and the folder that they are tried in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from chordtool import audio

ROOT = Path(__file__).resolve().parents[1]
CLIP, CLIP_LABELS = ROOT / "examples" / "clip.mp3", ROOT / "examples" / "clip.lab"
_OURS = re.compile(r"(?:^|-m )(?:chordtool|(?<=-m )(?P<module>recipes\.\w+))(?= )")
_BLOCK = re.compile(r"^```(console|pycon)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A command, or a Python session, and what the page says it prints."""

    language: str
    """``"console"`` or ``"pycon"``."""
    code: str
    output: str = ""
    """``...`` stands for anything; empty: the page does not say."""


def pages() -> list[Path]:
    """Every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples(page: Path) -> list[Example]:
    """The examples of a page in their order."""
    found: list[Example] = []
    for language, body in _BLOCK.findall(page.read_text("utf-8")):
        found += [Example(language, body)] if language == "pycon" else _commands(body)
    return found


def _commands(body: str) -> Iterator[Example]:
    """The commands of a block: each begins with ``$``, and goes on after a backslash."""
    code: list[str] = []
    output: list[str] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            if code:
                yield Example("console", "\n".join(code), "\n".join(output))
            code, output = [line[2:]], []
        elif code and not output and code[-1].endswith("\\"):
            code.append(line)
        else:
            output.append(line)
    if code:
        yield Example("console", "\n".join(code), "\n".join(output))


def other_commands(page: Path) -> list[str]:
    """Commands of this project in blocks that are not run: they take hours, or many machines."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    texts = [body for language, body in blocks if language in ("", "text", "sh")]
    lines = "\n".join(texts).replace("\\\n", " ").splitlines()
    return [line for line in lines if _OURS.search(line)]


def parts(command: str) -> tuple[str, str, list[str]]:
    """The module, the command of it if it has some, and the options of a command line."""
    found = _OURS.search(command)
    assert found is not None, "other_commands() has looked"
    module = found["module"] or "chordtool"
    rest = command[found.end() :].partition(" #")[0].split()
    flags = [word for word in rest if re.fullmatch(r"--?[a-z][\w-]*", word)]
    return module, rest[0] if rest else "", flags


def matches(expected: str, got: str) -> bool:
    """Whether what was printed is what a page shows; blanks at the ends of lines do not count."""
    parts = [re.escape(part) for part in _stripped(expected).split("...")]
    return re.fullmatch(".*".join(parts), _stripped(got), re.DOTALL) is not None


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def make_sandbox(folder: Path) -> dict[str, str]:
    """What a reader has at hand: a song, a folder of music, one of labelled music, the examples.

    Returns:
        the environment of its commands.
    """
    shutil.copyfile(CLIP, folder / "song.mp3")
    shutil.copytree(
        ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__")
    )
    home, site = folder / "home", folder / "site"
    for songs, labelled in ((home / "Music", False), (folder / "labelled", True)):
        songs.mkdir(parents=True)
        write_songs(songs, labelled=labelled, seed=len(songs.name))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHORDTOOL_", "XDG_", "PIP_"))}
    environment = {
        **kept,
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "OMP_NUM_THREADS": "1",
        # Pages that show the paper's settings would train for hours.
        "CHORDTOOL_DISTILL_EPOCHS": "1",
        "CHORDTOOL_FINETUNE_EPOCHS": "1",
        # What the pages install comes into this folder, from this folder, and nowhere else.
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's own way to say yes
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    shared = ROOT.parent / "shared" / "teachers"
    return {**environment, "CHORDTOOL_MODELS": str(shared)} if shared.is_dir() else environment


def write_songs(folder: Path, *, labelled: bool, seed: int, count: int = 4) -> None:
    """Songs of a few chords each: the example clip's, in other orders."""
    rate = 22_050
    samples = audio.load(CLIP, rate).samples
    rows = [line.split("\t") for line in CLIP_LABELS.read_text("utf-8").splitlines()]
    rng = np.random.default_rng(seed)
    for number in range(count):
        pieces, lines, now = [], [], 0.0
        for n in rng.permutation(len(rows))[:6]:
            start, end, label = float(rows[n][0]), float(rows[n][1]), rows[n][2]
            piece = samples[round(start * rate) : round(end * rate)]
            lines.append(f"{now:.3f}\t{now + len(piece) / rate:.3f}\t{label}\n")
            pieces.append(piece)
            now += len(piece) / rate
        soundfile.write(folder / f"song-{number}.flac", np.concatenate(pieces), rate)
        if labelled:
            (folder / f"song-{number}.lab").write_text("".join(lines))


def run(example: Example, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Try an example in a sandbox; returns its exit status and all that it printed."""
    if example.language == "pycon":
        script = folder / "session.txt"
        script.write_text(example.code, "utf-8")
        command = [sys.executable, "-m", "doctest", "-o", "ELLIPSIS", str(script)]
    else:
        command = ["bash", "-o", "pipefail", "-c", example.code]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")
