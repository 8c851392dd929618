"""Tables and label tracks: ``csv``, ``audacity`` and ``sonic-visualiser``."""

from __future__ import annotations

import csv
import io
from typing import Final
from xml.sax.saxutils import quoteattr

from chordtool.formats.base import Format, FormatOptions
from chordtool.formats.text import clean, harte_labels, title_of
from chordtool.segments import Transcription

_SVL_RATE: Final = 44100
"""Frames a second on the layer's own time line; Sonic Visualiser converts."""


def write_csv(transcription: Transcription, options: FormatOptions) -> bytes:
    """Comma-separated values after RFC 4180, with a header: start, end, label, confidence."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(("start", "end", "label", "confidence"))
    for s, label in zip(transcription.segments, harte_labels(transcription, options), strict=True):
        writer.writerow((f"{s.start:.6f}", f"{s.end:.6f}", _cell(label), f"{s.confidence:.6f}"))
    return text.getvalue().encode()


def _cell(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_audacity(transcription: Transcription, options: FormatOptions) -> bytes:
    """A label track for File > Import > Labels: start, end, label, separated by tabs."""
    written = zip(transcription.segments, harte_labels(transcription, options), strict=True)
    return "".join(f"{s.start:.6f}\t{s.end:.6f}\t{clean(label)}\n" for s, label in written).encode()


def write_svl(transcription: Transcription, options: FormatOptions) -> bytes:
    """A text layer for File > Open; one point a chord, at its start."""
    end = round(transcription.seconds * _SVL_RATE)
    spelt = harte_labels(transcription, options)
    points = "".join(
        f'      <point frame="{round(s.start * _SVL_RATE)}" height="0.9" '
        f"label={quoteattr(clean(label))} />\n"
        for s, label in zip(transcription.segments, spelt, strict=True)
    )
    name = quoteattr(f"Chords: {title_of(transcription, options)}")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<!DOCTYPE sonic-visualiser>\n"
        "<sv>\n"
        "  <data>\n"
        f'    <model id="1" name={name} sampleRate="{_SVL_RATE}" start="0" end="{end}" '
        'type="sparse" dimensions="2" resolution="1" notifyOnAdd="true" dataset="0" '
        'subtype="text" />\n'
        '    <dataset id="0" dimensions="2">\n'
        f"{points}"
        "    </dataset>\n"
        "  </data>\n"
        "  <display>\n"
        f'    <layer id="2" type="text" name={name} model="1" colourName="Blue" '
        'colour="#1f3f7f" darkBackground="false" />\n'
        "  </display>\n"
        "</sv>\n"
    ).encode()


CSV = Format(
    name="csv",
    suffixes=(".csv",),
    description="table with a header: start, end, label, confidence",
    write=write_csv,
)

AUDACITY = Format(
    name="audacity",
    suffixes=(".labels.txt", ".audacity.txt"),
    description="label track for Audacity",
    write=write_audacity,
)

SONIC_VISUALISER = Format(
    name="sonic-visualiser",
    suffixes=(".svl",),
    description="text layer for Sonic Visualiser",
    write=write_svl,
)
