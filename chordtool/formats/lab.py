"""``.lab``: one line a segment, ``start end label``, three decimals, as MIREX has it."""

from __future__ import annotations

import math

from chordtool.errors import FormatError
from chordtool.formats.base import Format, FormatOptions
from chordtool.segments import Segment, Transcription
from chordtool.vocabulary import parse


def write_lab(transcription: Transcription, options: FormatOptions) -> bytes:
    """The segments as tab-separated lines; seconds with three decimals, tiling as they did."""
    lines = [f"{s.start:.3f}\t{s.end:.3f}\t{s.label}\n" for s in transcription.segments]
    return "".join(lines).encode("ascii")


def read_lab(data: bytes) -> Transcription:
    """Read ``start end label`` lines, separated by tabs or blanks; ``#`` starts a comment.

    Raises:
        FormatError: a line does not parse, runs backwards, or overlaps the one before it.
        LabelError: a label is not a chord.
    """
    segments: list[Segment] = []
    for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), 1):
        text = line.split("#", 1)[0] if line.lstrip().startswith("#") else line
        parts = text.split(None, 2)
        if not parts:
            continue
        segments.append(_segment(parts, number, segments[-1].end if segments else 0.0))
    return Transcription(tuple(segments), segments[-1].end if segments else 0.0)


def _segment(parts: list[str], number: int, previous_end: float) -> Segment:
    try:
        start, end = float(parts[0]), float(parts[1])
        label = parts[2].strip()
    except (ValueError, IndexError):
        raise FormatError(
            f"Line {number} of the label file is not `start end label`.",
            hint="Times are seconds, for example: 0.000 2.321 C:maj7.",
        ) from None
    # Published annotations round their times, so neighbours may overlap by a millisecond.
    slack = 2e-3
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
        raise FormatError(f"Line {number} of the label file runs backwards.")
    if start < previous_end - slack:
        raise FormatError(f"Line {number} of the label file overlaps the line before it.")
    parse(label)
    return Segment(start, end, label)


LAB = Format(
    name="lab",
    suffixes=(".lab",),
    description="MIREX label file: start, end, Harte label",
    write=write_lab,
    read=read_lab,
)
