"""Render songs that exist as MIDI with chord labels, their melodies sung.

Usage: ``python -m recipes.sung_songs [--source DIR] [--speech DIR] [--out DIR] [--played] ...``

The voices are those of a game's dubbing, out of the Debian packages ``fillets-ng-data-cs`` and
``fillets-ng-data-nl`` (GPL-2), which are fetched if ``--speech`` has none. With ``--played`` the
same songs come out with an instrument in the voice's place, to compare.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray

from recipes import effects, output
from recipes.arrangement import Part
from recipes.debian_music import download, unpack
from recipes.performance import Version, describe, draw_levels
from recipes.render_midi import (
    HELD,
    LICENCE,
    LIFTED,
    MELODY_FAMILIES,
    MIXED,
    SOURCE,
    STUCK,
    Score,
    arrange,
    read_score,
    songs_in,
)
from recipes.soundfonts import (
    SAMPLE_RATE,
    SoundFont,
    available,
    choose_font,
    choose_program,
    synthesise,
)
from recipes.voices import Speech, has_world, sing, take_apart

OUT = Path("../data/pop909-sung")
SPEECH = Path("../data/speech")
LANGUAGES = ("cs", "nl")
_VOICE = "VOICE"
"""The melody's name, as a part that is never left out."""
_PEDALS = (LIFTED, LIFTED, HELD, STUCK, MIXED)

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Band:
    """A song without its melody, and the melody."""

    version: Version
    melody: Part
    font: SoundFont
    sound: Sound


def fetch_speech(folder: Path, language: str) -> None:
    """Put a language's recordings into ``folder/language``.

    Raises:
        subprocess.CalledProcessError: the package cannot be had.
    """
    target = folder / language
    if target.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        unpack(download(f"fillets-ng-data-{language}", Path(name)), Path(name, "tree"))
        Path(name, "tree").rename(target)


def read_speech(folder: Path, clips: int, seed: int) -> list[Speech]:
    """So many recordings of a language, drawn, taken apart; of dialogues, not of effects."""
    paths = sorted(p for p in folder.rglob("*.ogg") if "sound" in p.parts)
    found = []
    for index in output.generator(folder.name, seed).permutation(len(paths)):
        try:
            speech = take_apart(paths[index])
        except soundfile.LibsndfileError:
            continue
        if speech is not None:
            found.append(speech)
        if len(found) == clips:
            break
    return found


def play(score: Score, fonts: Sequence[SoundFont], rng: Generator, excerpt: float) -> Band | None:
    """Draw a version of a song and play all but its melody; ``None`` if one of them is nothing."""
    parts = tuple(replace(p, name=_VOICE) if p.name == "MELODY" else p for p in score.parts)
    version = arrange(replace(score, parts=parts), rng, excerpt, str(rng.choice(_PEDALS)))
    melody = [part for part in version.parts if part.name == _VOICE]
    others = [part for part in version.parts if part.name != _VOICE]
    if not melody or not others:
        return None
    font = choose_font(fonts, rng)
    sound = synthesise(others, font, version.duration, version.detune_cents)
    return Band(version, melody[0], font, effects.normalise(sound, 0.0))


def voice(band: Band, speech: Sequence[Speech], rng: Generator) -> Sound:
    """The melody sung, at times doubled, as a studio records it."""
    version = band.version
    notes = band.melody.notes
    sound = sing(notes, version.duration, speech, rng, version.detune_cents)
    sound = effects.normalise(sound, 0.0)
    if rng.random() < 0.8:
        sound = effects.compress(sound, rng, SAMPLE_RATE, rng.uniform(2, 6))
    if rng.random() < 0.8:
        sound = effects.equalise(sound, rng, SAMPLE_RATE, 4.0)
    sound = effects.band_limit(sound, 90.0, None, SAMPLE_RATE)
    if rng.random() < 0.3:
        late = [replace(n, start=n.start + rng.normal(0, 0.02)) for n in notes]
        cents = version.detune_cents + rng.normal(0, 6)
        second = sing(late, version.duration, speech, rng, cents)
        level = rng.uniform(0.3, 0.9) * np.std(sound) / (np.std(second) + 1e-9)
        sound = sound + np.float32(level) * second
    if rng.random() < 0.8:
        sound = effects.reverberate(sound, rng, SAMPLE_RATE, (0.4, 2.5), rng.uniform(0.05, 0.35))
    return sound


