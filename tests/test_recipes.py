"""The recipes make labels that say what is heard, and make the same again from the same seed."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="recipes need scipy (the dev extra)")
pytest.importorskip("pretty_midi", reason="recipes need pretty_midi (the dev extra)")

import itertools

from chordtool.formats.lab import read_lab
from chordtool.vocabulary import CHORD_TONES, QUALITIES, parse
from recipes import accompaniment, effects, generate_songs, generate_takes, guitar, output
from recipes.arrangement import (
    ChordSpan,
    Note,
    Part,
    crop_notes,
    crop_pedal,
    crop_spans,
    stretch_notes,
    stretch_spans,
    tile,
    to_midi,
    transpose_notes,
    transpose_spans,
)
from recipes.soundfonts import SAMPLE_RATE, available
from tests.renderings import assert_tiles, needs_fonts

SPANS = (
    ChordSpan(0.0, 2.0, "N"),
    ChordSpan(2.0, 4.0, "C:maj/3"),
    ChordSpan(4.0, 6.0, "Ab:min7"),
    ChordSpan(6.0, 7.0, "X"),
    ChordSpan(7.0, 9.0, "G:sus4"),
)


@given(st.integers(-5, 6))
def test_transposition_moves_labels_and_notes_alike(semitones: int) -> None:
    moved = transpose_spans(SPANS, semitones)
    (note,) = transpose_notes([Note(2.0, 4.0, 60, 90)], semitones)
    chord = parse(moved[1].label)
    assert chord.root == note.pitch % 12
    assert chord.bass == 4, "an inversion stays an inversion"
    assert [s.label for s in moved if parse(s.label).root is None] == ["N", "X"]


@given(st.integers(0, 127), st.integers(-24, 24))
def test_transposed_notes_stay_playable(pitch: int, semitones: int) -> None:
    (note,) = transpose_notes([Note(0.0, 1.0, pitch, 90)], semitones)
    assert 0 <= note.pitch <= 127
    assert (note.pitch - pitch - semitones) % 12 == 0


@given(st.floats(0.85, 1.15))
def test_tempo_moves_labels_and_notes_alike(factor: float) -> None:
    spans = stretch_spans(SPANS, factor)
    notes = stretch_notes([Note(s.start, s.end, 60, 90) for s in SPANS], factor)
    assert [(s.start, s.end) for s in spans] == [(n.start, n.end) for n in notes]
    assert spans[-1].end == pytest.approx(9.0 * factor)


def test_an_excerpt_cuts_labels_and_notes_at_the_same_times() -> None:
    notes = [Note(s.start, s.end, 60 + k, 90) for k, s in enumerate(SPANS)]
    spans, cut = crop_spans(SPANS, 3.0, 6.5), crop_notes(notes, 3.0, 6.5)
    assert [(s.start, s.end) for s in spans] == [(n.start, n.end) for n in cut]
    assert [s.label for s in spans] == ["C:maj/3", "Ab:min7", "X"]


def test_an_excerpt_leaves_out_what_is_left_of_a_dying_note() -> None:
    assert crop_notes([Note(0.0, 3.1, 60, 90)], 3.0, 6.0) == ()


def test_a_pedal_held_at_the_cut_is_pressed_again() -> None:
    pedal = ((1.0, True), (2.0, False), (3.0, True), (5.0, False))
    assert crop_pedal(pedal, 4.0, 9.0) == ((0.0, True), (1.0, False))
    assert crop_pedal(pedal, 2.5, 4.0) == ((0.5, True),)


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0.01, 5)), max_size=8),
    st.floats(0.1, 25),
)
def test_tiling_covers_everything_without_overlaps(
    pieces: list[tuple[float, float]], duration: float
) -> None:
    spans = [ChordSpan(start, start + length, "C:maj") for start, length in pieces]
    tiled = tile(spans, duration)
    assert tiled[0].start == 0.0
    assert tiled[-1].end == duration
    assert all(a.end == b.start for a, b in itertools.pairwise(tiled))


def test_gaps_between_labels_become_no_chord() -> None:
    tiled = tile([ChordSpan(1.0, 2.0, "C:maj"), ChordSpan(3.0, 4.0, "F:maj")], 5.0)
    assert [s.label for s in tiled] == ["N", "C:maj", "N", "F:maj", "N"]


def test_midi_keeps_times_to_a_millisecond() -> None:
    notes = tuple(Note(0.3137 * k, 0.3137 * k + 0.2, 60, 90) for k in range(50))
    file = mido.MidiFile(file=io.BytesIO(to_midi([Part("p", 0, notes)])))
    now, starts = 0.0, []
    for message in file:
        now += message.time
        if message.type == "note_on" and message.velocity:
            starts.append(now)
    assert starts == pytest.approx([n.start for n in notes], abs=1e-3)


def test_a_key_struck_at_its_release_sounds_again() -> None:
    notes = (Note(0.0, 1.0, 60, 90), Note(1.0, 2.0, 60, 90))
    file = mido.MidiFile(file=io.BytesIO(to_midi([Part("p", 0, notes)])))
    kinds = [m.type for m in file if m.type.startswith("note_")]
    assert kinds == ["note_on", "note_off", "note_on", "note_off"]


def test_beats_fall_on_chord_changes_and_downbeats_where_most_chords_begin() -> None:
    spans = [ChordSpan(0.0, 0.5, "N")]
    spans += [ChordSpan(0.5 + 2 * k, 2.5 + 2 * k, "C:maj") for k in range(4)]
    bars = accompaniment.beat_grid(spans, 0.5, 4)
    assert [bar.beats for bar in bars] == [1, 4, 4, 4, 4]
    assert [bar.first for bar in bars] == [3, 0, 0, 0, 0]
    assert bars[1].time(1) == pytest.approx(1.0)


@pytest.mark.parametrize("pattern", accompaniment.COMPING)
def test_comping_plays_the_label_and_nothing_else(pattern: str) -> None:
    bars = accompaniment.beat_grid(SPANS, 0.5, 4)
    notes = accompaniment.comping(bars, pattern, np.random.default_rng(3))
    assert notes
    for note in notes:
        span = next(s for s in SPANS if s.start - 1e-9 <= note.start < s.end)
        chord = accompaniment.harmony(span.label)
        assert chord is not None, f"{span.label} has nothing to play"
        tones = {(chord.root + i) % 12 for i in chord.intervals}
        assert note.pitch % 12 in tones
        assert note.end <= span.end + 0.06


@pytest.mark.parametrize("pattern", accompaniment.BASS_PATTERNS)
def test_the_bass_begins_each_chord_with_the_labels_bass(pattern: str) -> None:
    bars = accompaniment.beat_grid(SPANS, 0.5, 4)
    notes = accompaniment.bass_line(bars, pattern, np.random.default_rng(3))
    basses = {2.0: 4, 4.0: 8, 7.0: 7}
    assert {n.start: n.pitch % 12 for n in notes if n.start in basses} == basses


@pytest.mark.parametrize("groove", accompaniment.GROOVES)
@pytest.mark.parametrize("metre", [3, 4])
def test_grooves_play_through_every_bar(groove: str, metre: int) -> None:
    bars = accompaniment.beat_grid([ChordSpan(0.0, 24.0, "N")], 0.5, metre)
    notes = accompaniment.drum_track(bars, groove, metre, np.random.default_rng(0))
    filled = {int(n.start // (0.5 * metre)) for n in notes}
    assert filled >= set(range(24 // metre))


def test_generated_songs_cover_all_qualities_and_roots() -> None:
    seconds: Counter[tuple[str, object]] = Counter()
    for number in range(40):
        version = generate_songs.compose(output.generator(f"song-{number:04d}", 1))
        assert_tiles(version.spans, version.duration)
        for span in version.spans:
            chord = parse(span.label)
            seconds["quality", chord.quality] += span.end - span.start
            seconds["root", chord.root] += span.end - span.start
    total = sum(v for (kind, _), v in seconds.items() if kind == "quality")
    assert all(seconds["quality", q] > 0.015 * total for q in QUALITIES)
    assert all(seconds["root", r] > 0.03 * total for r in range(12))
    assert 0.01 * total < seconds["quality", "N"] < 0.2 * total
    assert seconds["quality", "X"] == 0


def test_generated_chords_last_from_half_a_second_to_about_four() -> None:
    for number in range(10):
        version = generate_songs.compose(output.generator(f"song-{number:04d}", 1))
        lengths = [s.end - s.start for s in version.spans if s.label != "N"]
        assert min(lengths) > 0.45
        assert max(lengths) < 4.3


def test_takes_cover_all_qualities_and_prefer_the_common() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(
        parse(generate_takes.draw_take(rng, False, "standard", 0).label).quality
        for _ in range(1500)
    )
    assert set(drawn) == set(QUALITIES)
    assert drawn["maj"] > drawn["7"] > drawn["minmaj7"]


def test_a_take_is_labelled_from_its_first_string_to_its_end() -> None:
    rng = np.random.default_rng(1)
    takes = [generate_takes.draw_take(rng, False, "standard", 0) for _ in range(6)]
    spans = generate_takes.spans_of(takes, 0.0, 0.5)
    notes = generate_takes.notes_of(takes, rng)
    assert_tiles(tuple(spans), spans[-1].end)
    onsets = {round(n.start, 6) for n in notes}
    for span in spans:
        sounding = [n for n in notes if n.start < span.end - 1e-6 and n.end > span.start + 1e-6]
        if span.label == "N":
            assert not sounding
        else:
            assert round(span.start, 6) in onsets
            tones = {
                (parse(span.label).root or 0) + i for i in CHORD_TONES[parse(span.label).quality]
            }
            assert {n.pitch % 12 for n in sounding} <= {t % 12 for t in tones}


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("root", [0, 4, 8])
def test_guitar_voicings_hold_the_chord_over_its_root(root: int, quality: str) -> None:
    shapes = guitar.voicings(root, CHORD_TONES[quality], root)
    assert shapes
    tones = {(root + i) % 12 for i in CHORD_TONES[quality]}
    for shape in shapes:
        heard = {p % 12 for p in shape}
        assert heard <= tones
        assert tones - heard <= {(root + 7) % 12}
        assert shape[0] % 12 == root
        assert len(shape) <= 6


def test_the_first_e_minor_is_the_open_one() -> None:
    assert guitar.voicings(4, CHORD_TONES["min"], 4)[0] == (40, 47, 52, 55, 59, 64)


@pytest.mark.parametrize("pitch", [40, 55, 76])
def test_a_plucked_string_is_in_tune(pitch: int) -> None:
    instrument = guitar.Guitar(0.6, 6.0, 0.2, (100.0,), (0.0,) * 6)
    wanted = 440 * 2 ** ((pitch - 69) / 12)
    sound = guitar.pluck(wanted, 2.0, instrument, np.random.default_rng(0), SAMPLE_RATE)
    size = 2**19
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size))
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    near = (frequencies > 0.94 * wanted) & (frequencies < 1.06 * wanted)
    heard = frequencies[near][np.argmax(spectrum[near])]
    assert abs(1200 * np.log2(heard / wanted)) < 2


@pytest.mark.parametrize("seed", range(12))
def test_effects_do_not_move_an_attack(seed: int) -> None:
    rng = np.random.default_rng(seed)
    audio = np.zeros(3 * SAMPLE_RATE, np.float32)
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    audio[SAMPLE_RATE : 2 * SAMPLE_RATE] = 0.5 * np.sin(2 * np.pi * 440 * t)
    for processed in (
        effects.produce(audio, rng, SAMPLE_RATE)[0],
        effects.record_on_phone(audio, rng, SAMPLE_RATE),
    ):
        assert len(processed) == len(audio)
        assert np.all(np.isfinite(processed))
        assert np.max(np.abs(processed)) <= 1.0
        envelope = np.convolve(np.abs(processed), np.ones(110) / 110, "same")
        floor = envelope[SAMPLE_RATE // 2 : SAMPLE_RATE - 500].max()
        # Half-way, over the noise that was there before.
        level = 0.5 * (floor + envelope[SAMPLE_RATE : SAMPLE_RATE + 3000].max())
        onset = int(np.argmax(envelope[SAMPLE_RATE // 2 :] > level)) + SAMPLE_RATE // 2
        assert abs(onset - SAMPLE_RATE) / SAMPLE_RATE < 0.03


def test_an_interrupted_recording_counts_as_missing(tmp_path: Path) -> None:
    spans = (ChordSpan(0.0, 1.0, "C:maj"),)
    for stem in ("a", "b"):
        output.write(tmp_path, stem, np.zeros(SAMPLE_RATE, np.float32), spans, {"song": stem})
    (tmp_path / "b.lab").unlink()
    with (tmp_path / output.MANIFEST).open("a") as file:
        file.write('{"stem": "c", "sec')
    assert output.done(tmp_path) == {"a"}


def test_labels_are_written_as_tab_separated_lines_that_read_back(tmp_path: Path) -> None:
    text = output.lab(SPANS)
    assert text.splitlines()[1] == "2.0000\t4.0000\tC:maj/3"
    assert [s.label for s in read_lab(text.encode()).segments] == [s.label for s in SPANS]


@needs_fonts
def test_a_file_of_takes_fits_its_labels() -> None:
    rng = output.generator("takes-test", 1)
    audio, spans, _ = generate_takes.session(available(), rng)
    assert_tiles(tuple(spans), len(audio) / SAMPLE_RATE)
    assert np.isfinite(audio).all()
