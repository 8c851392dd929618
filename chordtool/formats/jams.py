"""``jams``: the JSON Annotated Music Specification (Humphrey et al., ISMIR 2014).

Chords are one annotation of namespace ``chord``; beats and the estimated key, where there are
any, are annotations of their own. Alternatives have no place in the namespace: they are in the
annotation's ``sandbox``, one list an observation.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from chordtool.errors import FormatError
from chordtool.formats.base import Format, FormatOptions
from chordtool.formats.json_document import alternatives_of, read_alternatives
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
from chordtool.formats.text import artist_of, clean, harte_labels, harte_spelling, title_of
from chordtool.segments import Alternative, Segment, Transcription
from chordtool.spelling import estimate_key
from chordtool.vocabulary import mended

JAMS_VERSION: Final = "0.3.4"
_NAMESPACES: Final = ("chord", "chord_harte")
_INTERVAL: Final = r"(?:b*|#*)(?:[1-9]|1[0-3])"
_VALID: Final = re.compile(
    r"[NX]|[A-G](?:b*|#*)"
    r"(?::(?:maj|min|dim|aug|1|5|sus2|sus4|maj6|min6|7|maj7|min7|dim7|hdim7|minmaj7|aug7|9|maj9"
    r"|min9|11|maj11|min11|13|maj13|min13)"
    rf"(?:\(\*?{_INTERVAL}(?:,\*?{_INTERVAL})*\))?"
    rf"|:\(\*?{_INTERVAL}(?:,\*?{_INTERVAL})*\))?(?:/{_INTERVAL})?"
)
"""Labels of the namespace; what else the vocabulary understands is mended to one of them."""


def write_jams(transcription: Transcription, options: FormatOptions) -> bytes:
    """A JAMS file; times in seconds with six decimals."""
    document = {
        "annotations": _annotations(transcription, options),
        "file_metadata": {
            "title": title_of(transcription, options),
            "artist": artist_of(transcription),
            "release": "",
            "duration": _rounded(transcription.seconds),
            "identifiers": {},
            "jams_version": JAMS_VERSION,
        },
        "sandbox": {},
    }
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _annotations(transcription: Transcription, options: FormatOptions) -> list[dict[str, Any]]:
    spelt = harte_labels(transcription, options)
    spelling = harte_spelling(transcription, options)
    found = [
        _annotation(
            transcription,
            "chord",
            [
                _observation(s.start, s.end, _valid(label), s.confidence)
                for s, label in zip(transcription.segments, spelt, strict=True)
            ],
            alternatives=[
                alternatives_of(s, options.top, spelling) for s in transcription.segments
            ],
        )
    ]
    if transcription.beats:
        found.append(_annotation(transcription, "beat", _beats(transcription)))
    key = estimate_key(transcription.segments)
    if key is not None:
        value = f"{key.tonic_name}:{key.mode}"
        whole = [_observation(0.0, transcription.seconds, value, None)]
        found.append(_annotation(transcription, "key_mode", whole))
    return found


def _annotation(
    transcription: Transcription,
    namespace: str,
    observations: list[dict[str, Any]],
    **sandbox: Any,
) -> dict[str, Any]:
    tool = f"chordtool ({clean(transcription.model)})" if transcription.model else "chordtool"
    return {
        "annotation_metadata": {
            "annotation_tools": tool,
            "data_source": "program",
            "annotator": {},
            "corpus": "",
            "version": "",
            "annotation_rules": "",
            "validation": "",
            "curator": {"name": "", "email": ""},
        },
        "namespace": namespace,
        "data": observations,
        "sandbox": sandbox,
        "time": 0.0,
        "duration": _rounded(transcription.seconds),
    }


def _valid(label: str) -> str:
    return label if _VALID.fullmatch(label) else mended(label)


def _beats(transcription: Transcription) -> list[dict[str, Any]]:
    """Beats with their place in the bar, which is unknown before the first downbeat."""
    downbeats = set(transcription.downbeats)
    position: int | None = None
    observations = []
    for beat in transcription.beats:
        position = 1 if beat in downbeats else None if position is None else position + 1
        observations.append(_observation(beat, beat, position, None))
    return observations


def _observation(
    start: float, end: float, value: str | int | None, confidence: float | None
) -> dict[str, Any]:
    begun = _rounded(start)
    return {
        "time": begun,
        "duration": _rounded(_rounded(end) - begun),
        "value": value,
        "confidence": None if confidence is None else _rounded(confidence),
    }


def _rounded(value: float) -> float:
    return round(float(value), 6)


def read_jams(data: bytes) -> Transcription:
    """Read the first chord annotation of a JAMS file, as long as the recording; gaps are ``N``.

    Raises:
        FormatError: it is no JAMS file, or has no chords.
        LabelError: a label is not a chord.
    """
    document = load_json(data)
    segments = _read_chords(document)
    about = member(document, "file_metadata", dict, {})
    total = seconds(about.get("duration") or 0.0, "The duration of the JAMS file")
    whole, total = tiled(segments, total)
    tags = {k: about[k] for k in ("title", "artist") if isinstance(about.get(k), str) and about[k]}
    beats, downbeats = (within(times, total) for times in _read_beats(document))
    return Transcription(whole, total, beats=beats, downbeats=downbeats, metadata=tags)


def read_jams_segments(data: bytes) -> tuple[Segment, ...]:
    """What the first chord annotation of a JAMS file labels; there may be gaps.

    Raises:
        FormatError, LabelError: as :func:`read_jams`.
    """
    return in_order(_read_chords(load_json(data)))


def _read_chords(document: Any) -> list[Segment]:
    annotation = next(
        (
            a
            for a in member(document, "annotations", list)
            if isinstance(a, dict) and a.get("namespace") in _NAMESPACES
        ),
        None,
    )
    if annotation is None:
        raise FormatError(
            "The JAMS file has no chord annotation.",
            hint=f"Its namespace would be one of {', '.join(_NAMESPACES)}.",
        )
    observations = _observations(annotation)
    ranked = _alternatives(annotation, len(observations))
    segments = [
        _segment(observation, ranked[n], n + 1) for n, observation in enumerate(observations)
    ]
    return sorted(segments, key=lambda s: s.start)


def _observations(annotation: dict[str, Any]) -> list[dict[str, Any]]:
    """The observations of an annotation, which older files write in columns."""
    data = member(annotation, "data", (list, dict))
    if isinstance(data, dict):
        names = ("time", "duration", "value", "confidence")
        columns = [member(data, name, list) for name in names]
        if len({len(c) for c in columns}) != 1:
            raise FormatError("The columns of the JAMS annotation differ in length.")
        data = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if len(data) > MAX_SEGMENTS:
        raise FormatError(f"The file has more than {MAX_SEGMENTS:,} segments.")
    if not all(isinstance(o, dict) for o in data):
        raise FormatError("An observation of the JAMS annotation is not an object.")
    return list(data)


def _segment(observation: dict[str, Any], ranked: tuple[Alternative, ...], number: int) -> Segment:
    label = chord_label(member(observation, "value", str))
    start = seconds(observation.get("time"), f"The time of observation {number}")
    length = seconds(observation.get("duration"), f"The duration of observation {number}")
    # The specification leaves open what a confidence is; annotators mostly leave it out.
    confidence = observation.get("confidence")
    if confidence is None:
        confidence = 1.0
    what = f"The confidence of observation {number}"
    end = round(start + length, 9)  # 0.1 + 0.2 would overlap its neighbour by one bit
    return Segment(start, end, label, probability(confidence, what), ranked)


def _alternatives(annotation: dict[str, Any], count: int) -> list[tuple[Alternative, ...]]:
    sandbox = annotation.get("sandbox")
    lists = sandbox.get("alternatives") if isinstance(sandbox, dict) else None
    if not (isinstance(lists, list) and len(lists) == count):
        return [()] * count
    return [read_alternatives(r, n) if isinstance(r, list) else () for n, r in enumerate(lists, 1)]


def _read_beats(document: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for annotation in document["annotations"]:
        if isinstance(annotation, dict) and annotation.get("namespace") == "beat":
            places = {
                seconds(o.get("time"), "The time of a beat"): o.get("value")
                for o in _observations(annotation)
            }
            return tuple(sorted(places)), tuple(sorted(t for t, v in places.items() if v == 1))
    return (), ()


JAMS = Format(
    name="jams",
    suffixes=(".jams",),
    description="JSON Annotated Music Specification, with confidence and alternatives",
    write=write_jams,
    read=read_jams,
    read_segments=read_jams_segments,
)
