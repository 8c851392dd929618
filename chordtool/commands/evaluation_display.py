"""How ``chordtool evaluate`` shows scores: tables on standard output, the rest on stderr."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.markup import escape

from chordtool.commands.display import counting_bar, stderr_console
from chordtool.commands.output import show_table
from chordtool.errors import ExitCode
from chordtool.evaluation.bootstrap import Interval
from chordtool.evaluation.folders import Evaluation, Tell
from chordtool.evaluation.scores import OTHER, QUALITY_GROUPS, STATISTICS, Scores
from chordtool.printable import printable

_SHOWN_FILES = 10


@contextmanager
def progress(quiet: bool) -> Iterator[Tell]:
    """A bar on standard error for each model, if that is a terminal."""
    with counting_bar(stderr_console(), hidden=quiet) as bars:
        tasks = {}

        def tell(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(escape(printable(name)), total=total)
            bars.update(tasks[name], completed=done)

        yield tell


def show_tables(evaluation: Evaluation) -> None:
    """Scores of each system with 95 % ranges, differences to the first, and qualities."""
    comparison = evaluation.comparison
    systems = comparison.systems
    differences = comparison.differences()
    shown = {name: escape(printable(name)) for name in systems}
    baseline = shown[comparison.baseline]
    headings = ["score, %", *shown.values(), *(f"{shown[n]} - {baseline}" for n in differences)]
    rows = [
        [
            name,
            *(_percent(scores[name], decimals=1) for scores in systems.values()),
            *(_gain(found[name]) for found in differences.values()),
        ]
        for name in STATISTICS
    ]
    show_table(headings, rows)
    first = systems[comparison.baseline]
    show_table(
        ["quality, %", "minutes", *_quality_headings(shown.values())], _quality_rows(systems)
    )
    star = " *: zero is outside the range." if differences else ""
    print(
        f"{len(first.songs)} songs, {first.seconds / 3600:.2f} h. Ranges: 95 %, over songs.{star}"
    )


def _percent(found: Interval, *, decimals: int) -> str:
    """A score and its range, in no more digits than the range leaves a meaning."""
    if math.isnan(found.value):
        return "-"
    value, low, high = (
        f"{100 * number:.{decimals}f}" for number in (found.value, found.low, found.high)
    )
    return value if math.isnan(found.low) else f"{value} [{low}, {high}]"


def _gain(found: Interval) -> str:
    if math.isnan(found.value):
        return "-"
    text = f"{100 * found.value:+.2f}"
    if math.isnan(found.low):
        return text
    sure = " *" if found.excludes_zero else ""
    return f"{text} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]{sure}"


def _quality_headings(names: Iterable[str]) -> list[str]:
    return [heading for name in names for heading in (name, "heard as")]


def _quality_rows(systems: dict[str, Scores]) -> list[list[str]]:
    first = next(iter(systems.values()))
    minutes = first.confusion.sum(axis=1) / 60
    mistakes = 2 if len(systems) == 1 else 1  # two systems fit a terminal of 80 columns
    return [
        [
            quality,
            f"{minutes[QUALITY_GROUPS.index(quality)]:.1f}",
            *(
                cell
                for scores in systems.values()
                for cell in (
                    _percent(scores.qualities[quality], decimals=0),
                    _mistakes(scores, quality, mistakes),
                )
            ),
        ]
        for quality in first.qualities
    ]


def _mistakes(scores: Scores, quality: str, count: int) -> str:
    """The qualities that this one was most often taken for, with their shares of its time."""
    row = QUALITY_GROUPS.index(quality)
    shares = scores.confusion[row] / scores.confusion[row].sum()
    shares[row] = 0
    names = (*QUALITY_GROUPS, OTHER)
    most = np.argsort(-shares, kind="stable")[:count]
    return ", ".join(f"{names[i]} {100 * shares[i]:.0f}" for i in most if shares[i] >= 0.005)


def show_missing(evaluation: Evaluation, *, quiet: bool) -> ExitCode:
    """Say on standard error what did not take part; returns the exit status."""
    console = stderr_console()
    for failure in evaluation.failures:
        text = f"{failure.message} {failure.hint}".strip()
        if str(failure.path) not in text:
            text = f"{failure.path}: {text}"
        console.print(f"[bold red]error:[/] {escape(printable(text))}", soft_wrap=True)
    if not quiet:
        absent = evaluation.not_labelled
        if absent:
            _list(f"{len(absent)} songs that were put aside have no label files here", absent)
        for name, paths in evaluation.without_partner.items():
            _list(f"{len(paths)} label files have no partner for {name}", paths)
        for name, paths in evaluation.unused.items():
            _list(f"{len(paths)} files of {name} have no labels", paths)
        left_out = evaluation.comparison.left_out
        if left_out:
            _list(f"{len(left_out)} songs do not count, as not all systems have them", left_out)
    return ExitCode.SOME_FAILED if evaluation.failures else ExitCode.OK


def _list(what: str, paths: tuple[Path, ...] | tuple[str, ...]) -> None:
    shown = ", ".join(str(path) for path in paths[:_SHOWN_FILES])
    more = ", ..." if len(paths) > _SHOWN_FILES else ""
    stderr_console().print(
        f"[bold yellow]note:[/] {escape(printable(f'{what}: {shown}{more}'))}", soft_wrap=True
    )
