"""``json``: everything a transcription holds, after a published, versioned schema.

``docs/reference/transcription.schema.json`` is the schema. ``jsonl`` is the same document on one
line, so that the songs of a folder fit one file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from chordtool.errors import FormatError
from chordtool.formats.base import Format, FormatOptions
from chordtool.formats.reading import (
    MAX_SEGMENTS,
    chord_label,
    in_order,
    load_json,
    member,
    probability,
    seconds,
    tiled,
    within,
)
from chordtool.formats.text import clean, harte_labels, harte_spelling, well_formed
from chordtool.segments import Alternative, Segment, Transcription
from chordtool.spelling import Spelling, estimate_key
from chordtool.vocabulary import VOCABULARIES

KIND: Final = "chordtool-transcription"
VERSION: Final = 1
"""Grows when a reader of the older version would misread the newer one."""
MAX_ALTERNATIVES: Final = 1000
_UNPRINTED: Final = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufffe\uffff]")
"""What JSON text may hold as it is and a terminal, or a reader of lines, should not see."""


def document_of(transcription: Transcription, options: FormatOptions) -> dict[str, Any]:
    """The JSON-ready document; times in seconds with six decimals."""
    key = estimate_key(transcription.segments)
    spelling = harte_spelling(transcription, options)
    return {
        "kind": KIND,
        "version": VERSION,
        "source": well_formed(transcription.source),
        "seconds": _rounded(transcription.seconds),
        "model": clean(transcription.model),
        "vocabulary": transcription.vocabulary,
        "metadata": {clean(k): clean(v) for k, v in transcription.metadata.items()},
        "key": None if key is None else {"tonic": key.tonic_name, "mode": key.mode},
        "segments": [
            {
                "start": _rounded(segment.start),
                "end": _rounded(segment.end),
                "label": label,
                "confidence": _rounded(segment.confidence),
                "alternatives": alternatives_of(segment, options.top, spelling),
            }
            for segment, label in zip(
                transcription.segments, harte_labels(transcription, options), strict=True
            )
        ],
        "beats": _rising(transcription.beats),
        "downbeats": _rising(transcription.downbeats),
    }


def alternatives_of(segment: Segment, top: int, spelling: Spelling | None) -> list[dict[str, Any]]:
    """The likeliest other readings, at most ``top`` of them, respelt if ``spelling`` says how."""
    return [
        {
            "label": a.label if spelling is None else spelling.label(a.label),
            "confidence": _rounded(a.confidence),
        }
        for a in segment.alternatives[: max(0, top)]
    ]


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _rising(times: Sequence[float]) -> list[float]:
    """Times of which no two are the same: reading refuses what does not rise."""
    return list(dict.fromkeys(_rounded(time) for time in times))


def write_json(transcription: Transcription, options: FormatOptions) -> bytes:
    """The document, indented."""
    document = document_of(transcription, options)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return (_UNPRINTED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n").encode()


def write_jsonl(transcription: Transcription, options: FormatOptions) -> bytes:
    """The document on one line."""
    document = document_of(transcription, options)
    # Line separators other than \n may stand in JSON text but break readers that split on them.
    line = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return (line + "\n").encode()


def read_json(data: bytes) -> Transcription:
    """Read a document that :func:`write_json` wrote, or anybody after the schema.

    Raises:
        FormatError: it is no such document, or of a version that this program does not know.
        LabelError: a label is not a chord.
    """
    document = _load(data)
    vocabulary = member(document, "vocabulary", str, "large")
    if vocabulary not in VOCABULARIES:
        raise FormatError("The transcription names a vocabulary that does not exist.")
    total = seconds(member(document, "seconds", (int, float)), "The length")
    whole, total = tiled(_read_segments(document), total)
    beats = _times(member(document, "beats", list, []), "beats")
    downbeats = _times(member(document, "downbeats", list, []), "downbeats")
    if not set(downbeats) <= set(beats):
        raise FormatError("The transcription has downbeats that are no beats.")
    return Transcription(
        whole,
        total,
        source=member(document, "source", str, ""),
        model=member(document, "model", str, ""),
        vocabulary=vocabulary,
        beats=within(beats, total),
        downbeats=within(downbeats, total),
        metadata=_metadata(member(document, "metadata", dict, {})),
    )


def read_json_segments(data: bytes) -> tuple[Segment, ...]:
    """What such a document labels; there may be gaps.

    Raises:
        FormatError, LabelError: as :func:`read_json`.
    """
    return in_order(_read_segments(_load(data)))


def _load(data: bytes) -> Any:
    document = load_json(data)
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise FormatError(
            "The file is JSON, but no transcription.", hint=f'Its "kind" would be "{KIND}".'
        )
    if document.get("version") != VERSION or isinstance(document["version"], bool):
        raise FormatError(
            "The transcription is of a version that this program does not know.",
            hint=f"It knows version {VERSION}; a newer chordtool may read it.",
        )
    return document


def _read_segments(document: Any) -> list[Segment]:
    items = member(document, "segments", list)
    if len(items) > MAX_SEGMENTS:
        raise FormatError(f"The file has more than {MAX_SEGMENTS:,} segments.")
    return [_read_segment(item, number) for number, item in enumerate(items, 1)]


def _read_segment(item: Any, number: int) -> Segment:
    label = chord_label(member(item, "label", str))
    start = seconds(item.get("start"), f"The start of segment {number}")
    end = seconds(item.get("end"), f"The end of segment {number}")
    if end < start:
        raise FormatError(f"Segment {number} of the file runs backwards.")
    confidence = probability(item.get("confidence", 1.0), f"The confidence of segment {number}")
    ranked = member(item, "alternatives", list, [])
    return Segment(start, end, label, confidence, read_alternatives(ranked, number))


def read_alternatives(items: list[Any], number: int) -> tuple[Alternative, ...]:
    """The alternatives of segment ``number``.

    Raises:
        FormatError, LabelError: they are none.
    """
    if len(items) > MAX_ALTERNATIVES:
        raise FormatError(f"Segment {number} of the file has too many alternatives.")
    found: list[Alternative] = []
    for item in items:
        label = chord_label(member(item, "label", str))
        what = f"The confidence of an alternative of segment {number}"
        found.append(Alternative(label, probability(item.get("confidence"), what)))
    return tuple(found)


def _times(items: list[Any], what: str) -> tuple[float, ...]:
    if len(items) > MAX_SEGMENTS:
        raise FormatError(f"The file has more than {MAX_SEGMENTS:,} {what}.")
    times = tuple(seconds(item, f"One of the {what}") for item in items)
    if any(b <= a for a, b in pairwise(times)):
        raise FormatError(f"The {what} of the transcription do not rise.")
    return times


def _metadata(document: dict[Any, Any]) -> dict[str, str]:
    if not all(isinstance(v, str) for v in document.values()):
        raise FormatError("The metadata of the transcription is not all text.")
    return {str(k): v for k, v in document.items()}


JSON = Format(
    name="json",
    suffixes=(".json",),
    description="everything known, with confidence and alternatives, after a published schema",
    write=write_json,
    read=read_json,
    read_segments=read_json_segments,
)

JSONL = Format(
    name="jsonl",
    suffixes=(".jsonl", ".ndjson"),
    description="one JSON document a line, for many recordings in one file",
    write=write_jsonl,
    joinable=True,
)
