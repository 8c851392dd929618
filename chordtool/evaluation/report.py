"""An evaluation as a document for programs and as a table of songs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chordtool.errors import FormatError, UsageError
from chordtool.evaluation.bootstrap import CONFIDENCE, Interval
from chordtool.evaluation.chart import to_svg
from chordtool.evaluation.folders import Evaluation
from chordtool.evaluation.scores import (
    METRICS,
    OTHER,
    QUALITY_GROUPS,
    SEGMENTATION,
    Scores,
    SongScore,
)
from chordtool.files import atomic_write, place_of

SCHEMA: Final = 1
"""Version of the document's layout."""


def to_document(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation, JSON-ready; unknown values are ``None``.

    Scores are 0..1, times seconds. ``systems`` are in the order in which they were asked for;
    ``differences`` are to the first of them, positive where the other is better.
    """
    comparison = evaluation.comparison
    first = comparison.systems[comparison.baseline]
    return {
        "schema": SCHEMA,
        "songs": len(first.songs),
        "seconds": first.seconds,
        "bootstrap": {
            "resamples": first.bootstrap.resamples,
            "seed": first.bootstrap.seed,
            "confidence": CONFIDENCE,
        },
        "systems": [
            {"name": name, **scores_document(scores)} for name, scores in comparison.systems.items()
        ],
        "baseline": comparison.baseline,
        "differences": {
            name: _intervals(found) for name, found in comparison.differences().items()
        },
        "left_out": list(comparison.left_out),
        "failures": [
            {"path": str(f.path), "message": f.message, "hint": f.hint} for f in evaluation.failures
        ],
        "labels_without_partner": {
            name: [str(path) for path in paths]
            for name, paths in evaluation.without_partner.items()
        },
    }


def scores_document(scores: Scores) -> dict[str, Any]:
    """One system's scores, JSON-ready."""
    seconds = scores.confusion.sum(axis=1)
    return {
        "scores": _intervals(scores.intervals),
        "qualities": {
            name: {"seconds": float(seconds[QUALITY_GROUPS.index(name)]), **_interval(found)}
            for name, found in scores.qualities.items()
        },
        "confusion": {
            "reference": list(QUALITY_GROUPS),
            "estimate": [*QUALITY_GROUPS, OTHER],
            "seconds": scores.confusion.tolist(),
        },
        "per_song": [
            {"song": song.name, "seconds": song.seconds, **_song(song)} for song in scores.songs
        ],
    }


def to_csv(evaluation: Evaluation) -> str:
    """One row a system and song, with a header; a metric without a value is empty."""
    columns = ("system", "song", "seconds", *METRICS, *SEGMENTATION)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for name, scores in evaluation.comparison.systems.items():
        for song in scores.songs:
            row = {"system": name, "song": song.name, "seconds": song.seconds, **_song(song)}
            writer.writerow(row)
    return text.getvalue()


def require_plot_name(path: Path) -> None:
    """Refuse a name that :func:`write_plot` would not draw into.

    Raises:
        UsageError: its suffix is neither .svg nor .html.
    """
    if path.suffix.lower() not in (".svg", ".html"):
        raise UsageError(f"{path} is no name for a plot.", hint="End it in .svg or .html.")


def write_plot(evaluation: Evaluation, path: Path) -> None:
    """Draw the evaluation into an ``.svg`` file, or an ``.html`` file that shows it.

    Raises:
        UsageError: the suffix is another one.
        FormatError: the file cannot be written.
    """
    require_plot_name(path)
    picture = to_svg(evaluation.comparison)
    if path.suffix.lower() == ".html":
        picture = f'<!doctype html>\n<meta charset="utf-8">\n<title>Chords</title>\n{picture}'
    try:
        with atomic_write(place_of(path), "w") as file:
            file.write(picture)
    except OSError as error:
        raise FormatError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Choose a folder that exists and can be written to.",
        ) from None


def _song(song: SongScore) -> dict[str, float | None]:
    named = (
        *zip(METRICS, song.metrics, strict=True),
        *zip(SEGMENTATION, song.segmentation, strict=True),
    )
    return {name: _known(value) for name, value in named}


def _intervals(found: Mapping[str, Interval]) -> dict[str, dict[str, float | None]]:
    return {name: _interval(interval) for name, interval in found.items()}


def _interval(interval: Interval) -> dict[str, float | None]:
    return {
        "value": _known(interval.value),
        "low": _known(interval.low),
        "high": _known(interval.high),
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
