"""Choose the guitar shapes that the page draws, out of the chord database chords-db.

    npm pack @tombatossals/chords-db && tar xzf *.tgz
    python -m recipes.guitar_shapes package/lib/guitar.json

writes ``chordtool/formats/html/guitar.json``: for each quality of the vocabulary and each root up
to three shapes, easiest first. A shape of the database that sounds a wrong bass is kept without
the strings below the root, if it is whole without them; chords of four tones may lack the fifth.

A shape is two words, frets and fingers from the low E string up: ``"x32010 032010"``. ``x`` is a
string that is not played, ``0`` an open one or no finger, ``a`` the tenth fret.
"""

from __future__ import annotations

import json
import sys
from itertools import dropwhile
from pathlib import Path
from typing import Any, Final

from chordtool.files import atomic_write
from chordtool.vocabulary import CHORD_TONES, ROOTS

TARGET: Final = Path(__file__).parents[1] / "chordtool" / "formats" / "html" / "guitar.json"
TUNING: Final = (40, 45, 50, 55, 59, 64)
"""MIDI notes of the open strings, low E to high E."""
SHAPES_PER_CHORD: Final = 3
_THEIR_QUALITIES: Final = {
    "min": "minor", "maj": "major", "min6": "m6", "maj6": "6", "min7": "m7", "minmaj7": "mmaj7",
    "hdim7": "m7b5",
}  # fmt: skip
_THEIR_ROOTS: Final = (
    "C", "Csharp", "D", "Eb", "E", "F", "Fsharp", "G", "Ab", "A", "Bb", "B",
)  # fmt: skip


def shapes(database: dict[str, Any], root: int, quality: str) -> list[tuple[list[int], list[int]]]:
    """Frets (-1 is not played) and fingers (0 is none), low E to high E, easiest shape first."""
    theirs = _THEIR_QUALITIES.get(quality, quality)
    (entry,) = (c for c in database["chords"][_THEIR_ROOTS[root]] if c["suffix"] == theirs)
    found: list[tuple[list[int], list[int]]] = []
    for position in entry["positions"]:
        frets = [f if f <= 0 else f + position["baseFret"] - 1 for f in position["frets"]]
        muted = _from_root(frets, root)
        fingers = [n if f > 0 else 0 for n, f in zip(position["fingers"], muted, strict=True)]
        shape = (muted, fingers)
        strings = sum(f >= 0 for f in muted)
        if strings > 3 and _is_whole(_tones(muted, root), quality) and shape not in found:
            found.append(shape)
    return sorted(found, key=lambda shape: _difficulty(shape[0]))[:SHAPES_PER_CHORD]


def _is_whole(tones: set[int], quality: str) -> bool:
    chord = set(CHORD_TONES[quality])
    return tones <= chord and chord - tones <= ({7} if len(chord) == 4 else set())


def _from_root(frets: list[int], root: int) -> list[int]:
    """The shape without the strings below its lowest root."""
    sounding = zip(TUNING, frets, strict=True)
    kept = list(dropwhile(lambda s: s[1] < 0 or (s[0] + s[1] - root) % 12 != 0, sounding))
    return [-1] * (len(frets) - len(kept)) + [fret for _, fret in kept]


def _tones(frets: list[int], root: int) -> set[int]:
    return {(t + f - root) % 12 for t, f in zip(TUNING, frets, strict=True) if f >= 0}


def _difficulty(frets: list[int]) -> float:
    """High on the neck, stretched, few strings, or muted ones between others: harder."""
    stopped = [f for f in frets if f > 0]
    sounding = [n for n, f in enumerate(frets) if f >= 0]
    inner_mutes = sounding[-1] - sounding[0] + 1 - len(sounding)
    highest = max(stopped, default=0)
    stretch = highest - min(stopped, default=0)
    open_strings = sum(f == 0 for f in frets)
    return (
        highest + 2 * max(0, stretch - 2) + 4 * inner_mutes + (6 - len(sounding)) - open_strings / 2
    )


def _word(numbers: list[int]) -> str:
    return "".join("x" if n < 0 else "0123456789abcdefghi"[n] for n in numbers)


def main(source: str) -> None:
    """Write the file."""
    database = json.loads(Path(source).read_text("utf-8"))
    chosen = {
        quality: [
            [
                f"{_word(frets)} {_word(fingers)}"
                for frets, fingers in shapes(database, root, quality)
            ]
            for root in range(len(ROOTS))
        ]
        for quality in CHORD_TONES
    }
    with atomic_write(TARGET, "w") as file:
        file.write(json.dumps(chosen, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
