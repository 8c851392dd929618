"""A short song that has what formats stumble over, for the tests of all of them."""

from __future__ import annotations

from chordtool.segments import Alternative, Segment, Transcription

SONG = Transcription(
    segments=(
        Segment(0.0, 1.0, "N", 0.99, (Alternative("A#", 0.005),)),
        Segment(
            1.0,
            3.0,
            "A#",
            0.9,
            (Alternative("G:min", 0.05), Alternative("A#:maj7", 0.03), Alternative("D:min", 0.01)),
        ),
        Segment(3.0, 5.0, "D:min7", 0.7, (Alternative("F:maj6", 0.2), Alternative("D:min", 0.1))),
        Segment(5.0, 7.0, "D#:maj7", 0.8, (Alternative("G:min", 0.1),)),
        Segment(7.0, 8.0, "F:sus4", 0.45, (Alternative("F:7", 0.4),)),
        Segment(8.0, 9.0, "F:7", 0.6),
        Segment(9.0, 11.0, "A#/3", 0.75),
        Segment(11.0, 12.0, "E:dim7", 0.5),
        Segment(12.0, 13.0, "F", 0.9),
        Segment(13.0, 14.25, "X", 0.3, (Alternative("F:sus2", 0.2),)),
        Segment(14.25, 17.1875, "A#:maj6", 0.85),
    ),
    seconds=17.1875,
    source="songs/Late Train.wav",
    model="example",
    beats=tuple(1.0 + 0.5 * n for n in range(32)),
    downbeats=tuple(1.0 + 2.0 * n for n in range(8)),
    metadata={"title": "Late Train", "artist": "The Examples & Söhne"},
)
"""B flat major, 120 beats a minute from the first second on; the X begins between two beats."""
