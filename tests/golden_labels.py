"""How much of the time two transcriptions agree, for tests against reference packages."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chordtool import audio
from chordtool.decoding import decode
from chordtool.models import Model
from chordtool.vocabulary import LARGE, MASKED, majmin_class_of

GOLDEN = (
    "Battle_for_Wesnoth_on_An__elf_land_8c0915",
    "mcmusic_kevin_macleod__amazing_plan_7f6c53",
    "005",
    "016",
)
"""Recordings that the reference packages have labelled, shortest first."""


def majmin_agreement(model: Model, shared: Path, name: str) -> float:
    """Share of the time on which a model and its reference say the same major or minor chord.

    Times at which the reference says a chord that is neither do not count.
    """
    folder = "pop909-dev" if name.isdigit() else "unlabelled"
    front_end = model.card.front_end
    recording = audio.load(shared / "audio" / folder / f"{name}.opus", front_end.sample_rate)
    logits = model.logits(model.features(recording.samples))
    edges = front_end.frame_edges(len(logits), recording.seconds)
    segments = decode(logits, edges, LARGE, model.card.decoding)
    golden = shared / "teachers" / "golden" / f"{name}.{model.card.name}.lab"
    rows = [line.split("\t") for line in golden.read_text().splitlines()]
    times = np.arange(0, recording.seconds, 0.001)
    ours = _sampled(times, [s.start for s in segments], [s.label for s in segments])
    theirs = _sampled(times, [float(row[0]) for row in rows], [row[2] for row in rows])
    counted = theirs != MASKED
    return float(np.mean(ours[counted] == theirs[counted]))


def _sampled(times: np.ndarray, starts: list[float], labels: list[str]) -> np.ndarray:
    classes = np.array([majmin_class_of(label) for label in labels])
    return classes[np.maximum(np.searchsorted(starts, times, side="right") - 1, 0)]
