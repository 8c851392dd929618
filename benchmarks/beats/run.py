"""Where a beat tracker hears the beats of rendered songs, beside where their MIDI has them.

``python benchmarks/beats/run.py --rendered rendered/ --midi pop909/ --songs 10``

``--rendered`` is what ``recipes/render_midi.py`` wrote: FLAC files and ``manifest.jsonl``, which
says how much each song was stretched and where its excerpt begins. True beats are the MIDI's own
grid. A MIDI file's grid can be shifted against its music, so the grid is moved to where the chords
of the annotation change; songs with more than one tempo, or whose chords and notes do not lie on
the grid even so, are left out. Prints, for each song and on average, the measures of
``mir_eval.beat`` after the usual cut of the first five seconds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mir_eval
import numpy as np
import pretty_midi
import soundfile
from numpy.typing import NDArray

from chordtool.beats import load_tracker
from chordtool.formats import read_transcription

ON_GRID = {"chords on beats": 0.98, "notes on sixteenths": 0.8}
"""Least length of the mean vector of the phases; 1 is exactly on the grid."""


def true_beats(midi: Path, facts: dict[str, Any]) -> NDArray[np.float64] | None:
    """Beats in seconds of the excerpt, while music sounds; ``None`` if they are not certain."""
    music = pretty_midi.PrettyMIDI(str(midi))
    _, tempi = music.get_tempo_changes()
    notes = [note for instrument in music.instruments for note in instrument.notes]
    changes = [s.start for s in read_transcription(midi.with_suffix(".lab")).segments[1:]]
    if len(tempi) != 1 or not notes or not changes:
        return None
    beat = 60 / float(tempi[0])
    phase = _mean_phase(np.array(changes), beat)
    onsets = np.array([note.start for note in notes])
    sixteenths = abs(_mean_phase(onsets, beat / 4))
    if abs(phase) < ON_GRID["chords on beats"] or sixteenths < ON_GRID["notes on sixteenths"]:
        return None
    shift = float(np.angle(phase)) / (2 * np.pi) * beat
    grid = shift + beat * np.arange(-1, int(music.get_end_time() / beat) + 2)
    sounding = (grid > onsets.min() - 0.05) & (grid < max(note.end for note in notes))
    placed = grid[sounding] / facts["tempo"] - facts["excerpt_start"]
    return placed[(placed >= 0) & (placed <= facts["seconds"])]


def _mean_phase(times: NDArray[np.float64], period: float) -> complex:
    return complex(np.exp(2j * np.pi * times / period).mean())


def songs(rendered: Path, midi: Path) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
    """The first version of each song whose beats are certain."""
    seen = set()
    for line in (rendered / "manifest.jsonl").read_text().splitlines():
        facts = json.loads(line)
        if facts["song"] in seen:
            continue
        seen.add(facts["song"])
        beats = true_beats(midi / f"{facts['song']}.mid", facts)
        if beats is not None:
            yield facts, beats


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rendered", type=Path, required=True)
    parser.add_argument("--midi", type=Path, required=True)
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--tracker", default="librosa")
    arguments = parser.parse_args()
    track = load_tracker(arguments.tracker).track
    measured = []
    print("song        bpm  found/true      F   CMLt   AMLt")
    for facts, beats in songs(arguments.rendered, arguments.midi):
        samples, rate = soundfile.read(
            arguments.rendered / f"{facts['stem']}.flac", dtype="float32", always_2d=True
        )
        found = np.array(track(samples.mean(axis=1), rate).times)
        truth, heard = mir_eval.beat.trim_beats(beats), mir_eval.beat.trim_beats(found)
        _, correct, _, any_level = mir_eval.beat.continuity(truth, heard)
        scores = (mir_eval.beat.f_measure(truth, heard), correct, any_level)
        measured.append(scores)
        tempi = [60 / float(np.median(np.diff(times))) for times in (truth, heard)]
        shown = " ".join(f"{score:6.3f}" for score in scores)
        print(
            f"{facts['stem']:10} {tempi[0]:4.0f}  {tempi[1] / tempi[0]:10.2f} {shown}", flush=True
        )
        if len(measured) == arguments.songs:
            break
    means = " ".join(f"{score:6.3f}" for score in np.mean(measured, axis=0))
    print(f"{'mean':27} {means}")


if __name__ == "__main__":
    main()
