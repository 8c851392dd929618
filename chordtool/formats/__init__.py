"""Formats by name or file suffix, through the entry-point group ``chordtool.formats``."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from chordtool import plugins
from chordtool.errors import ChordtoolError, FormatError, UsageError
from chordtool.formats.base import Format, FormatOptions
from chordtool.formats.reading import MAX_BYTES
from chordtool.segments import Segment, Transcription
from chordtool.streams import chunks

__all__ = [
    "GROUP",
    "Format",
    "FormatOptions",
    "format_for_path",
    "load_format",
    "read_segments",
    "read_transcription",
    "render",
    "spare_terminal",
]

GROUP = "chordtool.formats"
_T = TypeVar("_T")


def load_format(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: there is none, or the plug-in that brings it is broken.
    """
    return plugins.load_as(Format, GROUP, name, "format")


def spare_terminal(name: str) -> None:
    """Refuse to write a format to standard output that is no text where a person would see it.

    Raises:
        UsageError: there is no such format, or it is no text and standard output is a terminal.
    """
    if load_format(name).binary and sys.stdout.isatty():
        raise UsageError(
            f"{name} is no text, and standard output is a terminal.",
            hint="Name a file for it, or send it on with > or |.",
        )


def format_for_path(path: Path) -> Format:
    """The format whose suffix a file name ends in; the longest suffix wins.

    Raises:
        UsageError: no format has it.
    """
    name = path.name.lower()
    fitting = [
        (len(suffix), found)
        for found in _all_formats()
        for suffix in found.suffixes
        if name.endswith(suffix) and name != suffix
    ]
    if not fitting:
        known = ", ".join(sorted({f.suffixes[0] for f in _all_formats()}))
        raise UsageError(
            f"{path.name!r} does not say which format it is.",
            hint=f"Name it with --format, or end the file name in one of {known}.",
        )
    # The first of equals: our own formats come before those of plug-ins.
    return max(fitting, key=lambda pair: pair[0])[1]


def _all_formats() -> Iterator[Format]:
    """Every format that can be used, our own first."""
    for plugin in plugins.names(GROUP).values():
        loaded = plugins.load(plugin)
        if isinstance(loaded, Format):
            yield loaded


def render(transcription: Transcription, name: str, options: FormatOptions) -> bytes:
    """A transcription in a format.

    Raises:
        UsageError: there is no such format.
        FormatError: the format cannot write it, or the plug-in that brings it is broken.
    """
    chosen = load_format(name)
    try:
        written = chosen.write(transcription, options)
    except ChordtoolError:
        raise
    except (Exception, SystemExit) as error:  # whatever a plug-in does
        raise FormatError(
            f"The format {name!r} failed: {type(error).__name__}: {error}.",
            hint="Report it to whoever made that format.",
        ) from error
    if not isinstance(written, bytes):
        raise FormatError(
            f"The format {name!r} failed: it made no bytes.",
            hint="Report it to whoever made that format.",
        )
    return written


def read_transcription(path: Path) -> Transcription:
    """Read a file of chords: ``lab``, ``json``, ``jams``, or what a plug-in reads.

    The suffix says how to read the file; one that no format has (``.txt``) is a label file, or
    JSON if it begins like it. So is standard input, which ``-`` stands for.

    Raises:
        FormatError: the file cannot be read, or not as a transcription.
        LabelError: it has a label that is not a chord.
    """

    def whole(reader: Format, data: bytes) -> Transcription:
        assert reader.read is not None, "_reader_for chooses among formats that read"
        return reader.read(data)

    return _read(path, whole)


def read_segments(path: Path) -> tuple[Segment, ...]:
    """What a file of chords labels, in order; where it labels nothing, nothing is made up.

    Raises:
        FormatError, LabelError: as :func:`read_transcription`.
    """

    def labelled(reader: Format, data: bytes) -> tuple[Segment, ...]:
        if reader.read_segments is not None:
            return tuple(reader.read_segments(data))
        assert reader.read is not None, "_reader_for chooses among formats that read"
        return reader.read(data).segments

    return _read(path, labelled)


def _read(path: Path, how: Callable[[Format, bytes], _T]) -> _T:
    """Read a file in its format.

    Raises:
        FormatError, LabelError: it cannot be read, and why; the file is named.
    """
    piped = path == Path("-")
    name = "Standard input" if piped else str(path)
    data = _contents(path, name, piped)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        # Windows PowerShell writes so what > sends to a file.
        data = data.decode("utf-16", errors="replace").encode()
    reader = _reader_for(path, data)
    if not reader.binary and b"\0" in data[:65536]:
        raise FormatError(
            f"{name} holds no text, so no written chords.",
            hint="If it is a recording, chordtool transcribe writes its chords down.",
        )
    try:
        return how(reader, data)
    except ChordtoolError as error:
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from error
    except (Exception, SystemExit) as error:  # whatever a plug-in does
        raise FormatError(
            f"{name}: the format {reader.name!r} failed: {type(error).__name__}: {error}."
        ) from error


def _contents(path: Path, name: str, piped: bool) -> bytes:
    data = bytearray()
    try:
        with nullcontext(sys.stdin.buffer) if piped else path.open("rb") as file:
            for chunk in chunks(file):
                data += chunk
                if len(data) > MAX_BYTES:
                    raise FormatError(
                        f"{name} is larger than any label file ({MAX_BYTES >> 20} MiB)."
                    )
    except OSError as error:
        raise FormatError(f"{name} cannot be read: {error.strerror or error}.") from None
    if piped and not data:  # an empty file may be meant; who pipes nothing has lost something
        raise FormatError(
            "Standard input is empty.", hint="Send chords to it with < or |, or name their file."
        )
    return bytes(data)


def _reader_for(path: Path, data: bytes) -> Format:
    try:
        named = format_for_path(path)
    except UsageError:
        named = None
    if named is not None and named.read is not None:
        return named
    # Label files of other tools often end in .txt, as charts do; their content tells.
    if named is not None and path.suffix.lower() != ".txt":
        readable = [f.name for f in _all_formats() if f.read is not None]
        raise FormatError(
            f"{path}: chords cannot be read back from {named.name} files.",
            hint=f"Formats that can be read: {', '.join(readable)}.",
        )
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return load_format("jams" if b'"file_metadata"' in data else "json")
    return load_format("lab")
