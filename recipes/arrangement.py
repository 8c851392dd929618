"""Notes, parts and chord spans on one time line, and the MIDI file that plays them.

Everything is in seconds, so that notes and labels are moved, stretched and cropped by the same
numbers and cannot drift apart.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import mido

from chordtool.vocabulary import transpose as transpose_label

TICKS_PER_SECOND = 5000
DRUM_CHANNEL = 9


@dataclass(frozen=True)
class Note:
    """One key: start and end in seconds, MIDI pitch 0..127, velocity 1..127."""

    start: float
    end: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class ChordSpan:
    """A Harte label from ``start`` to ``end`` seconds."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Levels:
    """MIDI controllers of a part, 0..127 each."""

    volume: int = 100
    reverb: int = 20
    chorus: int = 0
    vibrato: int = 0


@dataclass(frozen=True)
class Part:
    """What one instrument plays.

    ``program`` is the General MIDI program 0..127 (a drum kit where ``drums`` is set), ``pedal``
    the sustain pedal as (seconds, down) in order.
    """

    name: str
    program: int
    notes: tuple[Note, ...]
    levels: Levels = Levels()
    drums: bool = False
    pedal: tuple[tuple[float, bool], ...] = ()


def transpose_notes(notes: Iterable[Note], semitones: int) -> tuple[Note, ...]:
    """Notes moved by semitones; those that leave the MIDI range move back by octaves."""
    moved = []
    for note in notes:
        pitch = note.pitch + semitones
        while pitch < 0:
            pitch += 12
        while pitch > 127:
            pitch -= 12
        moved.append(replace(note, pitch=pitch))
    return tuple(moved)


def transpose_spans(spans: Iterable[ChordSpan], semitones: int) -> tuple[ChordSpan, ...]:
    """Spans whose labels are moved by semitones."""
    return tuple(replace(s, label=transpose_label(s.label, semitones)) for s in spans)


def stretch_notes(notes: Iterable[Note], factor: float) -> tuple[Note, ...]:
    """Notes ``factor`` times as long and as late."""
    return tuple(replace(n, start=n.start * factor, end=n.end * factor) for n in notes)


def stretch_spans(spans: Iterable[ChordSpan], factor: float) -> tuple[ChordSpan, ...]:
    """Spans ``factor`` times as long and as late."""
    return tuple(replace(s, start=s.start * factor, end=s.end * factor) for s in spans)


def crop_notes(notes: Iterable[Note], start: float, end: float) -> tuple[Note, ...]:
    """What is heard of the notes between ``start`` and ``end``, with ``start`` as the new zero.

    A note that is held into the window is struck again at its beginning if at least 0.15 s of
    it are left.
    """
    kept = []
    for note in notes:
        first, last = max(note.start, start), min(note.end, end)
        shortest = 0.15 if note.start < start else 0.0
        if last - first > shortest:
            kept.append(replace(note, start=first - start, end=last - start))
    return tuple(kept)


def crop_spans(spans: Iterable[ChordSpan], start: float, end: float) -> tuple[ChordSpan, ...]:
    """The spans between ``start`` and ``end``, with ``start`` as the new zero."""
    kept = []
    for span in spans:
        first, last = max(span.start, start), min(span.end, end)
        if last - first > 1e-6:
            kept.append(ChordSpan(first - start, last - start, span.label))
    return tuple(kept)


def crop_pedal(
    pedal: Iterable[tuple[float, bool]], start: float, end: float
) -> tuple[tuple[float, bool], ...]:
    """The pedal between ``start`` and ``end``; one that is down at ``start`` is pressed there."""
    down = False
    kept = []
    for time, pressed in pedal:
        if time <= start:
            down = pressed
        elif time < end:
            kept.append((time - start, pressed))
    return ((0.0, True), *kept) if down else tuple(kept)


def tile(spans: Sequence[ChordSpan], duration: float) -> tuple[ChordSpan, ...]:
    """Spans that cover 0 to ``duration`` without a gap or an overlap; gaps become ``N``.

    Neighbours of one label are kept apart: a boundary in the source may be a new bass.
    """
    tiled: list[ChordSpan] = []
    position = 0.0
    for span in sorted(spans, key=lambda s: s.start):
        start, end = max(span.start, position), min(span.end, duration)
        if end - start <= 1e-6:
            continue
        if start - position > 1e-3:
            tiled.append(ChordSpan(position, start, "N"))
            position = start
        tiled.append(ChordSpan(position, end, span.label))
        position = end
    if duration - position > 1e-3 or not tiled:
        tiled.append(ChordSpan(position, duration, "N"))
    else:
        tiled[-1] = replace(tiled[-1], end=duration)
    return tuple(tiled)


def to_midi(parts: Sequence[Part], detune_cents: float = 0.0) -> bytes:
    """A standard MIDI file (type 1) of the parts.

    Args:
        parts: at most 15 pitched ones and any number of drum parts.
        detune_cents: fine tuning of all pitched channels, -100..100.

    Raises:
        ValueError: too many pitched parts for one MIDI port.
    """
    free = [c for c in range(16) if c != DRUM_CHANNEL]
    if sum(not p.drums for p in parts) > len(free):
        raise ValueError("a MIDI file has room for 15 pitched parts")
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_SECOND)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)]))
    for part in parts:
        channel = DRUM_CHANNEL if part.drums else free.pop(0)
        file.tracks.append(_track(part, channel, 0.0 if part.drums else detune_cents))
    data = io.BytesIO()
    file.save(file=data)
    return data.getvalue()


def _track(part: Part, channel: int, cents: float) -> mido.MidiTrack:
    def control(number: int, value: int) -> mido.Message:
        return mido.Message("control_change", channel=channel, control=number, value=value)

    track = mido.MidiTrack([mido.MetaMessage("track_name", name=part.name)])
    track.append(mido.Message("program_change", channel=channel, program=part.program))
    levels = part.levels
    track += [control(7, levels.volume), control(91, levels.reverb)]
    track += [control(93, levels.chorus), control(1, levels.vibrato)]
    if cents:
        # Registered parameter 1, fine tuning: 14 bits over -100..100 cents (MIDI 1.0).
        value = min(16383, max(0, round(8192 + cents / 100 * 8192)))
        track.extend(
            control(number, v)
            for number, v in ((101, 0), (100, 1), (6, value >> 7), (38, value & 127))
        )
    # At one tick, releases come before strikes, or a repeated key would be cut at once.
    events: list[tuple[int, int, mido.Message]] = []
    for time, down in part.pedal:
        events.append((_tick(time), 1, control(64, 127 if down else 0)))
    for note in part.notes:
        first, last = _tick(note.start), max(_tick(note.end), _tick(note.start) + 50)
        on = mido.Message("note_on", channel=channel, note=note.pitch, velocity=note.velocity)
        off = mido.Message("note_off", channel=channel, note=note.pitch, velocity=0)
        events += [(first, 2, on), (last, 0, off)]
    events.sort(key=lambda e: e[:2])
    position = 0
    for tick, _, message in events:
        track.append(message.copy(time=tick - position))
        position = tick
    return track


def _tick(seconds: float) -> int:
    return max(0, round(seconds * TICKS_PER_SECOND))
