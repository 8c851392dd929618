"""The ``chordtool`` program: its commands, and the one place where errors are shown.

A command's module is imported when it is called, not before: ``transcribe`` must start in a
fraction of a second, whatever the other commands need. So the program is put together anew for
each call, with the called command in full and the others as names with a line of help.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Final, TextIO

import typer
from typer.core import TyperGroup
from typer.main import get_command

from chordtool import settings
from chordtool.errors import ChordtoolError, ExitCode

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


_SONGS, _TRAINING, _PROGRAM = "Songs", "Corpora and training", "The program"

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
    "info": Command("chordtool.commands.info", "Show what a recording is and holds.", _SONGS),
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

_GOES_ON: Final = "The same command goes on where it was."
RESUMPTION: Final[dict[str, str]] = {
    "transcribe": "With --skip-existing, the same command does the rest.",
    "label-corpus": _GOES_ON,
    "distill": _GOES_ON,
    "finetune": _GOES_ON,
    "models": _GOES_ON,
}
"""How a command goes on after it was interrupted."""
_ADVICE: Final[dict[int, str]] = {
    errno.ENOSPC: "Make room on that disk, then run the same command again.",
    errno.EDQUOT: "Make room on that disk, then run the same command again.",
    errno.EACCES: "Mend the permissions, or choose another place.",
    errno.EPERM: "Mend the permissions, or choose another place.",
    errno.EROFS: "Choose a place that can be written to.",
    errno.ENOENT: "Make the folder first, or choose another place.",
}
"""What to do about errors of the operating system."""


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit; the console script and ``python -m chordtool`` call this."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _mind_signals()
        status = run(arguments)
        _leave_signals()
    except KeyboardInterrupt:  # it came before or after what run() guards
        _leave_signals()
        status = _interrupted(arguments)
    sys.exit(status)


_asked_to_stop = False


def _mind_signals() -> None:
    """Let SIGTERM interrupt as Ctrl-C does: what was begun is cleared away.

    What is ignored, as in the background of some shells, stays so.
    """
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == usual:
            signal.signal(number, _stop)


def _leave_signals() -> None:
    """Let a signal end the program at once: the work is over, and nobody would catch _stop's."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) == _stop:
            signal.signal(number, signal.SIG_DFL)


class _StopError(KeyboardInterrupt):
    """What Ctrl-C and SIGTERM raise.

    A class of its own, because of a plain KeyboardInterrupt that went through text that was run
    (dataclasses are made that way) the interpreter remembers that nobody caught it, whoever
    did, and under ``python -m`` ends with SIGINT instead of the exit status.
    """


def _stop(number: int, frame: object) -> None:
    global _asked_to_stop
    _asked_to_stop = True
    raise _StopError


def run(arguments: Sequence[str]) -> int:
    """Run the program and return its exit status; errors go to standard error."""
    warnings.showwarning = _show_warning
    try:
        called = _called(arguments)
        program = _parsed(called)
        status = program(
            args=list(arguments),
            prog_name="chordtool",
            standalone_mode=False,
            default_map={} if _completing() else settings.for_call(program, COMMANDS, called),
        )
        sys.stdout.flush()
        if status == ExitCode.INTERRUPTED:  # the parser catches Ctrl-C and says nothing
            return _interrupted(arguments)
        return status if isinstance(status, int) else ExitCode.OK
    except ChordtoolError as error:
        return _show(error.message, error.hint, error.exit_code)
    except _ClickException as error:
        context = getattr(error, "ctx", None)
        name = context.command_path if context is not None else "chordtool"
        message = error.format_message()  # type: ignore[attr-defined]
        if not message:  # no command was named, and the help has been shown
            return ExitCode.USAGE
        return _show(message, f"`{name} --help` shows how.", ExitCode.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(arguments)
    except BrokenPipeError:
        # Whoever read our output has left. Python would complain once more when it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.SOME_FAILED
    except Exception as error:
        if _asked_to_stop:  # libraries make other exceptions of it, while they are imported
            return _interrupted(arguments)
        if os.environ.get(settings.DEBUG_ENV):
            raise
        return _show(*_explained(error), ExitCode.SOME_FAILED)


def _interrupted(arguments: Sequence[str]) -> int:
    hint = next((RESUMPTION[word] for word in arguments if word in RESUMPTION), "")
    return _show("Interrupted.", hint, ExitCode.INTERRUPTED)


def _called(arguments: Sequence[str]) -> list[str]:
    """The commands that this call may need: the one it names, or all to complete a line."""
    if _completing():
        words = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()
        return [word for word in words if word in COMMANDS][:1]
    return [word for word in arguments if not word.startswith("-")][:1]


def _completing() -> bool:
    return "_CHORDTOOL_COMPLETE" in os.environ


def _explained(error: Exception) -> tuple[str, str]:
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return f"{where}{error.strerror}.", _ADVICE.get(error.errno or 0, "")
    if isinstance(error, MemoryError):
        return "There is not enough memory.", "Use fewer --jobs."
    first = (str(error).splitlines() or [""])[0]
    return (
        f"Unexpected {type(error).__name__}: {first}",
        f"This is a bug. {settings.DEBUG_ENV}=1 shows where it happened.",
    )


def _show(message: str, hint: str, status: ExitCode) -> int:
    """One sentence and a hint on standard error."""
    _show_lines(("error", "31", message), *([("hint", "36", hint)] if hint else []))
    return status


def _show_lines(*lines: tuple[str, str, str]) -> None:
    """A word, the number of its colour, and the text after it, one line each."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    for word, code, text in lines:
        head = f"\x1b[1;{code}m{word}:\x1b[0m" if colour else f"{word}:"
        # File names may hold anything; standard error must take it.
        line = f"{head} {text}\n".encode(sys.stderr.encoding or "utf-8", "backslashreplace")
        try:
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
        except (BrokenPipeError, AttributeError):
            pass


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line, without the place in the code: it means nothing to a user."""
    _show_lines(("warning", "33", next(iter(str(message).splitlines()), "")))


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
