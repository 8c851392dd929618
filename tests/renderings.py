"""What tests of the recipes share."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="recipes need scipy (the dev extra)")
pytest.importorskip("pretty_midi", reason="recipes need pretty_midi (the dev extra)")

from recipes import accompaniment, output
from recipes.arrangement import ChordSpan, Note, Part, to_midi
from recipes.render_midi import Score
from recipes.soundfonts import available

needs_fonts = pytest.mark.skipif(not available(), reason="fluidsynth or its sound fonts are absent")


def assert_tiles(spans: tuple[ChordSpan, ...], duration: float) -> None:
    assert spans[0].start == 0.0
    assert spans[-1].end == pytest.approx(duration, abs=1e-9)
    for span, after in itertools.pairwise(spans):
        assert span.end == after.start
    assert all(span.end > span.start for span in spans)


def made_score() -> Score:
    """Block chords under their labels, twenty seconds long."""
    spans, notes = [], []
    for k, label in enumerate(["C:maj", "A:min7", "F:maj/3", "G:7"] * 5):
        chord = accompaniment.harmony(label)
        assert chord is not None
        spans.append(ChordSpan(float(k), k + 1.0, label))
        notes += [Note(float(k), k + 0.95, p, 90) for p in accompaniment.voice(chord, 55)]
    return Score((Part("PIANO", 0, tuple(notes)),), tuple(spans), 0.5, 20.0)


def write_song(folder: Path, name: str = "one", *, melody: bool = False) -> None:
    """A song as MIDI with its labels."""
    score = made_score()
    if melody:
        notes = tuple(Note(float(k), k + 0.8, 67 + k % 5, 90) for k in range(20))
        score = replace(score, parts=(Part("MELODY", 0, notes), *score.parts))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.mid").write_bytes(to_midi(score.parts))
    (folder / f"{name}.lab").write_text(output.lab(score.spans))
