from __future__ import annotations

import pytest

from chordtool.errors import UsageError
from chordtool.formats.lab import read_lab
from chordtool.segments import Segment
from chordtool.spelling import (
    FLATS,
    Key,
    Spelling,
    estimate_key,
    labels,
    spelling_for,
    spelling_in,
    symbols,
)
from chordtool.vocabulary import CHORD_TONES, LARGE, ROOTS, X_INDEX, class_of, parse

NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def song(*chords: str) -> list[Segment]:
    return [Segment(float(n), n + 1.0, chord) for n, chord in enumerate(chords)]


def pitch_class(name: str) -> int:
    return (NATURALS[name[0]] + name.count("#") - name.count("b")) % 12


@pytest.mark.parametrize(
    ("chords", "key"),
    [
        ("C G A:min F", "C major"),
        ("A:min F C G", "A minor"),
        ("F A# C:7 F", "F major"),
        ("D# G# A#:7 D#", "Eb major"),
        ("D:min G:min A:7 D:min", "D minor"),
        ("D:min7 G:7 C:maj7 C:maj7", "C major"),
        ("E A B:7 E", "E major"),
        ("A#:min F# C# G#", "Bb minor"),
        ("F# B C#:7 F#", "F# major"),
        ("D#:min B F# C#", "D# minor"),
        ("N C X F G C", "C major"),
    ],
)
def test_the_key_of_common_progressions_is_found(chords: str, key: str) -> None:
    found = estimate_key(song(*chords.split()))
    assert found is not None
    assert found.name == key


@pytest.mark.parametrize("chords", [(), ("N",), ("X", "N"), ("C:dim7", "C#:dim7", "D:dim7")])
def test_a_song_without_tonal_chords_has_no_key(chords: tuple[str, ...]) -> None:
    assert estimate_key(song(*chords)) is None


def test_longer_chords_weigh_more() -> None:
    held = [Segment(0.0, 60.0, "C"), Segment(60.0, 61.0, "F#"), Segment(61.0, 62.0, "C#")]
    found = estimate_key(held)
    assert found is not None
    assert found.name == "C major"


@pytest.mark.parametrize("shift", range(12))
def test_the_key_moves_with_the_song(shift: int) -> None:
    moved = song(*(ROOTS[(r + shift) % 12] for r in (0, 5, 7, 0)))
    found = estimate_key(moved)
    assert found is not None
    assert (found.tonic, found.mode) == (shift, "major")


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
def test_a_keys_scale_has_each_letter_once(tonic: int, mode: str) -> None:
    key = Key(tonic, mode)
    names = spelling_in(key).names
    assert [pitch_class(name) for name in names] == list(range(12))
    major = tonic if mode == "major" else tonic + 3
    scale = [names[(major + step) % 12] for step in (0, 2, 4, 5, 7, 9, 11)]
    assert sorted(name[0] for name in scale) == list("ABCDEFG")
    assert key.tonic_name == names[tonic]
    assert all(len(name) <= 2 for name in names)


def test_chromatic_chords_take_the_nearest_name() -> None:
    spelling = spelling_in(Key(0, "major"))
    assert spelling.names == ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


def test_a_leading_diminished_chord_is_spelt_from_below_what_it_leads_to() -> None:
    spelling = spelling_in(Key(0, "major"))
    assert symbols(song("C", "C#:dim7", "D:min"), spelling) == ["C", "C#dim7", "Dm"]
    assert symbols(song("E:min", "D#:dim7", "D:min"), spelling) == ["Em", "Ebdim7", "Dm"]
    assert labels(song("C", "C#:dim", "D:min"), spelling) == ["C", "C#:dim", "D:min"]


