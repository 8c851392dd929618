"""What comes out: chord segments, and the transcription that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of the ranked readings of a segment."""

    label: str
    """Harte label."""
    confidence: float
    """Mean posterior probability over the segment's frames, 0..1."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time with one chord."""

    start: float
    """Seconds from the start of the recording."""
    end: float
    """Seconds, greater than ``start``."""
    label: str
    """Harte label, for example ``"C"``, ``"A:min7"``, ``"N"``."""
    confidence: float = 1.0
    """Mean posterior probability of the label over the segment's frames, 0..1."""
    alternatives: tuple[Alternative, ...] = ()
    """The likeliest other readings, likeliest first; one may be likelier than the label."""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Transcription:
    """The chords of one recording.

    The segments tile the recording: the first starts at 0, each starts where the one before
    it ends, the last ends at ``seconds``. A recording without samples has no segments.
    """

    segments: tuple[Segment, ...]
    seconds: float
    """Length of the recording."""
    source: str = ""
    """Path of the recording as given, ``"-"`` for standard input, empty if unknown."""
    model: str = ""
    """Name of the model that made it."""
    vocabulary: str = "large"
    """``"large"`` or ``"majmin"``."""
    beats: tuple[float, ...] = ()
    """Times of beats in seconds, empty if they are not known."""
    downbeats: tuple[float, ...] = ()
    """Times of the first beat of each bar in seconds; a subset of ``beats``."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Tags of the recording (title, artist), untrusted text."""
