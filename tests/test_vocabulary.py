from __future__ import annotations

from pathlib import Path

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordtool.errors import LabelError
from chordtool.vocabulary import (
    _MENDED,
    CHORD_TONES,
    LARGE,
    MAJMIN,
    MASKED,
    N_CLASSES,
    N_INDEX,
    QUALITIES,
    ROOTS,
    X_INDEX,
    class_of,
    label_of,
    majmin_class_of,
    mended,
    parse,
    reduce_logits,
    transpose,
    transpose_class,
)

MIR_EVAL_NAMES = {"minmaj7": "minmaj7", "": "maj"}
SHORTHANDS = [
    "maj", "min", "aug", "dim", "sus4", "sus2", "7", "maj7", "min7", "minmaj7", "maj6", "min6",
    "dim7", "hdim7", "maj9", "min9", "9", "min11", "11", "maj13", "min13", "13", "1", "5",
]  # fmt: skip


def labels_in(shared: Path) -> list[str]:
    folders = [shared / "music/pop909", shared / "audio/pop909-dev"]
    files = [file for folder in folders for file in sorted(folder.glob("*.lab"))]
    return sorted({line.split()[2] for file in files for line in file.read_text().splitlines()})


def mir_eval_quality(label: str) -> str:
    """The class quality that mir_eval's reading of a label amounts to."""
    if label in ("N", "X"):
        return label
    # mir_eval takes minmaj7 for an extended min; the vocabulary has it as a class of its own.
    _, quality, _, _ = mir_eval.chord.split(label, reduce_extended_chords=False)
    if quality != "minmaj7":
        _, quality, _, _ = mir_eval.chord.split(label, reduce_extended_chords=True)
    return "X" if quality in ("1", "5") else quality


def test_every_label_of_the_music_maps_as_mir_eval_reads_it(shared: Path) -> None:
    labels = labels_in(shared)
    assert len(labels) > 300
    for label in labels:
        chord = parse(label)
        assert chord.quality == mir_eval_quality(label), label
        root, _, bass = mir_eval.chord.encode(label)
        assert (chord.root if chord.root is not None else -1) == root, label
        if chord.root is not None:
            assert chord.bass == bass, label


@pytest.mark.parametrize("shorthand", SHORTHANDS)
@pytest.mark.parametrize("root", ["C", "Db", "F#", "Cb", "B#", "Abb"])
def test_every_shorthand_of_mir_eval_maps_as_it_reads_it(root: str, shorthand: str) -> None:
    label = f"{root}:{shorthand}"
    assert parse(label).quality == mir_eval_quality(label)
    assert parse(label).root == mir_eval.chord.encode(label)[0]


def test_every_label_of_the_music_maps_to_majmin_as_mir_eval_compares_it(shared: Path) -> None:
    for label in labels_in(shared):
        index = majmin_class_of(label)
        comparable = mir_eval.chord.majmin([label], [label])[0] >= 0
        # mir_eval keeps N in the comparison and leaves X out.
        assert (index != MASKED) == comparable, label
        if index != MASKED:
            assert mir_eval.chord.majmin([label], [MAJMIN[index]])[0] == 1, label


def test_every_class_has_the_tones_that_mir_eval_gives_its_label() -> None:
    for index in range(X_INDEX):
        root, tones, _ = mir_eval.chord.encode(LARGE[index])
        quality = QUALITIES[index % 14]
        assert root == index // 14
        assert tuple(np.flatnonzero(tones)) == CHORD_TONES[quality]


def test_labels_and_classes_are_one_to_one() -> None:
    assert len(LARGE) == N_CLASSES == len(set(LARGE))
    assert [class_of(label) for label in LARGE] == list(range(N_CLASSES))
    assert [majmin_class_of(label) for label in MAJMIN] == list(range(25))
    assert (LARGE[X_INDEX], LARGE[N_INDEX], MAJMIN[24]) == ("X", "N", "N")


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("Emin/4", "E:min/4"),
        ("A7/3", "A:7/3"),
        ("Bb7/5", "Bb:7/5"),
        ("C:4", "C:sus4"),
        ("C:6", "C:maj6"),
        ("G", "G:maj"),
        ("C/5", "C:maj/5"),
        ("C:(1,b3,5)", "C:min"),
        ("C:maj(*3,4)", "C:sus4"),
    ],
)
def test_common_spellings_are_mended(dirty: str, clean: str) -> None:
    assert class_of(dirty) == class_of(clean)


@pytest.mark.parametrize(("label", "expected"), [("C:9", "C:7"), ("C:11", "C:7"), ("C:13", "C:7"),
    ("C:7(#9)", "C:7"), ("C:minmaj7", "C:minmaj7"), ("C:5", "X"), ("C:1", "X"), ("X", "X"),
    ("N", "N"), ("C:maj(*3)", "X"), ("C:min(*7,9)", "C:min")])  # fmt: skip
