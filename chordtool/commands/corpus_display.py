"""How the commands about corpora show costs, progress, summaries and checks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from chordtool.commands.display import stderr_console
from chordtool.commands.output import (
    bytes_for_people,
    show_failures,
    show_json,
    show_pairs,
    show_table,
)
from chordtool.corpus.estimate import Cost
from chordtool.corpus.info import Info
from chordtool.corpus.manifest import LABELLED, SKIPPED, Row
from chordtool.corpus.recipe import Recipe
from chordtool.corpus.request import Prepared, carry_out, cost, make_executor
from chordtool.corpus.run import Summary
from chordtool.corpus.statistics import HISTOGRAM_BINS, Totals
from chordtool.corpus.verify import Report
from chordtool.errors import ExitCode
from chordtool.printable import printable

_SHOWN_FAILURES: Final = 20
_PLAIN_SECONDS: Final = 60.0
"""How often progress is printed where there is no terminal to draw on."""


def follow(prepared: Prepared, *, dry_run: bool, quiet: bool, json: bool) -> ExitCode:
    """Say what a run costs, follow it, and sum it up; returns the exit status."""
    console = stderr_console()
    if dry_run:
        return _show_plan(prepared, cost(prepared), json=json)
    executor = make_executor(prepared)
    try:
        price = cost(prepared, executor)
        if not quiet:
            console.print(_plan_line(prepared, price), markup=False, soft_wrap=True)
        with _Following(console, prepared, price, quiet=quiet) as following:
            summary = carry_out(prepared, executor, following.add)
    finally:
        executor.close()
    if summary.failures:
        _show_failures(console, summary.failures)
    if json:
        show_json(summary_document(summary))
    elif not quiet:
        _show_summary(summary)
    return ExitCode.SOME_FAILED if summary.failures else ExitCode.OK


def _show_plan(prepared: Prepared, price: Cost, *, json: bool) -> ExitCode:
    if json:
        show_json(plan_document(prepared, price))
    else:
        Console(highlight=False, soft_wrap=True).print(_plan_line(prepared, price), markup=False)
    if prepared.problems:
        _show_failures(stderr_console(), prepared.problems)
    return ExitCode.SOME_FAILED if prepared.problems else ExitCode.OK


def plan_document(prepared: Prepared, price: Cost) -> dict[str, Any]:
    """What ``label-corpus --dry-run --json`` answers."""
    return {
        "todo": len(prepared.planned.todo),
        "done": len(prepared.planned.done),
        "teachers": [teacher.describe() for teacher in prepared.recipe.teachers],
        "front_end_fingerprint": prepared.recipe.front_end.fingerprint,
        "audio_hours": price.audio_seconds / 3600,
        "disk_bytes": price.disk_bytes,
        "work_hours": price.work_seconds / 3600,
        "workers": price.workers,
        "times_real_time_per_worker": (
            price.times_real_time if math.isfinite(price.times_real_time) else None
        ),
        "problems": _pairs(prepared.problems),
    }


def summary_document(summary: Summary) -> dict[str, Any]:
    """What ``label-corpus --json`` answers."""
    elapsed = summary.elapsed_seconds
    return {
        "recordings": len(summary.rows),
        "labelled": summary.count(LABELLED),
        "unchanged": summary.unchanged,
        "reused": summary.reused,
        "skipped": summary.count(SKIPPED),
        "failed": _pairs(summary.failures),
        "labelled_hours": summary.labelled_seconds / 3600,
        "elapsed_seconds": elapsed,
        "times_real_time": summary.labelled_seconds / elapsed if elapsed else 0.0,
        "corpus": summary.totals().to_dict(),
    }


def _pairs(failures: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"path": path, "reason": reason} for path, reason in failures]


def _plan_line(prepared: Prepared, price: Cost) -> str:
    done = len(prepared.planned.done)
    parts = [f"{len(prepared.planned.todo)} recordings to label with {_names(prepared.recipe)}"]
    if done:
        parts[0] += f", {done} done before"
    if prepared.planned.todo:
        parts.append(f"about {_hours(price.audio_seconds)} of audio")
        parts.append(f"{_hours(price.work_seconds)} of work for {_workers(price.workers)}")
        parts.append(f"{bytes_for_people(price.disk_bytes)} on disk")
    return printable("; ".join(parts) + ".")


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _names(recipe: Recipe) -> str:
    return " + ".join(
        teacher.name
        if teacher.weight in (1.0, round(1 / len(recipe.teachers), 6))
        else f"{teacher.weight:g} {teacher.name}"
        for teacher in recipe.teachers
    )


def _hours(seconds: float) -> str:
    """``"3.2 h"``, ``"14 min"`` or ``"40 s"``."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


