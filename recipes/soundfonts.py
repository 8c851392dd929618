"""The sound fonts that training audio is rendered with, their instruments, and the rendering.

No font here is the one that renders the development test, and none forbids commercial use.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.arrangement import Part, to_midi

SAMPLE_RATE = 22050
_FOLDER = Path("/usr/share/sounds/sf2")


@dataclass(frozen=True)
class SoundFont:
    """A General MIDI sound font of a Debian package; ``weight`` is how often it is drawn."""

    name: str
    path: Path
    package: str
    licence: str
    weight: float


SOUND_FONTS = (
    SoundFont("FluidR3", _FOLDER / "FluidR3_GM.sf2", "fluid-soundfont-gm", "MIT", 0.36),
    SoundFont("TimGM6mb", _FOLDER / "TimGM6mb.sf2", "timgm6mb-soundfont", "GPL-2", 0.28),
    SoundFont("GMbank", _FOLDER / "sf_GMbank.sf2", "csound-soundfont", "public domain", 0.22),
    SoundFont("OPL3", _FOLDER / "OPL-3_FM_128M.sf2", "opl3-soundfont", "CC-BY-SA-4.0", 0.14),
)

FAMILIES: dict[str, tuple[int, ...]] = {
    "piano": (0, 0, 0, 1, 2, 3),
    "electric piano": (4, 5, 4, 5, 7),
    "mallets": (8, 10, 11, 12),
    "organ": (16, 17, 18, 19, 20, 21),
    "acoustic guitar": (24, 25, 25),
    "electric guitar": (26, 27, 27, 28),
    "driven guitar": (29, 30),
    "bass": (32, 33, 33, 34, 35, 38, 39),
    "bowed": (40, 41, 42),
    "strings": (48, 49, 50, 51, 44),
    "harp": (46,),
    "choir": (52, 53, 54),
    "brass": (56, 57, 60, 61, 62),
    "reeds": (64, 65, 66, 68, 71),
    "flutes": (72, 73, 75, 79),
    "lead": (80, 81, 82, 85, 87),
    "pad": (88, 89, 89, 90, 91),
    "plucked": (104, 105, 107),
}
"""General MIDI programs by family, those that are heard more often named more often."""

DECAYING = frozenset(
    FAMILIES["piano"]
    + FAMILIES["electric piano"]
    + FAMILIES["mallets"]
    + FAMILIES["acoustic guitar"]
    + FAMILIES["electric guitar"]
    + FAMILIES["harp"]
    + FAMILIES["plucked"]
)
"""Programs whose notes die away, so that a sustain pedal may hold them."""

DRUM_KITS = (0, 0, 0, 8, 16, 24, 25, 32, 40)


def available() -> tuple[SoundFont, ...]:
    """The sound fonts that are installed; empty where fluidsynth itself is missing."""
    if shutil.which("fluidsynth") is None:
        return ()
    return tuple(font for font in SOUND_FONTS if font.path.is_file())


def choose_font(fonts: Sequence[SoundFont], rng: Generator) -> SoundFont:
    """Draw one of the fonts by weight."""
    weights = np.array([font.weight for font in fonts])
    return fonts[int(rng.choice(len(fonts), p=weights / weights.sum()))]


def choose_program(families: dict[str, float], rng: Generator) -> int:
    """Draw a family by weight, then one of its programs."""
    weights = np.array(list(families.values()))
    family = list(families)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return int(rng.choice(FAMILIES[family]))


def synthesise(
    parts: Sequence[Part], font: SoundFont, duration: float, detune_cents: float = 0.0
) -> NDArray[np.float32]:
    """Play the parts with a sound font.

    Args:
        parts: see :func:`recipes.arrangement.to_midi`.
        font: an installed font.
        duration: seconds of audio; a longer tail is cut, a shorter one padded with zeros.
        detune_cents: fine tuning of the pitched parts.

    Returns:
        mono float32 [round(duration * 22050)].

    Raises:
        subprocess.CalledProcessError: fluidsynth failed.
    """
    with tempfile.TemporaryDirectory(prefix="chordtool-render-") as folder:
        midi, wave = Path(folder, "song.mid"), Path(folder, "song.wav")
        midi.write_bytes(to_midi(parts, detune_cents))
        options = ["-ni", "-q", "-r", str(SAMPLE_RATE), "-g", "0.35", "-O", "s16", "-T", "wav"]
        # Only the samples that are used get loaded: seconds less a song with a large font.
        settings = ["-o", "synth.dynamic-sample-loading=1", "-o", "synth.polyphony=256"]
        subprocess.run(
            ["fluidsynth", *options, *settings, "-F", str(wave), str(font.path), str(midi)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stereo, _ = soundfile.read(wave, dtype="float32", always_2d=True)
    n = round(duration * SAMPLE_RATE)
    mono = stereo[:n].mean(axis=1)
    return np.pad(mono, (0, n - len(mono))).astype(np.float32)
