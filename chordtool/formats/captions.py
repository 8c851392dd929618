"""Captions, to watch the chords in a player: ``srt`` beside a video, ``lrc`` beside a song."""

from __future__ import annotations

from chordtool.formats.base import Format, FormatOptions
from chordtool.formats.text import artist_of, chord_symbols, title_of
from chordtool.segments import Transcription


def write_srt(transcription: Transcription, options: FormatOptions) -> bytes:
    """SubRip captions: one a chord, none where there is no chord."""
    blocks: list[str] = []
    symbols = chord_symbols(transcription, options)
    for segment, symbol in zip(transcription.segments, symbols, strict=True):
        start, end = _milliseconds(segment.start), _milliseconds(segment.end)
        if segment.label != "N" and end > start:
            blocks.append(f"{len(blocks) + 1}\n{_srt_time(start)} --> {_srt_time(end)}\n{symbol}\n")
    return "\n".join(blocks).encode()


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _srt_time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{rest:03d}"


def write_lrc(transcription: Transcription, options: FormatOptions) -> bytes:
    """LRC lyrics: one line a chord, an empty one where there is none and at the end."""
    lines = [f"[ti:{_tag(title_of(transcription, options))}]"]
    if artist := artist_of(transcription):
        lines.append(f"[ar:{_tag(artist)}]")
    whole = round(transcription.seconds)
    lines += [f"[length:{whole // 60:02d}:{whole % 60:02d}]", "[by:chordtool]"]
    symbols = chord_symbols(transcription, options)
    for segment, symbol in zip(transcription.segments, symbols, strict=True):
        start, end = _lrc_time(segment.start), _lrc_time(segment.end)
        # Players show lines of the same time together.
        if end != start:
            lines.append(f"[{start}]{'' if segment.label == 'N' else symbol}")
    if transcription.segments:
        lines.append(f"[{_lrc_time(transcription.segments[-1].end)}]")
    return ("\n".join(lines) + "\n").encode()


def _lrc_time(seconds: float) -> str:
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def _tag(text: str) -> str:
    """Text that does not end its tag early."""
    return text.replace("[", "(").replace("]", ")")


SRT = Format(
    name="srt",
    suffixes=(".srt",),
    description="captions for a video player",
    write=write_srt,
)

LRC = Format(
    name="lrc",
    suffixes=(".lrc",),
    description="synchronised lyrics for a music player, chords in place of words",
    write=write_lrc,
)
