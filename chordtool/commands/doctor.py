"""``chordtool doctor``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer

from chordtool import settings
from chordtool.commands.output import show_json, show_table
from chordtool.errors import ExitCode, UsageError


def doctor(json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False) -> None:
    """Find out what works here, what is missing, and what mends it."""
    from chordtool.doctor import BROKEN, examine
    from chordtool.parser import COMMANDS, whole_program

    path = settings.config_path()
    with suppress(UsageError):  # a broken file is one of the findings
        settings.apply_general(settings.read(path), path)

    def options() -> list[settings.Setting]:
        return settings.in_force(settings.read(path), path, whole_program(), COMMANDS)

    findings = examine(options)
    if json:
        show_json([asdict(finding) for finding in findings])
    else:
        show_table(
            ("what", "state", "found", "mend it with"),
            ((f.name, f.state, f.found, f.remedy) for f in findings),
        )
    if any(finding.state == BROKEN for finding in findings):
        raise typer.Exit(ExitCode.SOME_FAILED)
