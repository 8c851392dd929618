"""Make a trained student the model that comes inside the package.

    python -m recipes.ship RUN --validation /work/data/val

Chooses the decoder's penalty on validation songs, then writes ``default.onnx`` into the package,
with a card that says what it was trained on. Test songs play no part in it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import mir_eval
import numpy as np

from chordtool import audio
from chordtool.decoding import Decoding, decode
from chordtool.export import export, export_run
from chordtool.models.onnx import OnnxModel
from chordtool.models.students import from_onnx
from chordtool.vocabulary import LARGE

PENALTIES = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 13.0)
METRICS = ("root", "thirds", "triads", "sevenths", "tetrads", "majmin", "mirex")
TARGET = Path(__file__).resolve().parents[1] / "chordtool/models/data/default.onnx"
DATA = {
    "pop909-rendered": "803 songs of POP909 (MIT) rendered with FluidR3 (MIT), TimGM6mb (GPL-2), "
    "GMbank (public domain) and OPL-3 (CC BY-SA 4.0)",
    "synth-songs": "410 generated songs and chord takes, rendered with the same fonts",
    "unlabelled": "freely licensed game and album music, labelled by the teachers lv (MIT) and "
    "crema (BSD-2-Clause)",
}


def score(model: OnnxModel, folder: Path, penalties: tuple[float, ...]) -> dict[float, float]:
    """Mean of the seven metrics over a folder of labelled audio, weighted by time."""
    rate = model.card.front_end.sample_rate
    sums = dict.fromkeys(penalties, 0.0)
    seconds = 0.0
    for labels in sorted(folder.rglob("*.lab")):
        recording = audio.load(labels.with_suffix(".flac"), rate)
        intervals, reference = mir_eval.io.load_labeled_intervals(str(labels))
        length = float(intervals[-1, 1])
        seconds += length
        logits = model.logits(model.features(recording.samples))
        edges = model.card.front_end.frame_edges(len(logits), recording.seconds)
        for penalty in penalties:
            found = decode(logits, edges, LARGE, Decoding(change_penalty=penalty))
            times = np.array([[s.start, s.end] for s in found])
            names = [s.label for s in found]
            scores = mir_eval.chord.evaluate(intervals, reference, times, names)
            sums[penalty] += length * float(np.mean([scores[m] for m in METRICS]))
    return {penalty: total / seconds for penalty, total in sums.items()}


def main() -> None:
    """Choose, describe, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--recipe", default="recipes/README.md")
    arguments = parser.parse_args()
    trial = arguments.run / "trial.onnx"
    export_run(arguments.run, trial, overwrite=True)
    scores = score(OnnxModel.from_file(trial), arguments.validation, PENALTIES)
    for penalty, value in scores.items():
        print(f"penalty {penalty:5.1f}  mean of the seven metrics {value:.4f}")
    best = max(scores, key=scores.__getitem__)
    module, card = from_onnx(trial)
    training = {k: v for k, v in card.training.items() if k in ("epoch", "step", "command")}
    card = replace(
        card,
        name="default",
        version="0.1.0",
        licence="MIT",
        source="chordtool",
        teacher="lv",
        description="BTC student of lv, fine-tuned on rendered songs; 170 classes.",
        decoding=Decoding(change_penalty=best),
        training={**training, "data": DATA, "recipe": arguments.recipe},
        metrics={"validation mean of seven": round(scores[best], 4)},
    )
    written = export(module, card, TARGET)
    print(f"{written.path}: {written.size} bytes, sha256 {written.sha256}")


if __name__ == "__main__":
    main()
