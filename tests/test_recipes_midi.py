"""Songs rendered from MIDI: versions, pedals, audio that fits its labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("scipy", reason="recipes need scipy (the dev extra)")
pytest.importorskip("pretty_midi", reason="recipes need pretty_midi (the dev extra)")

from recipes import accompaniment, output
from recipes import render_midi as render
from recipes.arrangement import Levels, Note, Part, to_midi
from recipes.check_alignment import check
from recipes.soundfonts import SAMPLE_RATE, available
from tests.renderings import assert_tiles, made_score, needs_fonts, write_song


def test_the_same_name_and_seed_give_the_same_midi_bytes() -> None:
    first, again, other = (
        render.arrange(made_score(), output.generator("song", seed), 8.0) for seed in (1, 1, 2)
    )
    assert to_midi(first.parts, first.detune_cents) == to_midi(again.parts, again.detune_cents)
    assert first.spans == again.spans
    assert to_midi(first.parts, first.detune_cents) != to_midi(other.parts, other.detune_cents)


@pytest.mark.parametrize("seed", range(6))
def test_a_version_is_in_the_key_that_its_labels_say(seed: int) -> None:
    version = render.arrange(made_score(), output.generator("song", seed), 8.0)
    assert_tiles(version.spans, version.duration)
    (piano,) = [p for p in version.parts if p.name == "PIANO"]
    for span in version.spans:
        chord = accompaniment.harmony(span.label)
        assert chord is not None
        inside = [n for n in piano.notes if span.start - 1e-6 <= n.start < span.end - 0.05]
        tones = {(chord.root + i) % 12 for i in chord.intervals}
        assert {n.pitch % 12 for n in inside} <= tones


@pytest.mark.parametrize(
    ("mode", "low", "high"), [(render.STUCK, 0.6, 1), (render.MIXED, 0.1, 0.6)]
)
def test_a_stuck_pedal_goes_down_at_the_start_and_never_up(
    mode: str, low: float, high: float
) -> None:
    score = made_score()
    lifted = tuple((float(t), t % 2 == 0) for t in range(60))
    score = replace(score, parts=tuple(replace(p, pedal=lifted) for p in score.parts))
    pedals = [
        part.pedal
        for seed in range(12)
        for part in render.arrange(score, output.generator("song", seed), 8.0, mode).parts
        if part.name in {p.name for p in score.parts}
    ]
    stuck = sum(pedal == ((0.0, True),) for pedal in pedals)
    assert low * len(pedals) < stuck < high * len(pedals)
    assert mode == render.STUCK or () not in pedals, "the others keep the pianist's"


@needs_fonts
def test_rendering_is_resumable_and_labels_fit_the_audio(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    write_song(source)
    arguments = ["--source", str(source), "--out", str(out), "--excerpt-seconds", "12"]
    assert render.main(arguments) == 0
    audio = out / "one-s1.flac"
    info = soundfile.info(audio)
    assert (info.samplerate, info.channels, info.frames) == (22050, 1, 12 * 22050)
    assert info.subtype == "PCM_16"
    scores, shift = check(audio)
    assert np.argmax(scores) == 0
    assert abs(shift) <= 0.1
    written = audio.stat().st_mtime_ns
    assert render.main(arguments) == 0
    assert audio.stat().st_mtime_ns == written
    assert render.main([*arguments, "--seed", "2"]) == 0
    assert (out / "one-s2.flac").exists()
    assert len((out / output.MANIFEST).read_text().splitlines()) == 2


@needs_fonts
def test_a_range_of_the_songs_is_rendered(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name in ("a", "b", "c", "d"):
        write_song(source, name)
    arguments = ["--source", str(source), "--out", str(out), "--excerpt-seconds", "2"]
    assert render.main([*arguments, "--skip", "1", "--limit", "2"]) == 0
    assert sorted(path.name for path in out.glob("*.flac")) == ["b-s1.flac", "c-s1.flac"]


@needs_fonts
def test_audio_starts_where_the_notes_do() -> None:
    from recipes.soundfonts import SOUND_FONTS, synthesise

    part = Part("p", 0, (Note(0.5, 1.0, 69, 110),), Levels(reverb=0))
    for font in available():
        audio = synthesise([part], font, 1.5)
        envelope = np.abs(audio)
        onset = int(np.argmax(envelope > 0.2 * envelope.max())) / SAMPLE_RATE
        assert onset == pytest.approx(0.5, abs=0.02), font.name
    assert "musescore" not in " ".join(f.package for f in SOUND_FONTS)


def test_missing_songs_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not available():
        assert render.main(["--source", str(tmp_path), "--out", str(tmp_path)]) == 3
        assert "setup.sh" in capsys.readouterr().err
    else:
        assert render.main(["--source", str(tmp_path), "--out", str(tmp_path)]) == 2
        assert "no .mid" in capsys.readouterr().err
