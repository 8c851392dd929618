"""Charts: ``chordpro`` for songbook programs, ``chart`` as plain text.

Both have bars if the beats are known (``--beats``); otherwise they are chords in their order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from chordtool.beats import Bar, bars_of
from chordtool.formats.base import Format, FormatOptions
from chordtool.formats.text import artist_of, chord_symbols, clock, title_of
from chordtool.segments import Transcription
from chordtool.spelling import estimate_key

_BARS_PER_LINE = 4
_CHORDS_PER_LINE = 4
_CELLS_PER_BAR = 4
"""Of the grid that ChordPro draws where nothing else is said, of four bars a line too."""
_CHORDPRO_SUFFIXES = {
    "m(maj7)": "mmaj7", "m(maj9)": "mmaj9", "(2)": "add2", "(4)": "add4", "(9)": "add9",
    "(11)": "add11", "m(9)": "madd9", "6(9)": "69", "m6(9)": "m69", "7(b9)": "7b9", "7(#9)": "7#9",
    "7(#11)": "7#11", "7(b13)": "7b13", "maj7(#11)": "maj7#11", "sus4(b7)": "7sus4",
    "sus2(b7)": "7sus2", "sus4(b7,9)": "9sus",
}  # fmt: skip
"""What follows the root in names that ChordPro knows, which have no brackets, by what we write."""


def write_chordpro(transcription: Transcription, options: FormatOptions) -> bytes:
    """A ChordPro 6 song: a grid if there are bars, chords over an empty line otherwise."""
    lines = [f"{{title: {_directive(title_of(transcription, options))}}}"]
    if artist := artist_of(transcription):
        lines.append(f"{{artist: {_directive(artist)}}}")
    key = estimate_key(transcription.segments)
    if key is not None:
        lines.append(f"{{key: {key.tonic_name}{'m' if key.mode == 'minor' else ''}}}")
    if options.capo:
        lines.append(f"{{capo: {options.capo}}}")
    lines += [f"{{duration: {clock(round(transcription.seconds))}}}", ""]
    symbols = [_known(symbol) for symbol in chord_symbols(transcription, options)]
    bars = bars_of(transcription)
    if bars:
        lines += [f"{{start_of_grid{_shape(bars)}}}", *_grid(bars, symbols), "{end_of_grid}"]
    else:
        for first in range(0, len(symbols), _CHORDS_PER_LINE):
            line = symbols[first : first + _CHORDS_PER_LINE]
            # A chord that has no name is an annotation, so that no diagram is looked for.
            lines.append(" ".join("[*?]" if s == "?" else f"[{s}]" for s in line))
    return ("\n".join(lines) + "\n").encode()


def _directive(text: str) -> str:
    """Text that does not end its directive early, nor start a substitution."""
    return text.replace("{", "(").replace("}", ")")


def _known(symbol: str) -> str:
    """A symbol as ChordPro knows it: what it takes for no chord, it does not transpose."""
    found = re.fullmatch(r"([A-G][b#]?)(.*?)((?:/[A-G][b#]?)?)", symbol)
    if found is None or found[2] not in _CHORDPRO_SUFFIXES:
        return symbol
    return found[1] + _CHORDPRO_SUFFIXES[found[2]] + found[3]


def _shape(bars: Sequence[Bar]) -> str:
    """The shape of the grid as its directive has it; none if every line fits the usual one."""
    lines = (bars[n : n + _BARS_PER_LINE] for n in range(0, len(bars), _BARS_PER_LINE))
    widest = max(sum(len(bar.chords) for bar in line) for line in lines)
    cells = math.ceil(widest / _BARS_PER_LINE)
    return f": {_BARS_PER_LINE}x{cells}" if cells > _CELLS_PER_BAR else ""


def write_chart(transcription: Transcription, options: FormatOptions) -> bytes:
    """Plain text: title, key, and the bars, or the chords with the time of each line's first."""
    heading = [title_of(transcription, options)]
    if artist := artist_of(transcription):
        heading.append(artist)
    key = estimate_key(transcription.segments)
    if key is not None:
        heading.append(f"Key: {key.name}")
    if options.capo:
        heading.append(f"Capo: fret {options.capo}")
    symbols = chord_symbols(transcription, options)
    bars = bars_of(transcription)
    if bars:
        body = [
            f"{clock(bars[n * _BARS_PER_LINE].start):>6}  {line}"
            for n, line in enumerate(_grid(bars, symbols))
        ]
    else:
        body = _lines(transcription, symbols)
    return ("\n".join([*heading, "", *body]) + "\n").encode()


def _grid(bars: Sequence[Bar], symbols: Sequence[str]) -> list[str]:
    """Lines of bars; a dot is a beat on which the chord goes on."""
    width = max((len(symbols[n]) for bar in bars for n in bar.chords), default=1)
    lines: list[str] = []
    before = -1
    cells: list[str] = []
    for number, bar in enumerate(bars):
        beats: list[str] = []
        for place, chord in enumerate(bar.chords):
            # Each line says anew where it is; a reader may start there.
            fresh = chord != before or (place == 0 and number % _BARS_PER_LINE == 0)
            beats.append(symbols[chord] if fresh else ".")
            before = chord
        cells.append(" ".join(b.ljust(width if n == 0 else 1) for n, b in enumerate(beats)))
        if len(cells) == _BARS_PER_LINE or number == len(bars) - 1:
            lines.append("| " + " | ".join(cells) + " |")
            cells = []
    return lines


def _lines(transcription: Transcription, symbols: Sequence[str]) -> list[str]:
    width = max(map(len, symbols), default=1)
    return [
        f"{clock(transcription.segments[n].start):>6}  "
        + "  ".join(s.ljust(width) for s in symbols[n : n + _CHORDS_PER_LINE]).rstrip()
        for n in range(0, len(symbols), _CHORDS_PER_LINE)
    ]


CHORDPRO = Format(
    name="chordpro",
    suffixes=(".cho", ".chordpro", ".chopro", ".crd", ".pro"),
    description="ChordPro song sheet; a grid of bars if the beats are known",
    write=write_chordpro,
)

CHART = Format(
    name="chart",
    suffixes=(".txt",),
    description="chord chart as plain text; bars if the beats are known",
    write=write_chart,
)