def instrument(band: Band, rng: Generator) -> tuple[Part, Sound]:
    """The melody on an instrument of the band's font."""
    program = choose_program(MELODY_FAMILIES, rng)
    part = replace(band.melody, program=program, levels=draw_levels(rng, 90, 115))
    sound = synthesise([part], band.font, band.version.duration, band.version.detune_cents)
    return part, sound


def mix(band: Band, melody: Sound, above_db: float) -> Sound:
    """The band and the melody, which is louder, where it sounds, by so many dB of power."""
    peak = np.max(np.abs(melody), initial=0.0)
    heard = melody[np.abs(melody) > 1e-3 * peak]
    level = np.sqrt(np.mean(heard**2)) if len(heard) else 1.0
    gain = np.std(band.sound) / (level + 1e-9) * 10 ** (above_db / 20)
    return band.sound + np.float32(gain) * melody


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder of .mid and .lab")
    parser.add_argument("--speech", type=Path, default=SPEECH, help="folder of a folder a language")
    parser.add_argument("--language", action="append", choices=LANGUAGES, help="both, if not given")
    parser.add_argument("--clips", type=int, default=150, help="recordings of each language")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--played", action="store_true", help="an instrument instead of a voice")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another version")
    parser.add_argument("--excerpt-seconds", type=float, default=100.0, help="0: whole songs")
    parser.add_argument("--limit", type=int, default=None, help="stop after so many songs")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Render every song of a folder that is not rendered yet; returns the exit code."""
    options = _parse(arguments)
    fonts = available()
    if not fonts:
        print("fluidsynth or its sound fonts are missing: run recipes/setup.sh", file=sys.stderr)
        return 3
    if not options.played and not has_world():
        print("pyworld is missing: run recipes/setup.sh", file=sys.stderr)
        return 3
    songs = songs_in(options.source)
    if not songs:
        print(f"no .mid with a .lab in {options.source}", file=sys.stderr)
        return 2
    speech: list[Speech] = []
    for language in () if options.played else options.language or LANGUAGES:
        fetch_speech(options.speech, language)
        speech += read_speech(options.speech / language, options.clips, 1)
    options.out.mkdir(parents=True, exist_ok=True)
    finished = output.done(options.out)
    for midi in songs[: options.limit]:
        stem = f"{midi.stem}-s{options.seed}"
        if stem in finished:
            continue
        rng = output.generator(f"{midi.stem} sung", options.seed)
        score = read_score(midi, midi.with_suffix(".lab"))
        band = play(score, fonts, rng, options.excerpt_seconds)
        if band is None:
            continue
        # Apart from the rest, so that sung and played songs differ in the melody alone.
        its = output.generator(f"{midi.stem} melody", options.seed)
        if options.played:
            part, melody = instrument(band, its)
        else:
            part, melody = replace(band.melody, program=-1), voice(band, speech, its)
        audio, applied = effects.produce(mix(band, melody, rng.uniform(-3, 6)), rng, SAMPLE_RATE)
        others = [p for p in band.version.parts if p.name != _VOICE]
        facts = {
            "song": midi.stem, "seed": options.seed, "licence": LICENCE, **band.version.facts,
            "parts": describe([part, *others]), "fonts": [band.font.name],
            "font_licences": [band.font.licence], "effects": applied,
            "voice": None if options.played else "dialogues of Fish Fillets (GPL-2)",
        }  # fmt: skip
        output.write(options.out, stem, audio, band.version.spans, facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
