"""What a format offers: text or bytes from a transcription, and for some the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chordtool.segments import Transcription


@dataclass(frozen=True)
class FormatOptions:
    """What a caller may ask of a format; each format heeds what concerns it."""

    top: int = 3
    """How many alternatives a segment shows."""
    spelling: str = "default"
    """``"default"`` (the format's own), ``"sharps"``, ``"flats"`` or ``"key"``."""
    audio: Path | None = None
    """The recording, for formats that can show or embed it."""
    embed_audio: bool = False
    title: str = ""
    """A name for people; the source's stem if empty."""


@dataclass(frozen=True)
class Format:
    """A way to write segments down, registered in the entry-point group ``chordtool.formats``."""

    name: str
    suffixes: tuple[str, ...]
    """File suffixes, lower case with the dot; the first is the one it writes."""
    description: str
    write: Callable[[Transcription, FormatOptions], bytes]
    """Raises FormatError if the transcription cannot be written this way."""
    read: Callable[[bytes], Transcription] | None = None
    """Raises FormatError or LabelError; ``None`` if the format cannot be read back."""
    binary: bool = field(default=False)
    """Whether the result is not text, so that a terminal should not see it."""
