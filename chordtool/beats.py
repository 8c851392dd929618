"""Beats: where they are, chord changes that fall on them, and the bars they make.

A beat tracker is a plug-in of the entry-point group ``chordtool.beats`` (:class:`BeatTracker`).
The one that is always there is librosa's (Ellis, "Beat Tracking by Dynamic Programming", JNMR
36(1), 2007), which finds beats but no bars; bars are then estimated from the chords.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from chordtool import plugins
from chordtool.errors import ChordtoolError, FormatError
from chordtool.segments import Segment, Transcription
from chordtool.types import Samples

GROUP: Final = "chordtool.beats"
BEATS_PER_BAR: Final = 4


@dataclass(frozen=True)
class Beats:
    """Beats of one recording."""

    times: tuple[float, ...]
    """Seconds, rising."""
    downbeats: tuple[float, ...] = ()
    """Those that begin a bar; empty if the tracker does not know bars."""


@dataclass(frozen=True)
class BeatTracker:
    """A way to find beats, registered in the entry-point group ``chordtool.beats``."""

    name: str
    description: str
    licence: str
    """Of the code and of the weights, if there are any."""
    track: Callable[[Samples, int], Beats]
    """From mono samples, float32 [n], and their rate in Hz."""


def load_tracker(name: str = "librosa") -> BeatTracker:
    """The beat tracker of that name.

    Raises:
        UsageError: there is none, or the plug-in that brings it is broken.
    """
    return plugins.load_as(BeatTracker, GROUP, name, "beat tracker")


def add_beats(
    transcription: Transcription, samples: Samples, sample_rate: int, tracker: str = "librosa"
) -> Transcription:
    """Find the beats of a recording, move its chord changes onto them, and mark the bars.

    Args:
        transcription: the chords of ``samples``.
        samples: float32 [n], mono.
        sample_rate: Hz.
        tracker: name of a beat tracker.

    Raises:
        UsageError: there is no such tracker, or the plug-in that brings it is broken.
        ChordtoolError: the tracker failed.
    """
    found = load_tracker(tracker)
    try:
        beats = _as_promised(found.track(samples, sample_rate))
    except ChordtoolError:
        raise
    except (Exception, SystemExit) as error:  # whatever a plug-in does
        raise FormatError(
            f"The beat tracker {tracker!r} failed: {type(error).__name__}: {error}",
            hint="Leave beats out, or choose another tracker.",
        ) from error
    return snap_to_beats(transcription, beats)


def _as_promised(found: object) -> Beats:
    """What a tracker found, with its times as floats.

    Raises:
        TypeError, ValueError: it is no :class:`Beats`, or its times do not rise.
    """
    if not isinstance(found, Beats):
        raise TypeError(f"it gives no Beats but {type(found).__name__}")
    beats = Beats(tuple(map(float, found.times)), tuple(map(float, found.downbeats)))
    for times in (beats.times, beats.downbeats):
        if not all(earlier <= later for earlier, later in pairwise(times)):  # false for NaN, too
            raise ValueError("its times do not rise")
    return beats


def snap_to_beats(transcription: Transcription, beats: Beats) -> Transcription:
    """Move every chord change to the nearest beat.

    A change further than half a beat from all beats (before the first, after the last) stays. A
    chord that would have no length left is given up to its neighbours, so chords shorter than a
    beat may disappear. Bars are estimated if the tracker does not know them.

    Args:
        transcription: chords that tile the recording.
        beats: of the same recording.
    """
    times = [t for t in beats.times if 0 <= t <= transcription.seconds]
    if len(times) < 2 or not transcription.segments:
        return replace(transcription, beats=tuple(times), downbeats=())
    segments = _moved(transcription.segments, times)
    known = set(times)
    downbeats = tuple(t for t in beats.downbeats if t in known)
    if not downbeats:
        downbeats = estimate_downbeats(segments, times)
    return replace(transcription, segments=segments, beats=tuple(times), downbeats=downbeats)


def _moved(segments: Sequence[Segment], times: Sequence[float]) -> tuple[Segment, ...]:
    moved: list[Segment] = []
    end = segments[0].start
    for segment in segments:
        start = end
        last = segment is segments[-1]
        end = max(start, segment.end if last else _nearest(segment.end, times))
        if end == start:
            continue
        if moved and moved[-1].label == segment.label:
            # What stood between two stretches of one chord was given up.
            moved[-1] = replace(moved[-1], end=end)
        else:
            moved.append(replace(segment, start=start, end=end))
    return tuple(moved)


def _nearest(time: float, times: Sequence[float]) -> float:
    """The beat nearest to a time, or the time itself if none is within half a beat."""
    after = min(max(bisect_left(times, time), 1), len(times) - 1)
    before, beyond = times[after - 1], times[after]
    nearest = before if time - before <= beyond - time else beyond
    return nearest if abs(time - nearest) <= (beyond - before) / 2 + 1e-9 else time


def estimate_downbeats(
    segments: Sequence[Segment], times: Sequence[float], beats_per_bar: int = BEATS_PER_BAR
) -> tuple[float, ...]:
    """Which beats begin a bar, if every bar has the same number of beats.

    Chords change on downbeats more than elsewhere, and chords that begin there last longer. Of
    the possible phases the one is taken whose beats begin the most chord time, where a chord
    counts with its length up to one bar.

    Args:
        segments: with changes on beats (:func:`snap_to_beats`).
        times: beats in seconds, rising.
        beats_per_bar: four in most popular music; nothing here can tell otherwise.

    Returns:
        Every ``beats_per_bar``-th beat, from the first or one of the next few on.
    """
    if len(times) < 2:
        return tuple(times)
    bar = beats_per_bar * (times[-1] - times[0]) / (len(times) - 1)
    place = {time: n % beats_per_bar for n, time in enumerate(times)}
    begun = [0.0] * beats_per_bar
    for segment in segments:
        if segment.start in place and segment.label not in ("N", "X"):
            begun[place[segment.start]] += min(segment.seconds, bar)
    phase = begun.index(max(begun))
    return tuple(times[phase::beats_per_bar])


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart."""

    start: float
    """Seconds."""
    chords: tuple[int, ...]
    """For each beat, the index of the segment that sounds in it."""


