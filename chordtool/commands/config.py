"""``chordtool config``: what is in force, and from where."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from chordtool import settings
from chordtool.commands.output import show_json, show_table
from chordtool.errors import ExitCode, UsageError
from chordtool.settings import Setting

config = typer.Typer(invoke_without_command=True)

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@config.callback()
def show(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Show the settings that are at their defaults, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Show which settings are in force and where they come from.

    A flag wins over its CHORDTOOL_* variable, which wins over the settings file.
    """
    if context.invoked_subcommand:
        return
    from chordtool.parser import COMMANDS, whole_program

    path = settings.config_path()
    found = settings.in_force(settings.read(path), path, whole_program(), COMMANDS)
    shown = [setting for setting in found if everything or setting.source != "default"]
    if json:
        there = path is not None and path.is_file()
        file = {"path": str(path) if path else None, "exists": there}
        show_json({"file": file, "settings": [asdict(setting) for setting in shown]})
    else:
        _show_table(shown, path, everything)
    for variable in settings.strange_variables(setting.variable for setting in found):
        warnings.warn(f"{variable} is set, but no setting has this name.", stacklevel=1)
    for setting in found:
        if setting.fault:
            raise UsageError(
                f"{setting.variable} is {settings.as_text(setting.value)!r}: {setting.fault}.",
                hint="Mend it or unset it.",
            )


def _show_table(shown: Sequence[Setting], path: Path | None, everything: bool) -> None:
    if shown:
        show_table(
            ("setting", "value", "from", "variable"),
            ((s.name, settings.as_text(s.value), s.source, s.variable) for s in shown),
        )
    typer.echo(f"Settings file: {settings.describe_file(path)}", err=True)
    if not everything:
        rest = "All others" if shown else "All"
        typer.echo(f"{rest} are at their defaults; --all shows them.", err=True)


@config.command("path")
def path_(json: Json = False) -> None:
    """Print where the settings file is, or would be."""
    path = settings.config_path()
    if json:
        show_json(str(path) if path else None)
    elif path:
        typer.echo(path)
    else:
        typer.echo(f"None: {settings.CONFIG_ENV} is set to nothing.", err=True)
        raise typer.Exit(ExitCode.SOME_FAILED)
