"""An evaluation as a picture: SVG, drawn by hand so that no plotting library is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from chordtool.evaluation.bootstrap import Interval
from chordtool.evaluation.comparing import Comparison
from chordtool.evaluation.scores import OTHER, QUALITY_GROUPS, STATISTICS, Scores
from chordtool.printable import one_line

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
_WIDTH: Final = 960
_LEFT: Final = 60
_PLOT_HEIGHT: Final = 220
_PANEL_GAP: Final = 70
_CELL: Final = 40
_CELL_HEIGHT: Final = 24
_LEGEND_ROW: Final = 20


@dataclass
class _Canvas:
    """Shapes from top to bottom."""

    shapes: list[str] = field(default_factory=list)
    top: float = 20.0

    def text(self, x: float, y: float, text: str, **attributes: object) -> None:
        self.shapes.append(f"<text {_attributes(x=x, y=y, **attributes)}>{_safe(text)}</text>")

    def rect(self, x: float, y: float, width: float, height: float, **attributes: object) -> None:
        placed = _attributes(x=x, y=y, width=width, height=height, **attributes)
        self.shapes.append(f"<rect {placed}/>")

    def titled_rect(
        self, x: float, y: float, width: float, height: float, title: str, fill: str
    ) -> None:
        """A rectangle that says what it is when the pointer rests on it."""
        placed = _attributes(x=x, y=y, width=width, height=height, fill=fill)
        self.shapes.append(f"<rect {placed}><title>{_safe(title)}</title></rect>")

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str) -> None:
        self.shapes.append(f"<line {_attributes(x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke)}/>")


def _safe(text: str) -> str:
    return escape(one_line(text))


def _attributes(**values: object) -> str:
    pairs = []
    for name, value in values.items():
        text = f"{value:.2f}" if isinstance(value, float) else str(value)
        pairs.append(f"{name.replace('_', '-')}={quoteattr(text)}")
    return " ".join(pairs)


def to_svg(comparison: Comparison) -> str:
    """Bars of every score and every quality with their 95 % ranges, and confusions of qualities.

    Returns:
        a whole SVG document.
    """
    canvas = _Canvas()
    _legend(canvas, list(comparison.systems))
    scores = {name: system.intervals for name, system in comparison.systems.items()}
    _bars(canvas, "Scores, with 95 % ranges over songs", STATISTICS, scores)
    qualities = {name: system.qualities for name, system in comparison.systems.items()}
    present = [q for q in QUALITY_GROUPS if any(q in found for found in qualities.values())]
    _bars(canvas, "Accuracy of each quality, the root ignored", present, qualities)
    for name, system in comparison.systems.items():
        _confusion(canvas, f"{name}: which quality (row) was heard as which (column)", system)
    size = f"{_WIDTH} {canvas.top:.0f}"
    head = _attributes(
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {size}", width=_WIDTH,
        height=round(canvas.top), font_family="sans-serif", font_size=12,
    )  # fmt: skip
    return f'<svg {head}>\n<rect width="100%" height="100%" fill="white"/>\n' + "".join(
        f"{shape}\n" for shape in (*canvas.shapes, "</svg>")
    )


def _legend(canvas: _Canvas, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        canvas.rect(_LEFT, canvas.top, 12, 12, fill=_colour(index))
        canvas.text(_LEFT + 18, canvas.top + 11, name)
        canvas.top += _LEGEND_ROW
    canvas.top += 10


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _bars(
    canvas: _Canvas,
    title: str,
    groups: Sequence[str],
    systems: Mapping[str, Mapping[str, Interval]],
) -> None:
    if not groups:
        return
    canvas.text(_LEFT, canvas.top + 12, title, font_weight="bold")
    top = canvas.top + 24
    base = top + _PLOT_HEIGHT
    for tick in range(0, 101, 20):
        y = base - _PLOT_HEIGHT * tick / 100
        canvas.line(_LEFT, y, _WIDTH - 20, y, "#dddddd" if tick else "#333333")
        canvas.text(_LEFT - 8, y + 4, str(tick), text_anchor="end", fill="#555555")
    step = (_WIDTH - 20 - _LEFT) / len(groups)
    width = 0.8 * step / len(systems)
    for column, group in enumerate(groups):
        left = _LEFT + step * (column + 0.1)
        canvas.text(left + 0.4 * step, base + 16, group, text_anchor="middle")
        for index, (name, found) in enumerate(systems.items()):
            if group in found and math.isfinite(found[group].value):
                bar = (left + width * index, width, base)
                _bar(canvas, bar, f"{name}, {group}", found[group], _colour(index))
    canvas.top = base + _PANEL_GAP


def _bar(
    canvas: _Canvas, bar: tuple[float, float, float], title: str, found: Interval, fill: str
) -> None:
    left, width, base = bar
    height = _PLOT_HEIGHT * found.value
    title += f": {100 * found.value:.2f} %"
    known = math.isfinite(found.low)
    if known:
        title += f" ({100 * found.low:.2f} to {100 * found.high:.2f})"
    canvas.titled_rect(left, base - height, width * 0.92, height, title, fill)
    if known:
        middle = left + 0.46 * width
        low, high = (base - _PLOT_HEIGHT * end for end in (found.low, found.high))
        canvas.line(middle, low, middle, high, "#222222")
        for y in (low, high):
            canvas.line(middle - 3, y, middle + 3, y, "#222222")


def _confusion(canvas: _Canvas, title: str, scores: Scores) -> None:
    seconds = scores.confusion
    rows = np.flatnonzero(seconds.sum(axis=1) > 0)
    names = (*QUALITY_GROUPS, OTHER)
    canvas.text(_LEFT, canvas.top + 12, title, font_weight="bold")
    top = canvas.top + 42
    for column, name in enumerate(names):
        x = _LEFT + _CELL * (column + 0.5)
        canvas.text(x, top - 6, name, text_anchor="middle", font_size=9)
    for line, row in enumerate(rows):
        y = top + _CELL_HEIGHT * line
        canvas.text(_LEFT - 6, y + 0.65 * _CELL_HEIGHT, names[row], text_anchor="end", font_size=10)
        shares = seconds[row] / seconds[row].sum()
        for column, share in enumerate(shares):
            x = _LEFT + _CELL * column
            heard = f"{names[row]} heard as {names[column]}: {100 * share:.1f} %"
            canvas.titled_rect(x, y, _CELL - 1.0, _CELL_HEIGHT - 1.0, heard, _shade(share))
            if share >= 0.005:
                ink = "white" if share > 0.5 else "#222222"
                placed = {"text_anchor": "middle", "font_size": 9, "fill": ink}
                canvas.text(
                    x + 0.48 * _CELL, y + 0.62 * _CELL_HEIGHT, f"{100 * share:.0f}", **placed
                )
    canvas.top = top + _CELL_HEIGHT * len(rows) + 30


def _shade(share: float) -> str:
    """From white to the first colour of the palette."""
    dark = (0x00, 0x72, 0xB2)
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in dark)
