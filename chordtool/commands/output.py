"""How commands show results: a table for people, JSON for programs, both on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chordtool.printable import printable


def show_json(document: Any) -> None:
    """A JSON document, indented, ASCII; null for numbers that JSON does not have, as NaN."""
    try:
        text = json.dumps(document, indent=2, allow_nan=False)
    except ValueError:
        known = json.loads(json.dumps(document), parse_constant=lambda _: None)
        text = json.dumps(known, indent=2)
    sys.stdout.write(text + "\n")


def show_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    console: Console | None = None,
) -> None:
    """A table as wide as the terminal; as wide as it needs to be where nobody looks."""
    console = console or Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        # A path or a name that is cut off cannot be copied: it goes on in the next line.
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable("" if cell is None else str(cell))) for cell in row))
    if not console.is_terminal:
        console.width = 10_000
        table.expand = False
    console.print(table)


def show_failures(
    console: Console, failures: Sequence[tuple[str, str]], *, most: int | None = None
) -> None:
    """How many recordings failed, and a table of what went wrong: with all, or so many of them."""
    console.print(f"{len(failures)} failed:")
    show_table(("recording", "what went wrong"), failures[:most], console=console)


def show_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line, empty ones left out."""
    console = Console(highlight=False, soft_wrap=True)
    for name, value in pairs:
        if value not in (None, ""):
            shown = (escape(printable(text)) for text in (name, str(value)))
            console.print("[bold]{}:[/] {}".format(*shown))


def bytes_for_people(size: int | None) -> str:
    """``"9.0 MiB"``; empty if not known."""
    if size is None:
        return ""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
