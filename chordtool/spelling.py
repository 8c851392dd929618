"""Key and spelling: what a musician calls the pitch classes that the vocabulary numbers.

The vocabulary spells every root with sharps. A song in F has a ``Bb`` and not an ``A#``, so
formats for people spell by the key, which is estimated from the chords themselves:

- *Key*: the Krumhansl-Schmuckler algorithm with Temperley's profiles (Temperley, "What's Key
  for Key?", Music Perception 17(1), 1999). Each chord adds its tones, weighted by its length;
  the key whose profile correlates best with that distribution wins. Major and relative minor
  share a signature: of the two, the one whose tonic chord sounds longer is named, and the one
  whose tonic chord comes first if they sound as long. One key is estimated for a song. The
  profiles know no blues: three dominant sevenths on I, IV and V are taken for the key of IV.
- *Spelling*: the line of fifths (Temperley, *The Cognition of Basic Musical Structures*, 2001,
  ch. 5). Of the names of a pitch class, the one nearest the key is taken, so that in C the
  chromatic roots are Db Eb F# Ab Bb. A diminished chord that resolves up a semitone is spelt as
  the leading note of what follows: C#dim before D minor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chordtool.errors import UsageError
from chordtool.segments import Segment
from chordtool.vocabulary import CHORD_TONES, ROOTS, Chord, parse

SPELLINGS: Final = ("default", "sharps", "flats", "key")
"""What a caller may ask for; ``"default"`` is a format's own."""

FLATS: Final = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
"""Root names in class order, spelt with flats."""

_MAJOR_PROFILE: Final = (5.0, 2.0, 3.5, 2.0, 4.5, 4.0, 2.0, 4.5, 2.0, 3.5, 1.5, 4.0)
_MINOR_PROFILE: Final = (5.0, 2.0, 3.5, 4.5, 2.0, 4.0, 2.0, 4.5, 3.5, 2.0, 1.5, 4.0)
# The major key of each signature, C = 0, in fifths above C. Of the two signatures with six
# accidentals, the sharps: guitars play F# more than Gb.
_SIGNATURES: Final = (0, -5, 2, -3, 4, -1, 6, 1, -4, 3, -2, 5)
_LETTERS: Final = "FCGDAEB"
_ALPHABET: Final = "CDEFGAB"
_NATURALS: Final = (0, 2, 4, 5, 7, 9, 11)
_LETTER_STEPS: Final = {0: 0, 2: 1, 3: 2, 4: 2, 5: 3, 6: 4, 7: 4, 8: 4, 9: 5, 10: 6, 11: 6}
"""Letters above the root of each interval of the vocabulary's chords, in semitones."""


@dataclass(frozen=True, slots=True)
class Key:
    """A major or minor key."""

    tonic: int
    """Pitch class, 0..11."""
    mode: str
    """``"major"`` or ``"minor"``."""
    strength: float = 1.0
    """Correlation of the chords' tones with the profile of the signature's best key, -1..1."""

    @property
    def fifths(self) -> int:
        """The signature: its major key in fifths above C, -5..6."""
        return _SIGNATURES[(self.tonic + (3 if self.mode == "minor" else 0)) % 12]

    @property
    def tonic_name(self) -> str:
        """For example ``"Bb"``."""
        return _name(self.fifths + (3 if self.mode == "minor" else 0))

    @property
    def name(self) -> str:
        """For example ``"Bb major"``."""
        return f"{self.tonic_name} {self.mode}"

    def transposed(self, semitones: int) -> Key:
        """The same key, moved."""
        return Key((self.tonic + semitones) % 12, self.mode, self.strength)


def estimate_key(segments: Sequence[Segment]) -> Key | None:
    """The key that fits the chords best, ``None`` if no chord of known quality sounds.

    Raises:
        LabelError: a label is not a chord.
    """
    chords = [(parse(s.label), s.seconds) for s in segments]
    weights = np.zeros(12)
    for chord, seconds in chords:
        if chord.root is not None:
            for tone in CHORD_TONES.get(chord.quality, ()):
                weights[(chord.root + tone) % 12] += seconds
    if np.ptp(weights) == 0:
        return None
    strength, mode, tonic = max(
        (float(np.corrcoef(weights, np.roll(profile, tonic))[0, 1]), mode, tonic)
        for mode, profile in (("major", _MAJOR_PROFILE), ("minor", _MINOR_PROFILE))
        for tonic in range(12)
    )
    major = tonic if mode == "major" else (tonic + 3) % 12
    return _relative(chords, major, strength)


