"""``chordtool info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chordtool.commands.output import show_json, show_pairs


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
        show_pairs(found.items())
