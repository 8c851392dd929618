"""Text that goes into a file: names for people, and the chords as a format spells them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath
from typing import Final

from chordtool.formats.base import FormatOptions
from chordtool.segments import Transcription
from chordtool.spelling import Spelling, labels, spelling_for, symbols

_LONGEST: Final = 300


def clean(text: str) -> str:
    """One line of well-formed Unicode from a file name or a tag, whatever was in it.

    Bytes of a file name that are no UTF-8 (lone surrogates) become U+FFFD. Line breaks, control
    characters and marks that turn the direction of what follows become blanks. At most 300
    characters are kept.
    """
    text = well_formed(text[: 2 * _LONGEST])
    safe = "".join(" " if _is_control(c) else c for c in text)
    return " ".join(safe.split())[:_LONGEST]


def well_formed(text: str) -> str:
    """Text that can be encoded: lone surrogates become U+FFFD, all else stays."""
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def _is_control(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Zl", "Zp")
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
        or character in "\ufffe\uffff"
    )


def title_of(transcription: Transcription, options: FormatOptions) -> str:
    """The name to show: the caller's, the recording's own title, or the source's stem."""
    stem = PurePath(transcription.source).stem if transcription.source != "-" else ""
    for candidate in (options.title, transcription.metadata.get("title", ""), stem):
        if shown := clean(candidate):
            return shown
    return "Untitled"


def artist_of(transcription: Transcription) -> str:
    """The recording's artist, or nothing."""
    return clean(transcription.metadata.get("artist", ""))


def chord_symbols(transcription: Transcription, options: FormatOptions) -> list[str]:
    """What people read, ``Bbm7``; by default spelt in the song's key."""
    spelling = spelling_for(transcription.segments, options.spelling, default="key")
    return symbols(transcription.segments, spelling)


def harte_labels(transcription: Transcription, options: FormatOptions) -> list[str]:
    """What programs read, ``A#:min7``; by default as the segments have it."""
    spelling = harte_spelling(transcription, options)
    if spelling is None:
        return [s.label for s in transcription.segments]
    return labels(transcription.segments, spelling)


def harte_spelling(transcription: Transcription, options: FormatOptions) -> Spelling | None:
    """How Harte labels are spelt; ``None`` to leave them as they are."""
    if options.spelling == "default":
        return None
    return spelling_for(transcription.segments, options.spelling)


def clock(seconds: float) -> str:
    """``m:ss`` for people."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
