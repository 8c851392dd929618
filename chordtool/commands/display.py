"""How commands show progress and failures: on standard error, tidily."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from chordtool.batch import DONE, FAILED, SKIPPED, Outcome
from chordtool.errors import ExitCode
from chordtool.printable import printable


def stderr_console() -> Console:
    """A console on standard error."""
    return Console(stderr=True, highlight=False)


def counting_bar(console: Console, *, hidden: bool) -> Progress:
    """A bar that counts what is done, hidden where nobody looks, and gone at its end."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=hidden or not console.is_terminal,
    )


def show_batch(
    outcomes: Iterable[Outcome], *, total: int, quiet: bool = False, verbose: bool = False
) -> ExitCode:
    """Follow a batch on standard error; returns the exit status.

    A bar while it runs if standard error is a terminal, a table of failures at the end.
    """
    console = stderr_console()
    counts = dict.fromkeys((DONE, SKIPPED, FAILED), 0)
    failures: list[Outcome] = []
    with counting_bar(console, hidden=quiet or total < 2) as bar:
        progress = bar.add_task("transcribing", total=total)
        for outcome in outcomes:
            counts[outcome.status] += 1
            if outcome.status == FAILED:
                failures.append(outcome)
            if verbose:
                line = f"{outcome.status:8}{escape(printable(str(outcome.source)))}"
                console.print(line, soft_wrap=True)  # a name that is broken cannot be copied
            bar.advance(progress)
    if failures:
        _show_failures(console, failures)
    if not quiet and total > 1:
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        console.print(", ".join(parts) + ".")
    return ExitCode.SOME_FAILED if failures else ExitCode.OK


def _show_failures(console: Console, failures: list[Outcome]) -> None:
    if len(failures) == 1:
        failure = failures[0]
        console.print(f"[bold red]error:[/] {escape(printable(failure.message))}", soft_wrap=True)
        if failure.hint:
            console.print(f"[bold cyan]hint:[/] {escape(printable(failure.hint))}", soft_wrap=True)
        return
    rows = [
        (printable(str(failure.source)), printable(f"{failure.message} {failure.hint}".strip()))
        for failure in failures
    ]
    if not console.is_terminal:
        # A log has no width to fit into, and who searches it wants names in one piece.
        for source, text in rows:
            console.print(f"{escape(source)}: {escape(text)}", soft_wrap=True)
        return
    table = Table(title=f"{len(rows)} failed", box=None)
    for heading in ("recording", "what went wrong"):
        table.add_column(heading, overflow="fold")
    for source, text in rows:
        table.add_row(escape(source), escape(text))
    console.print(table)
