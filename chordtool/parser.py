"""The command line as its parser, Typer, knows it.

A command's module is imported when it is called, not before, whatever the other commands need. So
the program is put together anew for each call, with the called command in full and the others as
names with a line of help.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from chordtool import settings
from chordtool.errors import ExitCode, UsageError

_SONGS, _TRAINING, _PROGRAM = "Songs", "Corpora and training", "The program"
# Typer has a copy of Click inside or uses the installed one, as its version goes, and names this
# class nowhere: BadParameter is a UsageError, which is a ClickException.
_ClickException: Final[type[Exception]] = typer.BadParameter.__mro__[2]


@dataclass(frozen=True)
class Command:
    """Where a command lives: ``module`` holds ``name`` with underscores, a function or an app."""

    module: str
    help: str
    panel: str

    def load(self, name: str) -> Callable[..., Any] | typer.Typer:
        """Import the command."""
        found: Callable[..., Any] | typer.Typer = getattr(
            import_module(self.module), name.replace("-", "_")
        )
        return found


COMMANDS: Final[dict[str, Command]] = {
    "transcribe": Command(
        "chordtool.commands.transcribe", "Write down the chords of recordings.", _SONGS
    ),
    "label-corpus": Command(
        "chordtool.commands.label_corpus", "Label a folder of music for training.", _TRAINING
    ),
    "corpus": Command(
        "chordtool.commands.corpus", "Show what a corpus holds; check and repair it.", _TRAINING
    ),
    "distill": Command(
        "chordtool.commands.distill", "Train a student on labelled corpora.", _TRAINING
    ),
    "finetune": Command(
        "chordtool.commands.finetune", "Train a student on ground truth.", _TRAINING
    ),
    "export": Command(
        "chordtool.commands.export", "Turn a trained student into one ONNX file.", _TRAINING
    ),
    "evaluate": Command(
        "chordtool.commands.evaluate", "Score models against ground truth.", _TRAINING
    ),
    "convert": Command(
        "chordtool.commands.convert",
        "Turn written chords into another format, key or vocabulary.",
        _SONGS,
    ),
    "info": Command("chordtool.commands.info", "Show what is in a recording.", _SONGS),
    "models": Command(
        "chordtool.commands.models", "List models, fetch and check their weights.", _PROGRAM
    ),
    "config": Command(
        "chordtool.commands.config", "Show the settings in force and their sources.", _PROGRAM
    ),
    "doctor": Command(
        "chordtool.commands.doctor", "Find out what is missing and what mends it.", _PROGRAM
    ),
}
"""Every command in the order of the help."""


def build(*names: str) -> typer.Typer:
    """The program with the named commands in full and the others as names.

    Args:
        names: names out of :data:`COMMANDS`.
    """
    app = typer.Typer(
        name="chordtool",
        help="Automatic chord recognition: transcribe songs, label corpora, train students.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_program)
    for name, command in COMMANDS.items():
        if name not in names:
            app.command(name, help=command.help, rich_help_panel=command.panel)(_placeholder)
            continue
        loaded = command.load(name)
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=name, help=command.help, rich_help_panel=command.panel)
        else:
            app.command(name, rich_help_panel=command.panel)(loaded)
    return app


def whole_program() -> TyperGroup:
    """The program with every command in full."""
    return _parsed(COMMANDS)


def _parsed(names: Iterable[str]) -> TyperGroup:
    program = get_command(build(*names))
    assert isinstance(program, TyperGroup)
    return program


def call(arguments: Sequence[str]) -> int:
    """Call the command that the arguments name, and return the exit status.

    Raises:
        UsageError: the arguments make no sense.
        KeyboardInterrupt: the call was interrupted.
        Exception: whatever the command raises.
    """
    called = _called(arguments)
    try:
        program = _parsed(called)
        status = program(
            args=list(arguments),
            prog_name="chordtool",
            standalone_mode=False,
            default_map={} if _completing() else settings.for_call(program, COMMANDS, called),
        )
    except _ClickException as error:
        context = getattr(error, "ctx", None)
        name = context.command_path if context is not None else "chordtool"
        message = error.format_message()  # type: ignore[attr-defined]
        if not message:  # no command was named, and the help has been shown
            return ExitCode.USAGE
        raise UsageError(message, hint=f"`{name} --help` shows how.") from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    return status if isinstance(status, int) else ExitCode.OK


def _called(arguments: Sequence[str]) -> list[str]:
    """The commands that this call may need: the one it names, or all to complete a line."""
    if _completing():
        words = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()
        return [word for word in words if word in COMMANDS][:1]
    return [word for word in arguments if not word.startswith("-")][:1]


def _completing() -> bool:
    return "_CHORDTOOL_COMPLETE" in os.environ


def _placeholder() -> None:
    """Stands for a command that this call does not use."""


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"chordtool {version('chordtool')}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    pass
