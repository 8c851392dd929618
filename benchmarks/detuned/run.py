"""How well a model copes with recordings that are not tuned to A4 = 440 Hz.

    python benchmarks/detuned/run.py LABELS/ [--audio DIR] [--model MODEL.onnx] [--cents 25 50]

A recording that is so many cents sharp is one whose constant-Q bins lie as many cents flat: nothing
is resampled, and the labels stay where they are.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from chordtool import audio
from chordtool.constantq import log_cqt
from chordtool.decoding import decode
from chordtool.evaluation import evaluate
from chordtool.evaluation.files import match_audio, read_references
from chordtool.models.default import PATH
from chordtool.models.onnx import OnnxModel
from chordtool.segments import Segment
from chordtool.vocabulary import LARGE

METRICS = ("root", "majmin", "tetrads")


def hear(model: OnnxModel, recording: audio.Audio, cents: float) -> tuple[Segment, ...]:
    """The chords of a recording, as if it were sharp by so many cents."""
    front_end = model.card.front_end
    flat = replace(front_end, fmin=front_end.fmin * 2 ** (-cents / 1200))
    logits = model.logits(log_cqt(recording.samples, flat).astype(np.float32))
    edges = front_end.frame_edges(len(logits), recording.seconds)
    return decode(logits, edges, LARGE, model.card.decoding, top=1)


def main() -> None:
    """Print a line of scores for each number of cents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("labels", type=Path, help="folder of chord files")
    parser.add_argument("--audio", type=Path, help="their recordings; beside them if not given")
    parser.add_argument("--model", type=Path, default=PATH, help="an .onnx file")
    parser.add_argument("--cents", type=float, nargs="+", default=[0, 25, 35, 45, 50])
    arguments = parser.parse_args()
    model = OnnxModel.from_file(arguments.model)
    references = read_references(arguments.labels)
    found: dict[float, dict[str, tuple[Segment, ...]]] = {c: {} for c in arguments.cents}
    for file, path in match_audio(references, arguments.audio).pairs:
        recording = audio.load(path, model.card.front_end.sample_rate)
        for cents, songs in found.items():
            songs[references.name_of(file)] = hear(model, recording, cents)
    for cents, songs in found.items():
        scores = evaluate(references.segments, songs)
        line = ", ".join(f"{metric} {100 * scores[metric].value:.1f}" for metric in METRICS)
        print(f"{cents:+g} cents: {line}")


if __name__ == "__main__":
    main()
