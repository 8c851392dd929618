"""The vocabulary: which class index is which chord, and where any Harte label falls in it.

Two vocabularies exist:

- ``large``, 170 classes: ``14 * root + quality`` for 12 roots and 14 qualities, then 168 = ``X``
  (a chord outside the vocabulary) and 169 = ``N`` (no chord). The layout is that of the
  large-vocabulary BTC (Park et al., ISMIR 2019).
- ``majmin``, 25 classes: ``2 * root``, one more for minor, and 24 = ``N``.

Labels follow Harte's syntax (Harte et al., ISMIR 2005) and are reduced as
``mir_eval.chord.split(label, reduce_extended_chords=True)`` reduces them: ``C:9`` is ``C:7``,
added notes and the bass do not change the class.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chordtool.errors import LabelError
from chordtool.types import Logits

ROOTS: Final = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
"""Root names in class order, spelt with sharps."""

CHORD_TONES: Final[dict[str, tuple[int, ...]]] = {
    "min": (0, 3, 7),
    "maj": (0, 4, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "min6": (0, 3, 7, 9),
    "maj6": (0, 4, 7, 9),
    "min7": (0, 3, 7, 10),
    "minmaj7": (0, 3, 7, 11),
    "maj7": (0, 4, 7, 11),
    "7": (0, 4, 7, 10),
    "dim7": (0, 3, 6, 9),
    "hdim7": (0, 3, 6, 10),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
}
"""Semitones above the root of each quality, in class order."""

QUALITIES: Final = tuple(CHORD_TONES)
"""The 14 qualities in class order."""

N_CLASSES: Final = 170
X_INDEX: Final = 168
N_INDEX: Final = 169
MASKED: Final = -1
"""Stands for a label that a vocabulary cannot say; left out of losses and scores."""

_REDUCTIONS: Final = {
    "maj9": "maj7",
    "maj11": "maj7",
    "maj13": "maj7",
    "min9": "min7",
    "min11": "min7",
    "min13": "min7",
    "minmaj9": "minmaj7",
    "aug7": "aug",
    "9": "7",
    "b9": "7",
    "#9": "7",
    "11": "7",
    "#11": "7",
    "13": "7",
    "b13": "7",
}
_MENDED: Final = {
    "4": "sus4",
    "2": "sus2",
    "6": "maj6",
    "sus": "sus4",
    "m": "min",
    "M": "maj",
    "m7": "min7",
    "M7": "maj7",
    "m6": "min6",
    "mmaj7": "minmaj7",
    "dim7b": "dim7",
    "m7b5": "hdim7",
    "min7b5": "hdim7",
    "+": "aug",
}
_NATURALS: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_DEGREES: Final = {
    1: 0, 2: 2, 3: 4, 4: 5, 5: 7, 6: 9, 7: 11, 8: 12, 9: 14, 10: 16, 11: 17, 12: 19, 13: 21,
}  # fmt: skip
_BY_TONES: Final = {frozenset(tones): quality for quality, tones in CHORD_TONES.items()}
_MAX_LABEL: Final = 128
_LABEL = re.compile(
    r"(?P<root>[A-G][b#]*)"
    r"(?::?(?P<quality>(?:[A-Za-z+]|[b#]?\d)[\w#+]*))?"
    r"(?::?\((?P<degrees>[\w#*, \t]*)\))?"
    r"(?:/(?P<bass>[b#]*\d{1,2}))?"
)
_DEGREE = re.compile(r"(?P<omitted>\*?)(?P<accidentals>[b#]*)(?P<number>\d{1,2})")


@dataclass(frozen=True, slots=True)
class Chord:
    """A parsed Harte label.

    ``root`` is a pitch class 0..11, or ``None`` for ``N`` and ``X`` (``quality`` tells which).
    ``quality`` is one of :data:`QUALITIES`, or ``"N"``, or ``"X"`` where none of them fits.
    ``bass`` is the interval of the bass above the root in semitones, 0..11.
    ``degrees`` keeps the list in brackets as written.
    """

    root: int | None
    quality: str
    bass: int = 0
    degrees: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def parse(label: str) -> Chord:
    """Parse a Harte label.

    Spellings that are common in the wild are mended first: ``C:4`` is ``C:sus4``, ``C:6`` is
    ``C:maj6``, a missing colon (``Emin/4``, ``A7/3``) is put in.

    Raises:
        LabelError: the label is not a chord.
    """
    text = label.strip()
    if text in ("N", "N.C.", "NC"):
        return Chord(None, "N")
    if text == "X":
        return Chord(None, "X")
    match = _LABEL.fullmatch(text) if len(text) <= _MAX_LABEL else None
    if match is None:
        raise _not_a_chord(label)
    root = _pitch_class(match["root"])
    degrees = tuple(d.strip() for d in (match["degrees"] or "").split(",") if d.strip())
    shorthand = match["quality"]
    if shorthand is None:
        shorthand = "" if match["degrees"] is not None else "maj"
    shorthand = _MENDED.get(shorthand, shorthand)
    try:
        bass = _interval(match["bass"]) % 12 if match["bass"] else 0
        quality = _quality(_REDUCTIONS.get(shorthand, shorthand), degrees)
    except ValueError:
        raise _not_a_chord(label) from None
    return Chord(root, quality, bass, degrees)


def _not_a_chord(label: str) -> LabelError:
    shown = label if len(label) <= 40 else label[:37] + "..."
    return LabelError(
        f"{shown!r} is not a chord label.",
        hint="Harte's syntax is root:quality/bass, for example C, A:min7 or F#:maj/3.",
    )


def _pitch_class(root: str) -> int:
    return (_NATURALS[root[0]] + root.count("#") - root.count("b")) % 12


def _interval(degree: str) -> int:
    match = _DEGREE.fullmatch(degree)
    if match is None or match["omitted"] or int(match["number"]) not in _DEGREES:
        raise ValueError(degree)
    shift = match["accidentals"].count("#") - match["accidentals"].count("b")
    return _DEGREES[int(match["number"])] + shift


def _quality(shorthand: str, degrees: tuple[str, ...]) -> str:
    """The class quality of a shorthand and a degree list, or ``"X"``."""
    omitted = {_interval(d[1:]) % 12 for d in degrees if d.startswith("*")}
    added = {_interval(d) % 12 for d in degrees if not d.startswith("*")}
    if shorthand == "":
        return _BY_TONES.get(frozenset(added | {0}), "X")
    if shorthand in ("1", "5"):
        return "X"
    if shorthand not in CHORD_TONES:
        raise ValueError(shorthand)
    if omitted & set(CHORD_TONES[shorthand]):
        # What is left may still be a chord of the vocabulary: C:maj(*3,4) is a sus4.
        return _BY_TONES.get(frozenset((set(CHORD_TONES[shorthand]) - omitted) | added), "X")
    return shorthand


_UNKNOWN_TO_MIR_EVAL: Final = ("maj11", "minmaj9", "aug7", "b9", "#9", "#11", "b13")
"""Shorthands that :func:`parse` knows and ``mir_eval.chord.encode`` does not."""


@lru_cache(maxsize=4096)
def mended(label: str) -> str:
    """The label in strict Harte syntax, with shorthands that ``mir_eval`` can encode.

    What :func:`parse` mends is written out: ``Emin/4`` becomes ``E:min/4``, ``C:6`` ``C:maj6``.
    The few extended chords that ``mir_eval`` cannot encode lose their upper voices: ``C:maj11``
    becomes ``C:maj7``. A label that needs no mending stays as it is.

    Raises:
        LabelError: the label is not a chord.
    """
    chord = parse(label)
    if chord.root is None:
        return chord.quality
    match = _LABEL.fullmatch(label.strip())
    assert match is not None, "parse has accepted it"
    shorthand = _MENDED.get(match["quality"] or "", match["quality"] or "")
    if shorthand in _UNKNOWN_TO_MIR_EVAL:
        shorthand = _REDUCTIONS[shorthand]
    degrees = ",".join(_strict_degree(degree) for degree in chord.degrees)
    if not (shorthand or degrees) and match["degrees"] is not None:
        degrees = "1"  # a root alone, where the name of a root alone would be a major chord
    text = match["root"][0] + _strict_accidentals(match["root"][1:])
    if shorthand or degrees:
        text += f":{shorthand}" + (f"({degrees})" if degrees else "")
    return text + (f"/{_strict_degree(match['bass'])}" if match["bass"] else "")


def _strict_degree(degree: str) -> str:
    match = _DEGREE.fullmatch(degree)
    assert match is not None, "parse has accepted it"
    accidentals = _strict_accidentals(match["accidentals"])
    return f"{match['omitted']}{accidentals}{int(match['number'])}"


def _strict_accidentals(accidentals: str) -> str:
    shift = accidentals.count("#") - accidentals.count("b")
    return "#" * shift + "b" * -shift


def class_of(label: str) -> int:
    """Index of a Harte label among the 170 classes.

    Power chords, single notes and chords of no known quality are ``X`` (168).

    Raises:
        LabelError: the label is not a chord.
    """
    chord = parse(label)
    if chord.root is None:
        return N_INDEX if chord.quality == "N" else X_INDEX
    if chord.quality == "X":
        return X_INDEX
    return len(QUALITIES) * chord.root + QUALITIES.index(chord.quality)


_MAJOR: Final = frozenset({"maj", "maj6", "maj7", "7"})
_MINOR: Final = frozenset({"min", "min6", "min7", "minmaj7"})


def majmin_class_of(label: str) -> int:
    """Index of a Harte label among the 25 classes, or :data:`MASKED`.

    As ``mir_eval.chord.majmin`` has it: chords with a perfect fifth and a major or minor third
    count, whatever lies above; dim, aug, sus and ``X`` are masked.

    Raises:
        LabelError: the label is not a chord.
    """
    chord = parse(label)
    if chord.root is None:
        return 24 if chord.quality == "N" else MASKED
    if chord.quality in _MAJOR:
        return 2 * chord.root
    if chord.quality in _MINOR:
        return 2 * chord.root + 1
    return MASKED


def label_of(index: int) -> str:
    """Harte label of one of the 170 classes; major is the bare root.

    Raises:
        LabelError: the index is not 0..169.
    """
    if index == N_INDEX:
        return "N"
    if index == X_INDEX:
        return "X"
    if not 0 <= index < X_INDEX:
        raise LabelError(f"Class {index} is not in the vocabulary.", hint="It has classes 0..169.")
    root, quality = divmod(index, len(QUALITIES))
    return ROOTS[root] if QUALITIES[quality] == "maj" else f"{ROOTS[root]}:{QUALITIES[quality]}"


LARGE: Final = tuple(label_of(i) for i in range(N_CLASSES))
"""The 170 labels in class order."""

MAJMIN: Final = (*(r + q for r in ROOTS for q in ("", ":min")), "N")
"""The 25 labels in class order."""

VOCABULARIES: Final[dict[str, tuple[str, ...]]] = {"large": LARGE, "majmin": MAJMIN}
"""Labels in class order, by name of the vocabulary."""


def transpose(label: str, semitones: int) -> str:
    """Move a Harte label by semitones; bass and degrees are relative and stay as written.

    Raises:
        LabelError: the label is not a chord.
    """
    if parse(label).root is None:
        return label.strip()
    text = label.strip()
    end = 1 + len(re.match(r"[b#]*", text[1:])[0])  # type: ignore[index]
    return ROOTS[(_pitch_class(text[:end]) + semitones) % 12] + text[end:]


def transpose_class(index: NDArray[np.integer], semitones: int) -> NDArray[np.int16]:
    """Move classes of the large vocabulary by semitones; ``X``, ``N`` and masked ones stay.

    Args:
        index: class indices of any shape, -1..169.
        semitones: any integer.
    """
    step = len(QUALITIES) * semitones
    pitched = (index >= 0) & (index < X_INDEX)
    return np.where(pitched, (index + step) % X_INDEX, index).astype(np.int16)


# Where each of the 170 classes goes when only major and minor may be said. A diminished chord
# has a minor third, an augmented one a major third; a suspended chord mostly stands for, and
# resolves to, the major chord on its root. X may be anything and votes for nothing.
_TO_MAJOR: Final = _MAJOR | {"aug", "sus2", "sus4"}


@lru_cache(maxsize=1)
def majmin_of_large() -> NDArray[np.int16]:
    """The 25-class index for each of the 170, :data:`MASKED` for ``X``; int16 [170]."""
    table = np.full(N_CLASSES, MASKED, np.int16)
    for index in range(X_INDEX):
        root, quality = divmod(index, len(QUALITIES))
        table[index] = 2 * root + (QUALITIES[quality] not in _TO_MAJOR)
    table[N_INDEX] = 24
    return table


def reduce_logits(logits: Logits) -> Logits:
    """Logits of the 25 classes from those of the 170, by adding probabilities.

    Args:
        logits: float32 [frames, 170].

    Returns:
        float32 [frames, 25].
    """
    peak = logits.max(axis=1, keepdims=True, initial=-np.inf)
    probability = np.exp(logits - peak)
    pooled = np.zeros((len(logits), len(MAJMIN)), np.float32)
    table = majmin_of_large()
    for target in range(len(MAJMIN)):
        pooled[:, target] = probability[:, table == target].sum(axis=1)
    reduced: Logits = (np.log(np.maximum(pooled, 1e-30)) + peak).astype(np.float32)
    return reduced