def test_reductions(label: str, expected: str) -> None:
    assert label_of(class_of(label)) == expected


@pytest.mark.parametrize(
    "text", ["", "H", "c", "C:", "C:foo", "C::maj", "C:maj/", "C:maj/15", "C:(", "C:maj(99)",
             "C:(1,3", "N:maj", "C" * 1000, "C" + "#" * 500, "C:maj/3/5", "\x00", "C:min\n7",
             "C:(3,\n5)", "C:(3,\u20285)"]
)  # fmt: skip
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(LabelError):
        parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_chord_or_a_label_error(text: str) -> None:
    try:
        index = class_of(text)
    except LabelError:
        return
    assert 0 <= index < N_CLASSES
    assert -1 <= majmin_class_of(text) < 25


@given(st.text(alphabet="ABCDEFGNX#b:/()*,1234567maindsu9", max_size=14))
def test_text_that_looks_like_a_chord_is_one_or_a_label_error(text: str) -> None:
    try:
        parse(text)
    except LabelError:
        return
    transpose(text, 3)


@given(st.integers(0, N_CLASSES - 1), st.integers(-30, 30))
def test_transposing_labels_and_classes_agrees(index: int, semitones: int) -> None:
    moved = transpose_class(np.array([index]), semitones)[0]
    assert class_of(transpose(label_of(index), semitones)) == moved
    assert transpose_class(np.array([moved]), -semitones)[0] == index


def test_transposing_keeps_bass_and_degrees() -> None:
    assert transpose("Db:aug(b7)/3", 1) == "D:aug(b7)/3"
    assert transpose("N", 5) == "N"


def test_masked_classes_stay_masked_when_transposed() -> None:
    assert transpose_class(np.array([-1, X_INDEX, N_INDEX]), 4).tolist() == [-1, X_INDEX, N_INDEX]


def test_reducing_logits_adds_probabilities() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, N_CLASSES)).astype(np.float32) * 4
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    reduced = np.exp(reduce_logits(logits) - logits.max(axis=1, keepdims=True))
    assert reduced.shape == (50, 25)
    assert np.allclose(reduced.sum(axis=1), p.sum(axis=1) - p[:, X_INDEX], rtol=1e-4)
    c_major = [class_of(f"C:{q}") for q in ("maj", "maj6", "maj7", "7", "aug", "sus2", "sus4")]
    assert np.allclose(reduced[:, 0], p[:, c_major].sum(axis=1), rtol=1e-4)


def test_roots_are_spelt_with_sharps() -> None:
    assert ROOTS == ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def test_labels_of_the_music_need_no_mending(shared: Path) -> None:
    assert [label for label in labels_in(shared) if mended(label) != label] == []


@pytest.mark.parametrize(
    ("label", "strict"),
    [
        ("Emin/4", "E:min/4"),
        ("A7/3", "A:7/3"),
        ("C:6", "C:maj6"),
        ("C:4", "C:sus4"),
        ("Bb", "Bb"),
        ("N.C.", "N"),
        ("F(4,b6)", "F:(4,b6)"),
        ("C:maj11", "C:maj7"),
        ("C:aug7/3", "C:aug/3"),
        ("C:b9(13)", "C:7(13)"),
        ("C:7( b9, #11 )/b#3", "C:7(b9,#11)/3"),
        ("Cb#:maj(*03)", "C:maj(*3)"),
    ],
)
def test_mending_writes_out_what_parsing_mends(label: str, strict: str) -> None:
    assert mended(label) == strict


@pytest.mark.parametrize(("spelling", "strict"), _MENDED.items())
def test_every_spelling_that_is_mended_can_be_read(spelling: str, strict: str) -> None:
    assert parse(f"C:{spelling}") == parse(f"C:{strict}")


@given(
    st.from_regex(
        r"[A-G][b#]{0,3}:?"
        r"(maj|min|dim|aug|sus4|4|m7b5|maj11|b9|#11|b13|minmaj9|13|1|5|dim7|\+|)"
        r"(\(\*?[b#]{0,2}(1[0-3]|0?[1-9])(,\*?[b#]{0,2}(1[0-3]|[1-9])){0,2}\))?"
        r"(/[b#]{0,2}(1[0-3]|[1-9]))?",
        fullmatch=True,
    )
)
def test_mir_eval_understands_every_mended_label(label: str) -> None:
    try:
        chord = parse(label)
    except LabelError:
        return
    strict = mended(label)
    assert mended(strict) == strict
    assert parse(strict).quality == chord.quality
    assert parse(strict).bass == chord.bass
    for reduced in (False, True):
        root, _, bass = mir_eval.chord.encode(strict, reduce_extended_chords=reduced)
        assert (root, bass) == (chord.root, chord.bass)
