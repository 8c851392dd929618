"""``html``: one page to listen, watch and practise, with nothing to load from elsewhere.

The page is ``template.html`` with ``page.css``, ``diagrams.js`` and ``page.js`` put in, and the
song as JSON. All names of chords come from here, for each of the twelve transpositions, so that
the page knows no theory; guitar shapes come from ``guitar.json`` (``guitar.LICENSE``).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Final
from urllib.parse import quote

from chordtool import vocabulary
from chordtool.beats import bars_of
from chordtool.errors import FormatError
from chordtool.formats.base import Format, FormatOptions
from chordtool.formats.text import artist_of, title_of
from chordtool.segments import Segment, Transcription
from chordtool.spelling import Key, Spelling, estimate_key, followed, spelling_for, spelling_in
from chordtool.vocabulary import CHORD_TONES

MAX_EMBEDDED_BYTES: Final = 256 * 1024 * 1024

_MEDIA_TYPES: Final = {
    ".mp3": "audio/mpeg", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg",
    ".oga": "audio/ogg", ".opus": "audio/ogg", ".m4a": "audio/mp4", ".mp4": "audio/mp4",
    ".aac": "audio/aac", ".webm": "audio/webm", ".aif": "audio/aiff", ".aiff": "audio/aiff",
}  # fmt: skip


def write_html(transcription: Transcription, options: FormatOptions) -> bytes:
    """The page, UTF-8.

    Raises:
        FormatError: the recording is to be embedded and cannot be read, or is too large.
    """
    style = _asset("page.css")
    script = _asset("diagrams.js") + _asset("page.js")
    page = Template(_asset("template.html")).substitute(
        title=html.escape(title_of(transcription, options)),
        artist=html.escape(artist_of(transcription)),
        policy=html.escape(_policy(style, script)),
        licence=_asset("guitar.LICENSE").strip(),
        style=style,
        script=script,
        song=_for_script(song_of(transcription, options)),
        source=html.escape(_audio_source(options)),
    )
    return page.encode()


def song_of(transcription: Transcription, options: FormatOptions) -> dict[str, Any]:
    """What the page knows of the song, JSON-ready.

    ``chords`` are the distinct ones; ``segments`` are ``[start, end, chord, confidence,
    [[chord, confidence], ...]]`` with indices into them; ``bars`` are ``[start, [segment, ...]]``.
    ``names``, ``notes`` and ``keys`` are by transposition, 0..11 semitones up.
    """
    table = _ChordTable(transcription, options)
    segments = [
        [
            round(s.start, 4),
            round(s.end, 4),
            table.index(s.label, after),
            round(s.confidence, 4),
            [
                [table.index(a.label), round(a.confidence, 4)]
                for a in s.alternatives[: max(0, options.top)]
            ],
        ]
        for s, after in followed(transcription.segments)
    ]
    key = estimate_key(transcription.segments)
    return {
        "seconds": round(transcription.seconds, 4),
        "capo": options.capo,
        "keys": [key.transposed(t).name for t in range(12)] if key else [],
        "tonic": key.tonic if key else 0,
        "chords": table.chords,
        "segments": segments,
        "bars": [[round(bar.start, 4), list(bar.chords)] for bar in bars_of(transcription)],
        "tones": CHORD_TONES,
        "shapes": json.loads(_asset("guitar.json")),
    }


class _ChordTable:
    """The distinct chords of a song with their names in each of the twelve transpositions."""

    def __init__(self, transcription: Transcription, options: FormatOptions) -> None:
        self.chords: list[dict[str, Any]] = []
        self._places: dict[tuple[str, ...], int] = {}
        self._known: dict[tuple[str, str | None], int] = {}
        self._spellings = _spellings(transcription.segments, options.spelling)

    def index(self, label: str, before: str | None = None) -> int:
        """Where a chord is in the table; it is added if it is new."""
        if (label, before) not in self._known:
            self._known[label, before] = self._named(label, before)
        return self._known[label, before]

    def _named(self, label: str, before: str | None) -> int:
        """Where the chord of those names is; other labels may have them too."""
        moved = [
            (spelling, vocabulary.transpose(label, t), before and vocabulary.transpose(before, t))
            for t, spelling in enumerate(self._spellings)
        ]
        names = tuple(spelling.symbol(this, following=that) for spelling, this, that in moved)
        place = self._places.setdefault(names, len(self.chords))
        if place == len(self.chords):
            chord = vocabulary.parse(label)
            notes = [
                " ".join(spelling.notes(this, following=that)) for spelling, this, that in moved
            ]
            self.chords.append(
                {
                    "root": chord.root,
                    "quality": chord.quality,
                    "bass": chord.bass,
                    "names": names,
                    "notes": notes,
                }
            )
        return place


def _spellings(segments: tuple[Segment, ...], wanted: str) -> list[Spelling]:
    if wanted in ("default", "key"):
        key: Key | None = estimate_key(segments)
        return [spelling_in(key.transposed(t) if key else None) for t in range(12)]
    return [spelling_for(segments, wanted)] * 12


def _audio_source(options: FormatOptions) -> str:
    """What the player plays: the recording itself, a link to it, or nothing."""
    if options.audio is None or str(options.audio) == "-":
        return ""
    return _embedded(options.audio) if options.embed_audio else _link(options)


def _embedded(audio: Path) -> str:
    try:
        with audio.open("rb") as file:
            # Pipes and devices do not say beforehand how much they hold.
            data = file.read(MAX_EMBEDDED_BYTES + 1)
    except OSError as error:
        raise FormatError(f"{audio} cannot be read: {error.strerror or error}.") from None
    if len(data) > MAX_EMBEDDED_BYTES:
        raise FormatError(
            f"{audio} is too large to be embedded ({MAX_EMBEDDED_BYTES >> 20} MiB at most).",
            hint="Leave --embed-audio out; the page then links to the recording.",
        )
    kind = _MEDIA_TYPES.get(audio.suffix.lower(), "audio/mpeg")
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _link(options: FormatOptions) -> str:
    """A relative URL from the page to the recording, so that a folder of both can be moved."""
    assert options.audio is not None, "the caller has looked"
    here = (options.target.parent if options.target else Path()).absolute()
    try:
        path = os.path.relpath(options.audio.absolute(), here)
    except ValueError:  # another drive
        return options.audio.absolute().as_uri()
    url = quote(os.fsencode(Path(path).as_posix()))
    # A first part with a colon would be taken for a scheme.
    return f"./{url}" if ":" in url.split("/", 1)[0] else url


def _for_script(document: dict[str, Any]) -> str:
    """JSON that may stand in a script element: nothing in it can end the element."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _policy(style: str, script: str) -> str:
    """A content security policy under which the page runs and loads nothing but the recording."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "media-src 'self' file: data: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _asset(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")


HTML = Format(
    name="html",
    suffixes=(".html", ".htm"),
    description="one page to listen, watch and practise: player, timeline, diagrams, chart",
    write=write_html,
)
