"""How short a chord may be and still be heard, by what a change costs the decoder.

    python benchmarks/fast_changes/run.py [MODEL.onnx]

Each chord of the example clip is set, for half a second and less, between twice a second and a half
of each other one; it counts as heard if it has its label for most of its time.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np

from chordtool import Decoding, audio
from chordtool.decoding import decode
from chordtool.formats import read_segments
from chordtool.models.default import PATH
from chordtool.models.onnx import OnnxModel
from chordtool.segments import Segment
from chordtool.vocabulary import LARGE

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
AROUND = 1.5
"""Seconds of the other chord before, and again after."""
LENGTHS = (0.5, 0.4, 0.25)


def heard(segments: tuple[Segment, ...], label: str, seconds: float) -> bool:
    """Whether what lies between the two stretches of the other chord mostly has a label."""
    end = AROUND + seconds
    named = (min(s.end, end) - max(s.start, AROUND) for s in segments if s.label == label)
    return sum(max(0.0, time) for time in named) > seconds / 2


def main() -> None:
    """Print how many are heard, a line a length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path, nargs="?", default=PATH, help="an .onnx file")
    model = OnnxModel.from_file(parser.parse_args().model)
    front_end, usual = model.card.front_end, model.card.decoding.change_penalty
    clip = audio.load(EXAMPLES / "clip.mp3", front_end.sample_rate).samples
    chords = read_segments(EXAMPLES / "clip.lab")

    def cut(chord: Segment, seconds: float) -> np.ndarray:
        first = int(chord.start * front_end.sample_rate)
        return clip[first : first + int(seconds * front_end.sample_rate)]

    pairs = [(a, b) for a, b in permutations(chords, 2) if a.label != b.label]
    for seconds in LENGTHS:
        count: Counter[float] = Counter()
        for other, chord in pairs:
            around = cut(other, AROUND)
            samples = np.concatenate([around, cut(chord, seconds), around])
            logits = model.logits(model.features(samples))
            edges = front_end.frame_edges(len(logits), len(samples) / front_end.sample_rate)
            for penalty in (usual, 2.0):
                decoding = Decoding(change_penalty=penalty, between_frames=True)
                found = decode(logits, edges, LARGE, decoding)
                count[penalty] += heard(found, chord.label, seconds)
        by_cost = ", ".join(f"{n} at {penalty:g} nats" for penalty, n in count.items())
        print(f"{seconds:g} s: of {len(pairs)}, {by_cost}")


if __name__ == "__main__":
    main()