def _relative(chords: Sequence[tuple[Chord, float]], major: int, strength: float) -> Key:
    """The major key or its relative minor, whichever has the longer tonic chord."""
    seconds = {"major": 0.0, "minor": 0.0}
    first = ""
    for chord, length in chords:
        third = CHORD_TONES[chord.quality][1] if chord.quality in CHORD_TONES else 0
        for mode, tonic, its_third in (("major", major, 4), ("minor", (major + 9) % 12, 3)):
            if chord.root == tonic and third == its_third:
                seconds[mode] += length
                first = first or mode
    if abs(seconds["major"] - seconds["minor"]) <= 0.01 * sum(seconds.values()):
        mode = first or "major"
    else:
        mode = max(seconds, key=lambda m: seconds[m])
    return Key(major if mode == "major" else (major + 9) % 12, mode, strength)


@dataclass(frozen=True, slots=True)
class Spelling:
    """Names for the twelve pitch classes."""

    names: tuple[str, ...]
    """By pitch class, 0..11."""
    leading: bool = True
    """Spell a diminished chord that resolves up a semitone as the leading note of what follows."""

    def label(self, label: str, *, following: str | None = None) -> str:
        """A Harte label with its root respelt; quality, degrees and bass stay as written.

        Args:
            label: a Harte label.
            following: the label that follows it, if one does.

        Raises:
            LabelError: a label is not a chord.
        """
        chord = parse(label)
        if chord.root is None:
            return label.strip()
        return self._root(chord.root, chord.quality, following) + _rest(label)

    def symbol(self, label: str, *, following: str | None = None) -> str:
        """The label as lead sheets write it: ``"A:min7"`` is ``Am7``, ``"C/3"`` is ``C/E``.

        ``N`` is ``N.C.``, ``X`` is ``?``. ASCII only.

        Raises:
            LabelError: a label is not a chord.
        """
        chord = parse(label)
        if chord.root is None:
            return "N.C." if chord.quality == "N" else "?"
        root = self._root(chord.root, chord.quality, following)
        quality, _, bass = _rest(label).partition("/")
        symbol = root + _suffix(quality.lstrip(":"), chord)
        if chord.bass:
            steps = int(bass.lstrip("b#")) - 1
            symbol += "/" + self._at_letter(root, steps, (chord.root + chord.bass) % 12)
        return symbol

    def notes(self, label: str, *, following: str | None = None) -> tuple[str, ...]:
        """Names of a chord's tones from the root up, none for ``N``, ``X`` and unknown qualities.

        Each is on the letter that its place in the chord asks for: the third of D is F#, whatever
        the key; names with two accidentals are replaced.

        Raises:
            LabelError: a label is not a chord.
        """
        chord = parse(label)
        if chord.root is None or chord.quality not in CHORD_TONES:
            return ()
        root = self._root(chord.root, chord.quality, following)
        return tuple(
            self._at_letter(root, _LETTER_STEPS[tone], (chord.root + tone) % 12)
            for tone in CHORD_TONES[chord.quality]
        )

    def _root(self, root: int, quality: str, following: str | None) -> str:
        name = self.names[root]
        if not self.leading or following is None or quality not in ("dim", "dim7", "hdim7"):
            return name
        target = parse(following).root
        if target is None or (target - root) % 12 != 1:
            return name
        leading = _name(_fifths_of(self.names[target]) + 5)
        return leading if _is_plain(leading) else name

    def _at_letter(self, root: str, steps: int, pitch_class: int) -> str:
        """A pitch class as the letter ``steps`` above a root, if it has a name there."""
        letter = (_ALPHABET.index(root[0]) + steps) % 7
        shift = (pitch_class - _NATURALS[letter] + 6) % 12 - 6
        if abs(shift) > 1:
            return self.names[pitch_class]
        return _ALPHABET[letter] + ("", "#", "b")[shift]


def spelling_in(key: Key | None) -> Spelling:
    """The names that are nearest a key on the line of fifths; sharps if there is no key."""
    if key is None:
        return Spelling(ROOTS)
    names = [""] * 12
    for fifths in range(key.fifths - 5, key.fifths + 7):
        diatonic = key.fifths - 1 <= fifths <= key.fifths + 5
        name = _name(fifths)
        if not diatonic and not _is_plain(name):
            # Chord charts have no Fb, B# or double flats outside the scale.
            name = next(n for n in map(_name, (fifths + 12, fifths - 12)) if _is_plain(n))
        names[7 * fifths % 12] = name
    return Spelling(tuple(names))