def test_a_wanted_spelling_holds_for_leading_diminished_chords_too() -> None:
    leading = song("C", "C#:dim", "D:min", "G#:dim7", "A:min")
    flats, sharps = (spelling_for(leading, wanted) for wanted in ("flats", "sharps"))
    assert symbols(leading, flats) == ["C", "Dbdim", "Dm", "Abdim7", "Am"]
    assert symbols(leading, sharps) == ["C", "C#dim", "Dm", "G#dim7", "Am"]
    assert labels(leading, flats)[1] == "Db:dim"


@pytest.mark.parametrize(
    ("label", "symbol"),
    [
        ("C", "C"),
        ("C:maj", "C"),
        ("A:min", "Am"),
        ("A#:min7", "Bbm7"),
        ("A#:maj7", "Bbmaj7"),
        ("D:7", "D7"),
        ("D:hdim7", "Dm7b5"),
        ("D:minmaj7", "Dm(maj7)"),
        ("G:maj6", "G6"),
        ("G:sus4(b7)", "Gsus4(b7)"),
        ("G:9", "G9"),
        ("C:maj(9)", "C(9)"),
        ("C:maj(*3,4)", "Csus4"),
        ("C:maj(*3)", "C(no3)"),
        ("C:(1,3,5)", "C"),
        ("C:(1,2,3)", "C(1,2,3)"),
        ("C:5", "C5"),
        ("C:aug7", "Caug7"),
        ("A:m7", "Am7"),
        ("Emin/4", "Em/A"),
        ("C/3", "C/E"),
        ("A#:maj/5", "Bb/F"),
        ("G#/3", "Ab/C"),
        ("C#:7/b7", "Db7/Cb"),
        ("G:maj/#4", "G/C#"),
        ("N", "N.C."),
        ("X", "?"),
    ],
)
def test_a_label_becomes_a_chord_symbol(label: str, symbol: str) -> None:
    assert Spelling(FLATS).symbol(label) == symbol


@pytest.mark.parametrize("names", [ROOTS, FLATS, spelling_in(Key(6, "major")).names])
def test_spelling_never_changes_the_chord(names: tuple[str, ...]) -> None:
    spelling = Spelling(names)
    assert [class_of(spelling.label(label)) for label in LARGE] == list(range(len(LARGE)))


@pytest.mark.parametrize("tonic", range(12))
def test_the_notes_are_those_of_the_chord(tonic: int) -> None:
    spelling = spelling_in(Key(tonic, "major"))
    for label in LARGE[:X_INDEX]:
        chord = parse(label)
        assert chord.root is not None
        expected = [(chord.root + tone) % 12 for tone in CHORD_TONES[chord.quality]]
        assert [pitch_class(note) for note in spelling.notes(label)] == expected, label


def test_the_notes_of_a_triad_are_a_third_apart_on_paper() -> None:
    spelling = spelling_in(Key(0, "major"))
    assert spelling.notes("D") == ("D", "F#", "A")
    assert spelling.notes("G#:min") == ("Ab", "Cb", "Eb")
    assert spelling.notes("N") == ()


def test_an_unknown_spelling_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        spelling_for((), "klingon")
    assert "sharps, flats, key" in caught.value.hint


def test_the_signature_holds_most_chord_time_of_most_annotated_songs(shared) -> None:
    """On every 20th song of POP909: its scale has more chord-tone time than any other scale."""
    files = sorted((shared / "music" / "pop909").glob("*.lab"))[::20]
    agreed = 0
    for file in files:
        segments = read_lab(file.read_bytes()).segments
        weights = [0.0] * 12
        for s in segments:
            chord = parse(s.label)
            if chord.root is not None:
                for tone in CHORD_TONES.get(chord.quality, ()):
                    weights[(chord.root + tone) % 12] += s.seconds
        coverage = [sum(weights[(k + t) % 12] for t in (0, 2, 4, 5, 7, 9, 11)) for k in range(12)]
        key = estimate_key(segments)
        assert key is not None
        major = key.tonic if key.mode == "major" else (key.tonic + 3) % 12
        agreed += coverage[major] == max(coverage)
    assert agreed >= 0.9 * len(files)
