"""``.lab``: one line a segment, ``start end label``, three decimals, as MIREX has it."""

from __future__ import annotations

from chordtool.errors import FormatError
from chordtool.formats.base import Format, FormatOptions
from chordtool.formats.reading import (
    MAX_SEGMENTS,
    SLACK_SECONDS,
    chord_label,
    in_order,
    seconds,
    tiled,
)
from chordtool.formats.text import harte_labels
from chordtool.segments import Segment, Transcription


def write_lab(transcription: Transcription, options: FormatOptions) -> bytes:
    """The segments as tab-separated lines; seconds with three decimals, tiling as they did.

    Those that have no length in three decimals are left out: ``mir_eval`` refuses such lines.
    """
    written = [
        (f"{s.start:.3f}", f"{s.end:.3f}", label)
        for s, label in zip(
            transcription.segments, harte_labels(transcription, options), strict=True
        )
    ]
    return "".join(f"{a}\t{b}\t{label}\n" for a, b, label in written if a != b).encode()


def read_lab(data: bytes) -> Transcription:
    """Read ``start end label`` lines, separated by tabs or blanks; ``#`` starts a comment line.

    Gaps between lines are ``N``.

    Raises:
        FormatError: a line does not parse, runs backwards, or overlaps the one before it, or
            none has a length.
        LabelError: a label is not a chord.
    """
    lines = read_lab_segments(data)
    whole, total = tiled(lines)
    if lines and not whole:
        raise FormatError(
            "No line of the label file has a length.",
            hint="Audacity writes labels at points so; each chord needs its end too.",
        )
    return Transcription(whole, total)


def read_lab_segments(data: bytes) -> list[Segment]:
    """The lines as they are: the first may start after 0, and there may be gaps.

    Raises:
        FormatError, LabelError: as :func:`read_lab`.
    """
    segments: list[Segment] = []
    for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), 1):
        parts = line.split(None, 2)
        if parts and not parts[0].startswith("#"):
            if len(segments) == MAX_SEGMENTS:
                raise FormatError(f"The file has more than {MAX_SEGMENTS:,} segments.")
            segments.append(_segment(parts, number, segments[-1].end if segments else 0.0))
    return segments


def read_lab_in_order(data: bytes) -> tuple[Segment, ...]:
    """The lines that have a length, one after the other; there may be gaps.

    Raises:
        FormatError, LabelError: as :func:`read_lab`.
    """
    return in_order(read_lab_segments(data))


def _segment(parts: list[str], number: int, previous_end: float) -> Segment:
    try:
        start, end = float(parts[0]), float(parts[1])
        label = parts[2]
    except (ValueError, IndexError):
        raise FormatError(
            f"Line {number} of the label file is not `start end label`.",
            hint="Times are seconds, for example: 0.000 2.321 C:maj7.",
        ) from None
    start = seconds(start, f"The start on line {number}")
    end = seconds(end, f"The end on line {number}")
    if end < start:
        raise FormatError(f"Line {number} of the label file runs backwards.")
    if start < previous_end - SLACK_SECONDS:
        raise FormatError(f"Line {number} of the label file overlaps the line before it.")
    return Segment(start, end, chord_label(label))


LAB = Format(
    name="lab",
    suffixes=(".lab",),
    description="MIREX label file: start, end, Harte label",
    write=write_lab,
    read=read_lab,
    read_segments=read_lab_in_order,
)