def spelling_for(segments: Sequence[Segment], wanted: str, *, default: str = "key") -> Spelling:
    """The names that a caller asked for.

    Args:
        segments: where the key comes from.
        wanted: one of :data:`SPELLINGS`.
        default: what ``"default"`` means here.

    Raises:
        UsageError: there is no such spelling.
        LabelError: a label is not a chord.
    """
    chosen = default if wanted == "default" else wanted
    if chosen == "sharps":
        return Spelling(ROOTS, leading=False)
    if chosen == "flats":
        return Spelling(FLATS, leading=False)
    if chosen == "key":
        return spelling_in(estimate_key(segments))
    raise UsageError(
        f"There is no spelling named {wanted!r}.", hint=f"Known ones: {', '.join(SPELLINGS)}."
    )


def followed(segments: Sequence[Segment]) -> Iterator[tuple[Segment, str | None]]:
    """Each segment with the label of the next one; the last with ``None``."""
    for n, segment in enumerate(segments, 1):
        yield segment, segments[n].label if n < len(segments) else None


def symbols(segments: Sequence[Segment], spelling: Spelling) -> list[str]:
    """Chord symbols of segments in time order, each spelt with an eye on the next."""
    return [spelling.symbol(s.label, following=after) for s, after in followed(segments)]


def labels(segments: Sequence[Segment], spelling: Spelling) -> list[str]:
    """Harte labels of segments in time order, each spelt with an eye on the next."""
    return [spelling.label(s.label, following=after) for s, after in followed(segments)]


_SYMBOLS: Final = {
    "maj": "", "min": "m", "dim": "dim", "aug": "aug", "sus2": "sus2", "sus4": "sus4",
    "maj6": "6", "min6": "m6", "7": "7", "maj7": "maj7", "min7": "m7", "minmaj7": "m(maj7)",
    "dim7": "dim7", "hdim7": "m7b5", "9": "9", "maj9": "maj9", "min9": "m9",
    "minmaj9": "m(maj9)", "aug7": "aug7", "11": "11", "maj11": "maj11", "min11": "m11", "13": "13",
    "maj13": "maj13", "min13": "m13", "b9": "7b9", "#9": "7#9", "#11": "7#11", "b13": "7b13",
    "5": "5", "1": "(1)",
}  # fmt: skip


def _suffix(written: str, chord: Chord) -> str:
    """What follows the root in a chord symbol."""
    shorthand = written.partition("(")[0].rstrip(":")
    if not shorthand and chord.degrees:
        # The chord is its list of degrees: either they make a known quality, or they are shown.
        return _SYMBOLS.get(chord.quality, f"({_degrees(chord)})")
    omits = any(degree.startswith("*") for degree in chord.degrees)
    if omits and chord.quality != shorthand:
        # Leaving a tone out made another chord of it: C:maj(*3,4) is a sus4.
        known = _SYMBOLS.get(chord.quality)
        return known if known is not None else f"{_symbol(shorthand)}({_degrees(chord)})"
    symbol = _SYMBOLS.get(shorthand, _SYMBOLS.get(chord.quality, ""))
    return f"{symbol}({_degrees(chord)})" if chord.degrees else symbol


def _symbol(shorthand: str) -> str:
    return _SYMBOLS.get(shorthand, shorthand)


def _degrees(chord: Chord) -> str:
    return ",".join(d.replace("*", "no") for d in chord.degrees)


def _rest(label: str) -> str:
    """A label without its root."""
    text = label.strip()
    return re.sub(r"^[A-G][b#]*", "", text)


def _name(fifths: int) -> str:
    """Name of a note on the line of fifths: C is 0, G is 1, F is -1."""
    accidentals, letter = divmod(fifths + 1, 7)
    return _LETTERS[letter] + ("#" * accidentals if accidentals > 0 else "b" * -accidentals)


def _fifths_of(name: str) -> int:
    return _LETTERS.index(name[0]) - 1 + 7 * (name.count("#") - name.count("b"))


def _is_plain(name: str) -> bool:
    return len(name) <= 2 and name not in ("E#", "B#", "Cb", "Fb")
