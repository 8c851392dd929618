"""What a format offers: text or bytes from a transcription, and for some the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chordtool.segments import Segment, Transcription

_NO_NAME: Final = frozenset("/\\\0")
"""What the name of a file cannot hold."""


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
    """Put the recording into the result, so that it is one file."""
    title: str = ""
    """A name for people; the recording's own title, or else the source's stem, if empty."""
    capo: int = 0
    """The fret at which the chords as written are played with a capo; 0 is none."""
    target: Path | None = None
    """Where the result will be, so that what it links to can be named from there."""


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
    read_segments: Callable[[bytes], Sequence[Segment]] | None = None
    """What the file labels, in order, with the gaps that it leaves; raises as ``read`` does.
    ``None`` if ``read`` makes nothing up."""
    binary: bool = False
    """Whether the result is not text, so that a terminal should not see it."""
    joinable: bool = False
    """Whether the results of many recordings may be written one after the other to one file."""

    def __post_init__(self) -> None:
        # A format that is no such thing is found out where it is made, in the plug-in.
        suffixes: object = self.suffixes
        if not isinstance(suffixes, tuple) or not suffixes:
            raise TypeError(f"the suffixes of format {self.name!r} are not a tuple of some")
        for suffix in self.suffixes:
            named = suffix.startswith(".") and suffix == suffix.lower() and len(suffix) > 1
            if not named or not _NO_NAME.isdisjoint(suffix):
                raise ValueError(f"format {self.name!r} has the suffix {suffix!r}")
