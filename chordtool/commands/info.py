"""``chordtool info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chordtool.commands.output import show_json, show_pairs
from chordtool.formats.text import clock


def info(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A recording, or - for standard input.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Decode a recording and show what is in it, and which decoder read it."""
    from chordtool.audio.report import report

    found = report(Path(file))
    if json:
        show_json(found)
    else:
        show_pairs(_for_people(found))


def _for_people(found: dict[str, Any]) -> list[tuple[str, object]]:
    """Names and values with their units."""
    peak = found["peak_dbfs"]
    return [
        ("file", found["file"]),
        ("title", found["title"]),
        ("artist", found["artist"]),
        ("length", f"{clock(found['seconds'])} ({found['seconds']} s)"),
        ("sample rate", f"{found['sample_rate']} Hz"),
        ("channels", found["channels"]),
        ("codec", found["codec"]),
        ("container", found["container"]),
        ("decoder", found["decoder"]),
        ("loudest sample", "silence" if peak is None else f"{peak} dBFS"),
    ]
