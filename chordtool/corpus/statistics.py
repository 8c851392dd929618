"""What the labels of a recording, and of a whole corpus, look like in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from chordtool.corpus.compact import decode
from chordtool.corpus.recording import Arrays
from chordtool.vocabulary import LARGE, MASKED, N_INDEX, QUALITIES, ROOTS, X_INDEX

SILENCE_DBFS: Final = -60.0
"""A frame whose root mean square lies below this is silent."""
MUSIC, SILENCE, NO_MUSIC = "music", "silence", "no-music"
MOSTLY_SILENT: Final = 0.95
"""A recording with at least this share of silent frames is ``"silence"``."""
MOSTLY_WITHOUT_CHORDS: Final = 0.9
"""A recording with at least this share of frames labelled N is ``"no-music"``: speech, noise, a
single tone, drums alone. Measured figures are in docs/reference/corpus.md."""
LEAST_TONAL: Final = 0.25
"""Sounding frames that are less tonal in the mean are noise, whatever chords teachers hear."""
HISTOGRAM_BINS: Final = 10


def describe(
    arrays: Arrays, step: float, *, silence: float, agreement: float | None
) -> dict[str, Any]:
    """Statistics of a recording.

    Args:
        arrays: what the recording holds.
        step: nats between two posterior codes.
        silence: share of silent frames.
        agreement: of several teachers, 0..1; ``None`` with one.

    Returns:
        ``class_frames`` (frames by Harte label), ``confidence`` (mean posterior of the likeliest
        class), ``confidence_histogram`` (frames by tenths of it), ``entropy`` (mean, as a share
        of the maximum), ``no_chord`` (share of frames labelled N), ``silence``, ``tonalness``
        (:func:`tonalness`), ``agreement``, and ``content``: ``"music"``, ``"silence"`` or
        ``"no-music"``.
    """
    frames = len(arrays.labels)
    counts = np.bincount(arrays.labels[arrays.labels != MASKED], minlength=len(LARGE))
    confidence = np.empty(frames, np.float32)
    entropy = 0.0
    for start in range(0, frames, 8192):
        posteriors = decode(arrays.codes[start : start + 8192], step)
        confidence[start : start + 8192] = posteriors.max(axis=1)
        entropy -= float((posteriors * np.log(posteriors + 1e-30)).sum(dtype=np.float64))
    bins = np.minimum((confidence * HISTOGRAM_BINS).astype(int), HISTOGRAM_BINS - 1)
    share = 1.0 / max(1, frames)
    found: dict[str, Any] = {
        "class_frames": {LARGE[i]: int(counts[i]) for i in np.flatnonzero(counts)},
        "confidence": round(float(confidence.sum(dtype=np.float64)) * share, 4),
        "confidence_histogram": np.bincount(bins, minlength=HISTOGRAM_BINS).tolist(),
        "entropy": round(entropy * share / math.log(len(LARGE)), 4),
        "no_chord": round(int(counts[N_INDEX]) * share, 4),
        "silence": round(silence, 4),
        "tonalness": round(tonalness(arrays), 4),
        "agreement": None if agreement is None else round(agreement, 4),
    }
    found["content"] = content(found)
    return found


def tonalness(arrays: Arrays) -> float:
    """How peaked the spectrum is: one minus the mean spectral flatness of the frames, 0..1.

    Flatness is the geometric over the arithmetic mean of the magnitudes of a frame's bins
    (Johnston, IEEE JSAC 1988). Silent frames are near 0 like noise is.
    """
    total = 0.0
    for start in range(0, len(arrays.features), 8192):
        block = arrays.features[start : start + 8192].astype(np.float32)
        arithmetic = np.exp(block).mean(axis=1)
        total += float((1.0 - np.exp(block.mean(axis=1)) / arithmetic).sum(dtype=np.float64))
    return max(0.0, total / max(1, len(arrays.features)))


def content(statistics: dict[str, Any]) -> str:
    """What a recording seems to hold, from its other statistics."""
    if statistics["silence"] >= MOSTLY_SILENT:
        return SILENCE
    # Silent frames are flat, too, and say nothing about the others.
    flat = statistics["tonalness"] < LEAST_TONAL * (1.0 - statistics["silence"])
    return NO_MUSIC if flat or statistics["no_chord"] >= MOSTLY_WITHOUT_CHORDS else MUSIC


@dataclass
class Totals:
    """Statistics of many recordings, added up frame by frame."""

    recordings: int = 0
    frames: int = 0
    seconds: float = 0.0
    class_frames: Counter[str] = field(default_factory=Counter)
    confidence_histogram: list[int] = field(default_factory=lambda: [0] * HISTOGRAM_BINS)
    content: Counter[str] = field(default_factory=Counter)
    _confidence: float = 0.0
    _agreement: float = 0.0
    _agreement_frames: int = 0

    def add(self, statistics: dict[str, Any], frames: int, seconds: float) -> None:
        """Add a recording; parts of its statistics that are missing or odd are left out."""
        self.recordings += 1
        self.frames += frames
        self.seconds += seconds
        for label, count in _mapping(statistics.get("class_frames")).items():
            if label in _KNOWN:
                self.class_frames[label] += _count(count)
        histogram = statistics.get("confidence_histogram")
        if isinstance(histogram, list) and len(histogram) == HISTOGRAM_BINS:
            for i, count in enumerate(histogram):
                self.confidence_histogram[i] += _count(count)
        self.content[str(statistics.get("content", MUSIC))] += 1
        self._confidence += frames * _number(statistics.get("confidence"))
        if statistics.get("agreement") is not None:
            self._agreement += frames * _number(statistics["agreement"])
            self._agreement_frames += frames

    @property
    def confidence(self) -> float:
        """Mean posterior of the likeliest class."""
        return self._confidence / max(1, self.frames)

    @property
    def agreement(self) -> float | None:
        """Mean agreement of the teachers; ``None`` if none was stored."""
        return self._agreement / self._agreement_frames if self._agreement_frames else None

    @property
    def roots(self) -> dict[str, int]:
        """Frames by root."""
        found = dict.fromkeys(ROOTS, 0)
        for label, count in self.class_frames.items():
            if label not in ("N", "X"):
                found[label.split(":")[0]] += count
        return found

    @property
    def qualities(self) -> dict[str, int]:
        """Frames by quality, with N and X."""
        found = dict.fromkeys((*QUALITIES, "N", "X"), 0)
        for label, count in self.class_frames.items():
            found[_quality(label)] += count
        return found

    @property
    def root_entropy(self) -> float:
        """Entropy of the roots as a share of its maximum, 0..1; 0 without chords."""
        counts = [count for count in self.roots.values() if count]
        total = sum(counts)
        entropy = -sum(c / total * math.log(c / total) for c in counts)
        return abs(entropy) / math.log(len(ROOTS))

    @property
    def classes(self) -> int:
        """How many of the 170 classes occur."""
        return sum(1 for count in self.class_frames.values() if count)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready document."""
        public = {k: v for k, v in asdict(self).items() if not k.startswith("_")}
        return {
            **public,
            # asdict makes a Counter of the pairs of a Counter.
            "class_frames": dict(self.class_frames),
            "content": dict(self.content),
            "hours": self.seconds / 3600,
            "confidence": self.confidence,
            "agreement": self.agreement,
            "roots": self.roots,
            "qualities": self.qualities,
            "root_entropy": self.root_entropy,
            "classes": self.classes,
        }


def total(rows: Iterable[Any]) -> Totals:
    """Statistics of many manifest rows."""
    totals = Totals()
    for row in rows:
        totals.add(row.statistics, row.frames, row.seconds)
    return totals


_KNOWN: Final = frozenset(LARGE)


def _quality(label: str) -> str:
    if label in (LARGE[N_INDEX], LARGE[X_INDEX]):
        return label
    return label.split(":")[1] if ":" in label else "maj"


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    """A number of frames; 0 for what cannot be one."""
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else 0


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e9 else 0.0
