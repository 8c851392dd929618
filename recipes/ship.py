"""Make a trained student the model that comes inside the package.

    python -m recipes.ship RUN --labels ../data/rendered --labels ../data/generated \\
        --music ../data/music

Chooses on the songs that validated the run how far each quality is favoured, and, on them and on
music that a teacher labelled, what a change of chord costs the decoder and how far no chord is
favoured. Then it writes ``default.onnx`` into the package, with a card that says what it was
trained on. The rendered test songs play no part in it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mir_eval
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from chordtool import audio
from chordtool.decoding import Decoding, decode
from chordtool.evaluation import METRICS
from chordtool.export import export, export_run
from chordtool.matching import song_names
from chordtool.models.onnx import OnnxModel
from chordtool.models.students import from_onnx
from chordtool.models.windows import Windows
from chordtool.types import Logits
from chordtool.vocabulary import LARGE

PENALTIES = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 13.0)
QUALITIES = ("min7", "7", "maj7", "sus4", "sus2", "dim", "N")
"""What may be favoured: the qualities that songs have enough of to tell."""
STEPS = (-0.5, 0.5, 1.0, 1.5)
"""Nats that are tried for each."""
LEAST_GAIN = 2e-3
"""Of the mean score; less is noise, and no reason to touch the model."""
TARGET = Path(__file__).resolve().parents[1] / "chordtool/models/data/default.onnx"
DATA = {
    "pop909-rendered": "803 songs of POP909 (MIT), two to six times each, rendered with FluidR3 "
    "(MIT), TimGM6mb (GPL-2), GMbank (public domain) and OPL-3 (CC BY-SA 4.0), and with timbres "
    "drawn at random; 84 of them once more, sung by a vocoder out of a game's dialogues (GPL-2)",
    "synth-songs": "260 generated songs and chord takes, rendered with the same fonts",
    "unlabelled": "freely licensed game and album music, labelled by the teacher lv (MIT)",
    "debian-music": "game music of 74 packages of Debian's section main, labelled by lv (MIT)",
}


@dataclass(frozen=True)
class Song:
    """A validation song: what the model answers, and what is right."""

    logits: Logits
    edges: NDArray[np.float64]
    intervals: NDArray[np.float64]
    labels: tuple[str, ...]


def validated(run: Path, folders: Sequence[Path]) -> list[Path]:
    """The label files of the songs that validated a run."""
    names = set(json.loads((run / "split.json").read_text())["validation"])
    pattern = json.loads((run / "config.json").read_text())["song_pattern"]
    files = [path for folder in folders for path in sorted(folder.rglob("*.lab"))]
    songs = song_names(files, pattern)
    return [path for path, song in zip(files, songs, strict=True) if song in names]


def heard_in(labels: Path) -> Path:
    """The recording that lies beside a label file.

    Raises:
        FileNotFoundError: there is none.
    """
    for suffix in sorted(audio.AUDIO_SUFFIXES):
        if (recording := labels.with_suffix(suffix)).exists():
            return recording
    raise FileNotFoundError(f"no recording beside {labels}")


def hear(model: OnnxModel, files: Sequence[Path]) -> list[Song]:
    """Frame logits of recordings, by the label files beside them."""
    songs = []
    for labels in files:
        recording = audio.load(heard_in(labels), model.card.front_end.sample_rate)
        intervals, reference = mir_eval.io.load_labeled_intervals(str(labels))
        logits = model.logits(model.features(recording.samples))
        edges = model.card.front_end.frame_edges(len(logits), recording.seconds)
        songs.append(Song(logits, edges, intervals, tuple(reference)))
    return songs


def score(
    songs: Sequence[Song],
    penalty: float,
    favour: Mapping[str, float],
    metrics: Sequence[str] = METRICS,
) -> float:
    """Mean of some metrics over songs, weighted by time."""
    total = seconds = 0.0
    added = bias(favour)
    for song in songs:
        decoding = Decoding(change_penalty=penalty, between_frames=True)
        found = decode(song.logits + added, song.edges, LARGE, decoding)
        times = np.array([[s.start, s.end] for s in found])
        scores = mir_eval.chord.evaluate(
            song.intervals, list(song.labels), times, [s.label for s in found]
        )
        length = float(song.intervals[-1, 1])
        total += length * float(np.mean([scores[m] for m in metrics]))
        seconds += length
    return total / seconds


def bias(favour: Mapping[str, float]) -> NDArray[np.float32]:
    """What is added to the logits, float32 [classes], for nats by quality (``N``: no chord)."""
    qualities = [
        label if label in ("N", "X") else label.partition(":")[2] or "maj" for label in LARGE
    ]
    return np.array([favour.get(quality, 0.0) for quality in qualities], np.float32)


def choose(
    songs: Sequence[Song], music: Sequence[Song] = ()
) -> tuple[float, dict[str, float], float]:
    """The penalty and the favours that score best, one after the other, and their score on songs.

    Renderings have clearer chords than recordings have, and less that is no chord. The penalty and
    how far no chord is favoured are therefore chosen on both alike: songs by the mean of the
    metrics, music by how often it is what its labels say in major and minor.
    """

    def judged(penalty: float, favour: Mapping[str, float], alike: bool) -> float:
        on_songs = score(songs, penalty, favour)
        if not alike or not music:
            return on_songs
        return (on_songs + score(music, penalty, favour, ("majmin",))) / 2

    scores = {penalty: judged(penalty, {}, alike=True) for penalty in PENALTIES}
    for penalty, value in scores.items():
        print(f"penalty {penalty:5.1f}  {value:.4f}", flush=True)
    penalty = max(scores, key=scores.__getitem__)
    favour: dict[str, float] = {}
    for quality in QUALITIES:
        alike = quality == "N"
        before = judged(penalty, favour, alike)
        tried = {step: judged(penalty, {**favour, quality: step}, alike) for step in STEPS}
        step = max(tried, key=tried.__getitem__)
        print(f"{quality:5} {step:+.1f}  {tried[step]:.4f} after {before:.4f}", flush=True)
        if tried[step] > before + LEAST_GAIN:
            favour[quality] = step
    best = score(songs, penalty, favour)
    return penalty, favour, best


def favoured(module: nn.Module, favour: Mapping[str, float]) -> nn.Module:
    """The student with the favours added to the bias of its classifier, in place."""
    layers = [
        m for m in module.modules() if isinstance(m, nn.Linear) and m.out_features == len(LARGE)
    ]
    (classifier,) = layers
    with torch.no_grad():
        classifier.bias += torch.from_numpy(bias(favour))
    return module


def main() -> None:
    """Choose, describe, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--labels", type=Path, action="append", required=True)
    parser.add_argument(
        "--music", type=Path, action="append", default=[], help="recordings that a teacher labelled"
    )
    parser.add_argument("--recipe", default="recipes/README.md")
    parser.add_argument(
        "--context-frames", type=int, default=0,
        help="at either edge of a window, there to be heard",
    )  # fmt: skip
    parser.add_argument("--target", type=Path, default=TARGET)
    arguments = parser.parse_args()
    trial = arguments.run / "trial.onnx"
    export_run(arguments.run, trial, overwrite=True)
    model = OnnxModel.from_file(trial)
    model.windows = Windows(arguments.context_frames)
    songs = hear(model, validated(arguments.run, arguments.labels))
    labelled = [path for folder in arguments.music for path in sorted(folder.glob("*.lab"))]
    music = hear(model, labelled)
    print(f"{len(songs)} validation recordings, {len(music)} of music", flush=True)
    penalty, favour, best = choose(songs, music)
    module, card = from_onnx(trial)
    training = {k: v for k, v in card.training.items() if k in ("epoch", "step", "command")}
    card = replace(
        card,
        name="default",
        version="0.1.0",
        licence="MIT",
        source="chordtool",
        teacher="lv",
        description=f"{card.architecture.upper()}, trained on rendered songs and lv's labels "
        "of real music; 170 classes.",
        decoding=Decoding(change_penalty=penalty, between_frames=True),
        windows=model.windows,
        training={**training, "data": DATA, "recipe": arguments.recipe, "favoured": favour},
        metrics={"validation mean of seven": round(best, 4)},
    )
    written = export(favoured(module, favour), card, arguments.target)
    print(f"{written.path}: {written.size} bytes, sha256 {written.sha256}")


if __name__ == "__main__":
    main()
