"""``midi``: block chords at 120 beats a minute, chord symbols as markers.

A Standard MIDI File of type 1: a track with the tempo and the markers, and a track of notes. The
tempo is fixed so that the file lines up with the recording in a sequencer.
"""

from __future__ import annotations

from typing import Final

from chordtool.errors import FormatError
from chordtool.formats.base import Format, FormatOptions
from chordtool.formats.text import chord_symbols, title_of
from chordtool.segments import Transcription
from chordtool.vocabulary import CHORD_TONES, parse

TEMPO_BPM: Final = 120
TICKS_PER_BEAT: Final = 480
TICKS_PER_SECOND: Final = TICKS_PER_BEAT * TEMPO_BPM // 60
_VELOCITY: Final = 80
_LARGEST_TICK: Final = 0x0FFFFFFF
_BASS: Final = 36
"""The bass note is in the octave that begins here, C2."""
_UPPER: Final = 55
"""The chord is in the octave that begins here, G3: whatever it is, it lies in the middle."""

_Event = tuple[int, int, bytes]
"""Tick, rank among events of one tick, message."""


def write_midi(transcription: Transcription, options: FormatOptions) -> bytes:
    """The file.

    Raises:
        FormatError: the recording is longer than a MIDI file can say, 77 hours.
    """
    if transcription.seconds * TICKS_PER_SECOND > _LARGEST_TICK:
        raise FormatError("The recording is too long for a MIDI file.")
    end = _tick(transcription.seconds)
    symbols = chord_symbols(transcription, options)
    markers = [
        (_tick(s.start), 0, _meta(0x06, symbol.encode()))
        for s, symbol in zip(transcription.segments, symbols, strict=True)
    ]
    conductor = [
        (0, -3, _meta(0x03, title_of(transcription, options).encode())),
        (0, -2, _meta(0x51, (60_000_000 // TEMPO_BPM).to_bytes(3, "big"))),
        (0, -1, _meta(0x58, bytes((4, 2, 24, 8)))),
        *markers,
    ]
    notes: list[_Event] = [(0, -1, _meta(0x03, b"Chords"))]
    for segment in transcription.segments:
        start, stop = _tick(segment.start), _tick(segment.end)
        if stop > start:
            for note in notes_of(segment.label):
                notes.append((start, 1, bytes((0x90, note, _VELOCITY))))
                notes.append((stop, 0, bytes((0x80, note, 0))))
    header = b"MThd" + b"".join(n.to_bytes(s, "big") for n, s in ((6, 4), (1, 2), (2, 2)))
    return header + TICKS_PER_BEAT.to_bytes(2, "big") + _track(conductor, end) + _track(notes, end)


def notes_of(label: str) -> tuple[int, ...]:
    """MIDI notes of a chord: the bass in C2..B2, the chord tones in G3..F#4; none for ``N``, ``X``.

    Raises:
        LabelError: the label is not a chord.
    """
    chord = parse(label)
    if chord.root is None or chord.quality not in CHORD_TONES:
        return ()
    bass = _BASS + (chord.root + chord.bass) % 12
    tones = (_UPPER + (chord.root + t - _UPPER) % 12 for t in CHORD_TONES[chord.quality])
    return (bass, *sorted(tones))


def _tick(seconds: float) -> int:
    return round(seconds * TICKS_PER_SECOND)


def _track(events: list[_Event], end: int) -> bytes:
    """A track chunk; notes end before others begin at the same tick."""
    body = bytearray()
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        body += _variable(tick - now) + message
        now = tick
    body += _variable(max(0, end - now)) + _meta(0x2F, b"")
    return b"MTrk" + len(body).to_bytes(4, "big") + bytes(body)


def _meta(kind: int, data: bytes) -> bytes:
    return bytes((0xFF, kind)) + _variable(len(data)) + data


def _variable(value: int) -> bytes:
    """A variable-length quantity: seven bits a byte, the last one without the high bit."""
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(0x80 | value & 0x7F)
    return bytes(reversed(octets))


MIDI = Format(
    name="midi",
    suffixes=(".mid", ".midi"),
    description="block chords at 120 beats a minute, chord symbols as markers",
    write=write_midi,
    binary=True,
)
