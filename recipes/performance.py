"""From parts to sound: which fonts play, and what the studio makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.arrangement import ChordSpan, Levels, Part
from recipes.effects import normalise, produce
from recipes.soundfonts import SAMPLE_RATE, SoundFont, choose_font, synthesise
from recipes.timbres import play


@dataclass(frozen=True)
class Version:
    """A song as it will be heard: what is played, its labels, and how it was made."""

    parts: tuple[Part, ...]
    spans: tuple[ChordSpan, ...]
    duration: float
    detune_cents: float
    facts: dict[str, Any]


def draw_levels(rng: Generator, low: int, high: int) -> Levels:
    """Controllers of a part: a volume between ``low`` and ``high``, reverb, chorus, vibrato."""
    return Levels(
        volume=int(rng.integers(low, high)),
        reverb=int(rng.integers(0, 80)),
        chorus=int(rng.integers(0, 60)) if rng.random() < 0.4 else 0,
        vibrato=int(rng.integers(0, 50)) if rng.random() < 0.3 else 0,
    )


def describe(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """What the manifest says of the parts."""
    return [
        {"name": p.name, "program": p.program, "drums": p.drums, "volume": p.levels.volume}
        for p in parts
    ]


def perform(
    version: Version, fonts: Sequence[SoundFont], rng: Generator, *, drawn_timbres: bool = False
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Play a version, in part of the songs with two sound fonts, and produce the mix.

    Args:
        version: the song.
        fonts: that are installed.
        rng: decides everything.
        drawn_timbres: play all but the drums on instruments of :mod:`recipes.timbres`.

    Returns:
        mono float32 samples at 22,050 Hz, and what the manifest says of them.
    """
    font = choose_font(fonts, rng)
    if drawn_timbres:
        return _perform_drawn(version, font, rng)
    groups = [(font, list(version.parts))]
    if len(version.parts) > 2 and rng.random() < 0.4:
        cut = rng.random(len(version.parts)) < 0.5
        second = choose_font(fonts, rng)
        groups = [
            (font, [p for p, other in zip(version.parts, cut, strict=True) if not other]),
            (second, [p for p, other in zip(version.parts, cut, strict=True) if other]),
        ]
    groups = [(f, parts) for f, parts in groups if parts]
    stems = [
        normalise(synthesise(parts, f, version.duration, version.detune_cents), 0.0)
        * np.float32(len(parts) ** 0.5)
        for f, parts in groups
    ]
    audio, applied = produce(sum(stems[1:], stems[0]), rng, SAMPLE_RATE)
    facts = {
        "fonts": [f.name for f, _ in groups],
        "font_licences": [f.licence for f, _ in groups],
        "effects": applied,
    }
    return audio, facts


def _perform_drawn(
    version: Version, font: SoundFont, rng: Generator
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    pitched = [p for p in version.parts if not p.drums]
    drums = [p for p in version.parts if p.drums]
    stems = [normalise(play(pitched, version.duration, version.detune_cents, rng), 0.0)]
    if drums:
        beat = normalise(synthesise(drums, font, version.duration), 0.0)
        stems.append(beat * np.float32(rng.uniform(0.1, 0.6)))
    audio, applied = produce(sum(stems[1:], stems[0]), rng, SAMPLE_RATE)
    named = [font] if drums else []
    facts = {
        "fonts": ["drawn timbres", *(f.name for f in named)],
        "font_licences": [f.licence for f in named],
        "effects": applied,
    }
    return audio, facts
