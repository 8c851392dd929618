"""``report.html``: what a run did, on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from chordtool.evaluation import METRICS, Interval, Scores
from chordtool.files import atomic_write
from chordtool.models.card import ModelCard
from chordtool.training.config import TrainConfig
from chordtool.training.progress import clock
from chordtool.training.state import Outcome

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 460, 240, 56, 30
_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a1a; background: #fff }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #ddd }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.curves { display: flex; flex-wrap: wrap; gap: 1rem }
svg text { font: 12px system-ui, sans-serif }
details { margin: 1rem 0 }
"""

Point = tuple[float, float]


def write_report(
    folder: Path,
    config: TrainConfig,
    card: ModelCard,
    outcome: Outcome,
    scores: Mapping[str, Scores],
) -> None:
    """Write ``report.html`` into the run's folder.

    Args:
        folder: of the run.
        config: of the run.
        card: of the best checkpoint.
        outcome: how the run ended, with its history.
        scores: of the best checkpoint, by name of the songs that it was judged on.
    """
    title = f"{config.command}: {card.name}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _facts(card, outcome),
        "<h2>Curves</h2>",
        f'<div class="curves">{_curves(outcome.state.history)}</div>',
        _metrics(scores),
        _qualities(scores),
        "<h2>Recordings</h2>",
        _data(card),
        f"<details><summary>Settings</summary>{_pairs(config.to_dict())}</details>",
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )
    with atomic_write(folder / "report.html", "w") as file:
        file.write(page)


def _facts(card: ModelCard, outcome: Outcome) -> str:
    state = outcome.state
    best = f"{outcome.best_accuracy:.2%}" if outcome.best_accuracy >= 0 else "no validation songs"
    return _pairs(
        {
            "architecture": card.architecture,
            "teacher": card.teacher or "none",
            "ended": f"{outcome.finished}, after {state.epoch} epochs and {state.step} steps",
            "time": clock(60 * state.minutes),
            "best epoch": outcome.best_epoch,
            "frame accuracy on the validation songs": best,
        }
    )


def _pairs(pairs: Mapping[str, Any]) -> str:
    rows = (
        f"<tr><th>{escape(str(k))}</th><td>{escape(_shown(v))}</td></tr>" for k, v in pairs.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value) or "none"
    return "none" if value is None or value == "" else str(value)


def _metrics(scores: Mapping[str, Scores]) -> str:
    names = (*METRICS, "mean", "acqa")
    return _scores(
        "Metrics of the best checkpoint",
        "mir_eval's metrics, weighted by the songs' lengths, with 95 % ranges over songs. "
        "References are the labels at the frames' times.",
        scores,
        {part: {name: found[name] for name in names} for part, found in scores.items()},
    )


def _qualities(scores: Mapping[str, Scores]) -> str:
    return _scores(
        "Accuracy by quality",
        "Share of each quality's time that was heard as that quality, whatever the root.",
        scores,
        {part: found.qualities for part, found in scores.items()},
    )


def _scores(
    title: str,
    words: str,
    scores: Mapping[str, Scores],
    values: Mapping[str, Mapping[str, Interval]],
) -> str:
    if not scores:
        return ""
    heads = "".join(
        f"<th>{escape(part)} ({len(found.songs)} recordings)</th>" for part, found in scores.items()
    )
    names = list(dict.fromkeys(name for found in values.values() for name in found))
    rows = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(f'<td class="n">{_interval(values[part].get(name))}</td>' for part in scores)
        + "</tr>"
        for name in names
    )
    return (
        f"<h2>{escape(title)}</h2><p>{escape(words)}</p>"
        f"<table><tr><th></th>{heads}</tr>{rows}</table>"
    )


def _interval(interval: Interval | None) -> str:
    if interval is None or interval.value != interval.value:
        return "&ndash;"
    if interval.low != interval.low:  # one recording says nothing of others
        return f"{interval.value:.2%}"
    return f"{interval.value:.2%} ({interval.low:.2%} to {interval.high:.2%})"


def _data(card: ModelCard) -> str:
    data = card.training.get("data", [])
    columns = ("name", "recordings", "hours", "weight")
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(str(row.get(c, '')))}</td>" for c in columns) + "</tr>"
        for row in data
    )
    heads = "".join(f"<th>{c}</th>" for c in columns)
    return f"<table><tr>{heads}</tr>{rows}</table>"


def _curves(history: Sequence[Mapping[str, Any]]) -> str:
    def series(key: str) -> list[Point]:
        return [(row["epoch"], row[key]) for row in history if row[key] is not None]

    return "".join(
        (
            curve(
                "Loss", {"training": series("train_loss"), "validation": series("validation_loss")}
            ),
            curve(
                "Frame accuracy",
                {"training": series("train_accuracy"), "validation": series("validation_accuracy")},
            ),
            curve("Learning rate", {"learning rate": series("lr")}),
            curve("Segments per second", {"segments per second": series("segments_per_second")}),
        )
    )


def _tick(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3g}"


def curve(title: str, series: Mapping[str, Sequence[Point]]) -> str:
    """Lines over epochs as inline SVG.

    Args:
        title: what is shown.
        series: points by name; empty ones are left out.
    """
    shown = {name: points for name, points in series.items() if points}
    if not shown:
        return ""
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high = min(0.0, *ys), max(max(ys), 1e-12)
    right, top = _WIDTH - 12, 30

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - x_low) / (x_high - x_low) * (right - _LEFT)
        down = _HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (_HEIGHT - _BOTTOM - top)
        return f"{across:.1f},{down:.1f}"

    shapes = [f'<text x="{_LEFT}" y="16" style="font-weight: bold">{escape(title)}</text>']
    for share in (0.0, 0.5, 1.0):
        value = y_low + share * (y_high - y_low)
        height = float(place(x_low, value).split(",")[1])
        shapes.append(
            f'<line x1="{_LEFT}" x2="{right}" y1="{height}" y2="{height}" stroke="#ddd"/>'
        )
        shapes.append(
            f'<text x="{_LEFT - 6}" y="{height + 4}" text-anchor="end">{_tick(value)}</text>'
        )
    for x, anchor in ((x_low, "start"), (x_high, "end")):
        across = place(x, y_low).split(",")[0]
        shapes.append(
            f'<text x="{across}" y="{_HEIGHT - 10}" text-anchor="{anchor}">epoch {x:g}</text>'
        )
    for number, (name, points) in enumerate(shown.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        line = " ".join(place(x, y) for x, y in points)
        shapes.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(points) == 1:
            across, down = place(*points[0]).split(",")
            shapes.append(f'<circle cx="{across}" cy="{down}" r="3" fill="{colour}"/>')
        if len(shown) > 1:
            at = _LEFT + 160 + 110 * number
            shapes.append(f'<text x="{at}" y="16" fill="{colour}">&#9632; {escape(name)}</text>')
    return (
        f'<svg role="img" aria-label="{escape(title)} over epochs" width="{_WIDTH}" '
        f'height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(shapes)}</svg>'
    )
