"""Where labelled audio goes: a FLAC, a .lab of the same stem, and a line in manifest.jsonl.

A recording counts as done when its line is in the manifest, which is written last; a script that
was interrupted therefore goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray

from chordtool.files import atomic_write
from recipes.arrangement import ChordSpan
from recipes.soundfonts import SAMPLE_RATE

MANIFEST = "manifest.jsonl"


def generator(name: str, seed: int) -> Generator:
    """The random numbers of one recording: the same name and seed give the same ones anywhere."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def done(folder: Path) -> set[str]:
    """Stems that are complete in ``folder``: in the manifest, with audio and labels."""
    manifest = folder / MANIFEST
    if not manifest.exists():
        return set()
    stems = set()
    for line in manifest.read_text(encoding="utf-8").splitlines():
        try:
            stem = str(json.loads(line)["stem"])
        except (ValueError, KeyError, TypeError):
            continue  # a line that an interruption cut short
        if all((folder / f"{stem}{suffix}").exists() for suffix in (".flac", ".lab")):
            stems.add(stem)
    return stems


def lab(spans: Sequence[ChordSpan]) -> str:
    """The spans as lines of start, end and label, tab separated, four decimals."""
    return "".join(f"{s.start:.4f}\t{s.end:.4f}\t{s.label}\n" for s in spans)


def write(
    folder: Path,
    stem: str,
    audio: NDArray[np.float32],
    spans: Sequence[ChordSpan],
    facts: Mapping[str, Any],
) -> None:
    """Write one recording and its line in the manifest.

    Args:
        folder: an existing folder.
        stem: file name without suffix.
        audio: mono float32 [n] at 22,050 Hz, -1..1.
        spans: tile the audio.
        facts: what the manifest says beside stem and seconds.
    """
    with atomic_write(folder / f"{stem}.flac") as file:
        soundfile.write(file, audio, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    with atomic_write(folder / f"{stem}.lab", "w") as file:
        file.write(lab(spans))
    line = {"stem": stem, "seconds": round(len(audio) / SAMPLE_RATE, 3), **facts}
    with (folder / MANIFEST).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