def bars_of(transcription: Transcription) -> list[Bar]:
    """The bars of a transcription with downbeats; none if it has no downbeats.

    A beat has the chord that sounds in its middle. What comes before the first downbeat is a bar
    of its own; so are the chords before the first beat, one place for each.
    """
    beats, segments = transcription.beats, transcription.segments
    if not transcription.downbeats or not segments:
        return []
    starts = [s.start for s in segments]
    ends = [*beats[1:], transcription.seconds]
    sounding = [
        max(0, bisect_right(starts, (beat + end) / 2) - 1)
        for beat, end in zip(beats, ends, strict=True)
    ]
    bars: list[Bar] = []
    early = tuple(n for n, s in enumerate(segments) if s.end <= beats[0] + 1e-9 and s.label != "N")
    if early:
        bars.append(Bar(segments[early[0]].start, early))
    place = {beat: n for n, beat in enumerate(beats)}
    edges = [place[d] for d in transcription.downbeats]
    if edges[0] > 0:
        edges.insert(0, 0)
    for first, stop in pairwise([*edges, len(beats)]):
        bars.append(Bar(beats[first], tuple(sounding[first:stop])))
    return bars


def _track_with_librosa(samples: Samples, sample_rate: int) -> Beats:
    """Beats of the whole recording, at one frame's precision (512 samples at 22,050 Hz: 23 ms)."""
    import librosa  # heavy, and only needed where beats are asked for

    if len(samples) < sample_rate // 2 or not np.any(samples):
        return Beats(())
    rate = 22050
    if sample_rate != rate:
        samples = librosa.resample(samples, orig_sr=sample_rate, target_sr=rate)
    # The median over frequencies holds out against a single loud instrument, but is zero where
    # only a few frequencies sound at all.
    for aggregate in (np.median, np.mean):
        onset = librosa.onset.onset_strength(y=samples, sr=rate, aggregate=aggregate)
        if onset.any():
            break
    _, times = librosa.beat.beat_track(onset_envelope=onset, sr=rate, units="time", trim=False)
    return Beats(tuple(float(t) for t in np.unique(times)))


LIBROSA: Final = BeatTracker(
    name="librosa",
    description="Ellis's dynamic programming on onset strength; no bars of its own",
    licence="ISC",
    track=_track_with_librosa,
)
