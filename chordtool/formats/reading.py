"""Reading files of unknown origin: bounded, checked, and never more than an error."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn

from chordtool.errors import FormatError
from chordtool.segments import Segment
from chordtool.vocabulary import parse

MAX_BYTES: Final = 64 * 1024 * 1024
"""No label file is larger; an hour of music with alternatives takes less than one MiB."""
MAX_SEGMENTS: Final = 1_000_000
MAX_SECONDS: Final = 7 * 24 * 3600.0
"""A week; times beyond it are not times of a recording."""
SLACK_SECONDS: Final = 2e-3
"""Published annotations round their times, so neighbours may overlap by this much."""


def load_json(data: bytes) -> Any:
    """The document in ``data``; numbers are finite.

    Raises:
        FormatError: it is no JSON, not UTF-8, nested too deeply, or holds NaN or infinity.
    """
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except RecursionError:
        raise FormatError("The file is nested too deeply.") from None
    except ValueError as error:  # also UnicodeDecodeError and integers of thousands of digits
        raise FormatError(
            "The file is not valid JSON.", hint=str(error).splitlines()[0][:200]
        ) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def member(document: Any, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
    """A member of an object, of the right type; ``default`` if it is missing and there is one.

    Raises:
        FormatError: the document is no object, or the member is missing or of another type.
    """
    if not isinstance(document, dict):
        raise FormatError(f"The file has {_named(document)} where an object belongs.")
    if name not in document and default is not None:
        return default
    value = document.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FormatError(f"{name!r} is {_named(value)} in the file, or is missing.")
    return value


def _named(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value"}
    return "nothing" if value is None else names.get(type(value), "a number")


def chord_label(text: str) -> str:
    """A label as segments have it: without blanks around it, and ``N`` whoever wrote ``N.C.``.

    Raises:
        LabelError: it is not a chord.
    """
    chord = parse(text)
    return chord.quality if chord.root is None else text.strip()


def seconds(value: Any, what: str) -> float:
    """A time in seconds.

    Raises:
        FormatError: it is no number, not finite, negative, or beyond a week.
    """
    return _number(value, what, MAX_SECONDS)


def probability(value: Any, what: str) -> float:
    """A number 0..1.

    Raises:
        FormatError: it is something else.
    """
    return _number(value, what, 1.0)


def _number(value: Any, what: str, largest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"{what} is {_named(value)} in the file, not a number.")
    # Comparing comes before float(): an integer may be too large for one.
    if not (0 <= value <= largest and math.isfinite(value)):
        raise FormatError(f"{what} is not between 0 and {largest:g} in the file.")
    return float(value)


def in_order(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Segments one after the other, where the file labels something and nowhere else.

    Overlaps within :data:`SLACK_SECONDS` are cut; segments without length are left out.

    Args:
        segments: in the order of the file.

    Raises:
        FormatError: a segment overlaps the one before it, or there are too many.
    """
    if len(segments) > MAX_SEGMENTS:
        raise FormatError(f"The file has more than {MAX_SEGMENTS:,} segments.")
    found: list[Segment] = []
    now = 0.0
    for number, segment in enumerate(segments, 1):
        if segment.start < now - SLACK_SECONDS:
            raise FormatError(f"Segment {number} of the file overlaps the one before it.")
        if segment.end > max(now, segment.start):
            found.append(replace(segment, start=max(now, segment.start)))
            now = segment.end
    return tuple(found)


def tiled(segments: Sequence[Segment], total: float = 0.0) -> tuple[tuple[Segment, ...], float]:
    """Segments that tile the recording, from ones that may have small faults.

    Gaps become ``N``, but those within :data:`SLACK_SECONDS`, over which the next segment begins
    earlier; otherwise as :func:`in_order`.

    Args:
        segments: in the order of the file.
        total: length of the recording in seconds, 0 if unknown.

    Returns:
        The segments and the length of the recording.

    Raises:
        FormatError: a segment overlaps the one before it, or there are too many.
    """
    whole: list[Segment] = []
    now = 0.0
    for segment in in_order(segments):
        if segment.start > now + SLACK_SECONDS:
            whole.append(Segment(now, segment.start, "N"))
            now = segment.start
        whole.append(replace(segment, start=now))
        now = segment.end
    if total > now + SLACK_SECONDS:
        whole.append(Segment(now, total, "N"))
        now = total
    return tuple(whole), now


def within(times: Sequence[float], total: float) -> tuple[float, ...]:
    """Times that are in the recording: a beat beyond its end would make a bar that it has not.

    Args:
        times: of beats, in seconds.
        total: length of the recording, as :func:`tiled` has it.
    """
    return tuple(time for time in times if time <= total)
