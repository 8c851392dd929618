"""Make ``examples/clip.mp3``, the short song that the README transcribes, and its ``.lab``.

    python -m recipes.demo_clip examples/

A tune of eight bars written for this purpose, played by a sound font that allows it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import mido
import soundfile

from chordtool.files import atomic_write
from chordtool.vocabulary import CHORD_TONES, ROOTS, parse

FONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
BARS = ("G", "D", "E:min7", "C", "G", "B:7", "C:maj7", "D:sus4", "G")
BEATS_PER_BAR = 4
TEMPO_BPM = 112
TICKS = 480
PIANO, BASS, STRINGS = 0, 33, 48


def midi() -> mido.MidiFile:
    """The tune: broken piano chords, a bass on every other beat, strings, a light beat."""
    events: list[tuple[int, int, int, int, int]] = []  # start, end, channel, note, velocity
    for bar, label in enumerate(BARS):
        chord = parse(label)
        root = ROOTS.index(ROOTS[chord.root or 0])
        tones = CHORD_TONES[chord.quality]
        start = bar * BEATS_PER_BAR
        for eighth in range(2 * BEATS_PER_BAR):
            tone = tones[(0, 1, 2, 1)[eighth % 4] % len(tones)]
            events.append((2 * start + eighth, 2, PIANO, 60 + (root + tone) % 12, 78))
        for tone in tones:
            events.append((2 * start, 8, STRINGS, 55 + (root + tone - 7) % 12, 52))
        for beat in (0, 2):
            events.append((2 * (start + beat), 3, BASS, 36 + (root - 4) % 12 + 4, 92))
        for beat in range(BEATS_PER_BAR):
            events.append((2 * (start + beat), 1, -1, 36 if beat % 2 == 0 else 42, 60))
    channels = {PIANO: 0, BASS: 1, STRINGS: 2, -1: 9}
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(TEMPO_BPM))])
    for program, channel in channels.items():
        if program >= 0:
            track.append(mido.Message("program_change", channel=channel, program=program))
    timed = []
    for start, length, program, note, velocity in events:
        common = {"channel": channels[program], "note": note}
        timed.append((start, 1, mido.Message("note_on", velocity=velocity, **common)))
        timed.append((start + length, 0, mido.Message("note_off", **common)))
    now = 0
    for at, _, message in sorted(timed, key=lambda event: event[:2]):
        track.append(message.copy(time=(at - now) * TICKS // 2))
        now = at
    return mido.MidiFile(ticks_per_beat=TICKS, tracks=[track])


def main(folder: Path) -> None:
    """Write the clip and its labels."""
    seconds_per_bar = BEATS_PER_BAR * 60 / TEMPO_BPM
    with tempfile.TemporaryDirectory() as scratch:
        score, sound = Path(scratch, "clip.mid"), Path(scratch, "clip.wav")
        midi().save(score)
        command = ["fluidsynth", "-ni", "-q", "-g", "0.7", "-r", "44100", "-F", str(sound)]
        subprocess.run([*command, str(FONT), str(score)], check=True)
        samples, rate = soundfile.read(sound, dtype="float32")
    samples = samples[: round(len(BARS) * seconds_per_bar * rate)]
    soundfile.write(folder / "clip.mp3", samples, rate, format="MP3")
    with atomic_write(folder / "clip.lab", "w") as file:
        for bar, label in enumerate(BARS):
            start, end = bar * seconds_per_bar, (bar + 1) * seconds_per_bar
            file.write(f"{start:.3f}\t{end:.3f}\t{label}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