class _Following:
    """Progress of a run: files, audio, speed, and what remains."""

    def __init__(self, console: Console, prepared: Prepared, price: Cost, *, quiet: bool) -> None:
        self._console = console
        self._audio = price.audio_seconds
        self._todo = len(prepared.planned.todo)
        self._files = 0
        self._heard = 0.0
        self._start = time.monotonic()
        self._printed = self._start
        self._plain = not quiet and not console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("labelling", total=max(self._audio, 1.0), text="")

    def __enter__(self) -> _Following:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def add(self, path: str, row: Row) -> None:
        """A recording is done."""
        self._files += 1
        self._heard += row.seconds
        self._bar.update(self._task, completed=self._heard, text=self._text())
        now = time.monotonic()
        if self._plain and now - self._printed >= _PLAIN_SECONDS:
            self._printed = now
            self._console.print(self._text(), soft_wrap=True)

    def _text(self) -> str:
        elapsed = max(1e-3, time.monotonic() - self._start)
        speed = self._heard / elapsed
        left = max(0.0, self._audio - self._heard) / speed if speed else math.inf
        remaining = f", {_hours(left)} left" if math.isfinite(left) else ""
        return (
            f"{self._files}/{self._todo} files, {self._heard / 3600:.2f} of about "
            f"{self._audio / 3600:.2f} h, {speed:.1f} x real time{remaining}"
        )


def _show_failures(console: Console, failures: list[tuple[str, str]]) -> None:
    show_failures(console, failures, most=_SHOWN_FAILURES)
    if len(failures) > _SHOWN_FAILURES:
        console.print("`chordtool corpus info` lists them all.")


def _show_summary(summary: Summary) -> None:
    counts = [
        (summary.count(LABELLED), "labelled"),
        (summary.unchanged, "of them before"),
        (summary.reused, "found in the corpus"),
        (summary.count(SKIPPED), "skipped"),
        (len(summary.failures), "failed"),
    ]
    elapsed = summary.elapsed_seconds
    show_pairs(
        [
            ("recordings", ", ".join(f"{count} {what}" for count, what in counts if count)),
            (
                "this run",
                f"{_hours(summary.labelled_seconds)} of audio in {_hours(elapsed)}, "
                f"{summary.labelled_seconds / max(elapsed, 1e-3):.1f} x real time",
            ),
        ]
    )
    _show_totals(summary.totals())


def _show_totals(totals: Totals) -> None:
    if not totals.frames:
        return
    agreement = totals.agreement
    show_pairs(
        [
            ("hours", f"{totals.seconds / 3600:.2f}"),
            ("classes", f"{totals.classes} of 170"),
            ("root entropy", f"{totals.root_entropy:.1%} of the maximum"),
            ("confidence", f"{totals.confidence:.3f}"),
            ("agreement", None if agreement is None else f"{agreement:.3f}"),
            ("content", ", ".join(f"{n} {kind}" for kind, n in sorted(totals.content.items()))),
        ]
    )
    for heading, counts in (("root", totals.roots), ("quality", totals.qualities)):
        show_table(
            (heading, "share"),
            ((name, f"{count / totals.frames:.2%}") for name, count in counts.items()),
        )
    show_table(
        ("confidence", "share"),
        (
            (f"{k / HISTOGRAM_BINS:.1f}-{(k + 1) / HISTOGRAM_BINS:.1f}", f"{n / totals.frames:.2%}")
            for k, n in enumerate(totals.confidence_histogram)
        ),
    )


def show_info(info: Info, *, json: bool) -> None:
    """Show what a corpus holds."""
    if json:
        show_json(info.to_dict())
        return
    teachers = ", ".join(f"{t.get('weight')} {t.get('name')}" for t in info.description.teachers)
    front_end = info.description.front_end
    show_pairs(
        [
            ("corpus", info.path),
            ("teachers", teachers),
            ("front end", f"{front_end.fingerprint}, {front_end.n_bins} bins"),
            ("files", info.files),
            ("labelled", info.labelled),
            ("outdated", info.outdated or None),
            ("skipped", info.skipped or None),
            ("failed", len(info.failures) or None),
            ("size", bytes_for_people(info.bytes_on_disk)),
            ("size an hour", bytes_for_people(round(info.bytes_per_hour))),
        ]
    )
    _show_totals(info.totals)
    if info.failures:
        show_table(("failures", "reason"), ((n, reason) for reason, n in info.reasons.items()))
        show_table(("recording", "what went wrong"), info.failures)


@contextmanager
def checking() -> Iterator[Callable[[int, int], None]]:
    """A bar over the rows that are checked."""
    console = stderr_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show_report(report: Report, *, repaired: bool, json: bool) -> None:
    """Show what a check found."""
    if json:
        show_json({**report.to_dict(), "repaired": repaired and not report.is_clean})
        return
    show_pairs(
        [
            ("checked", report.checked),
            ("damaged", len(report.damaged) or None),
            ("missing", len(report.missing) or None),
            ("audio changed", len(report.changed_audio) or None),
            ("rows brought up to date", len(report.mended) or None),
            ("recordings without a row", len(report.adopted) or None),
            ("left over by killed runs", len(report.leftovers) or None),
            ("broken lines", report.broken_lines or None),
        ]
    )
    if report.lost:
        show_table(("to be labelled again",), ((path,) for path in report.lost))
    console = stderr_console()
    if report.is_clean:
        console.print("All is well.")
    elif repaired:
        console.print("Repaired. label-corpus labels again what has to be.")
