"""The ``chordtool`` program, and the one place where errors are shown.

What the command line means is :mod:`chordtool.parser`'s business. The call that most people make
does without it: :mod:`chordtool.plain`.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Final, TextIO

from chordtool import plain, settings
from chordtool.errors import ChordtoolError, ExitCode, first_line

_GOES_ON: Final = "The same command goes on where it was."
_WITHOUT_OVERWRITE: Final = (
    "The same command goes on where it was; without --overwrite, once it trains."
)
RESUMPTION: Final[dict[str, str]] = {
    "transcribe": "With --skip-existing, the same command does the rest.",
    "label-corpus": _GOES_ON,
    "distill": _GOES_ON,
    "finetune": _GOES_ON,
    "models": _GOES_ON,
}
"""How a command goes on after it was interrupted."""
WITH_JOBS: Final = ("transcribe", "label-corpus", "evaluate")
"""Commands that share their work among processes."""
_ADVICE: Final[dict[int, str]] = {
    errno.ENOSPC: "Make room on that disk, then run the same command again.",
    errno.EDQUOT: "Make room on that disk, then run the same command again.",
    errno.EACCES: "Mend the permissions, or choose another place.",
    errno.EPERM: "Mend the permissions, or choose another place.",
    errno.EROFS: "Choose a place that can be written to.",
    errno.ENOENT: "Make the folder first, or choose another place.",
}
"""What to do about errors of the operating system."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit; the console script and ``python -m chordtool`` call this."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _mind_signals()
        _hold_streams()
        status = run(arguments)
        _leave_signals()
    except KeyboardInterrupt:  # it came before or after what run() guards
        _leave_signals()
        status = _interrupted(arguments)
    sys.exit(status)


def _hold_streams() -> None:
    """Put nothing in the place of standard streams that are closed.

    Otherwise files that are opened would get their numbers, and what libraries have to say.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - for good


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
    if _AGAIN is not None:
        signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) == _stop:
            signal.signal(number, signal.SIG_DFL)


class _StopError(KeyboardInterrupt):
    """What Ctrl-C and SIGTERM raise.

    A class of its own, because of a plain KeyboardInterrupt that went through text that was run
    (dataclasses are made that way) the interpreter remembers that nobody caught it, whoever
    did, and under ``python -m`` ends with SIGINT instead of the exit status.
    """


_AGAIN: Final = getattr(signal, "SIGALRM", None)
"""What brings an interruption back that came at a bad moment, where there are timers."""
_AGAIN_SECONDS: Final = 0.005


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked_to_stop
    _asked_to_stop = True
    if _AGAIN is not None and _is_import_system(frame):
        signal.signal(_AGAIN, _stop)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        return
    raise _StopError


def _is_import_system(frame: FrameType | None) -> bool:
    """Whether the interpreter is between two steps of an import itself, not in what is imported.

    There an exception can be lost, or a lock be kept that has just been taken: another thread that
    imports something would wait for it for ever, and the program for that thread.
    """
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


def run(arguments: Sequence[str]) -> int:
    """Run the program and return its exit status; errors go to standard error."""
    warnings.showwarning = _show_warning
    try:
        status = _call(arguments)
        sys.stdout.flush()
        return _interrupted(arguments) if status == ExitCode.INTERRUPTED else status
    except ChordtoolError as error:
        return _show(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        return _interrupted(arguments)
    except BrokenPipeError:  # whoever read our output has left
        _forget(sys.stdout)
        return ExitCode.SOME_FAILED
    except Exception as error:
        if _asked_to_stop:  # libraries make other exceptions of it, while they are imported
            return _interrupted(arguments)
        if os.environ.get(settings.DEBUG_ENV):
            raise
        _forget(sys.stdout)
        return _show(*_explained(error, arguments), ExitCode.SOME_FAILED)


def _forget(stream: TextIO) -> None:
    """Drop what a stream did not take: Python would try, and complain, again at the end."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _call(arguments: Sequence[str]) -> int:
    song = plain.song_of(arguments)
    if song is not None:
        plain.transcribe(song)
        return ExitCode.OK
    from chordtool import parser  # a tenth of the time in which a song is transcribed

    return parser.call(arguments)


def _interrupted(arguments: Sequence[str]) -> int:
    hint = RESUMPTION.get(_called(arguments), "")
    if "--overwrite" in arguments:  # with it, the command would start anew
        hint = _WITHOUT_OVERWRITE if hint == _GOES_ON else ""
    return _show("Interrupted.", hint, ExitCode.INTERRUPTED)


def _called(arguments: Sequence[str]) -> str:
    """The command that is called; empty if none is."""
    return next((word for word in arguments if not word.startswith("-")), "")


def _explained(error: Exception, arguments: Sequence[str]) -> tuple[str, str]:
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return f"{where}{error.strerror}.", _ADVICE.get(error.errno or 0, "")
    if isinstance(error, MemoryError):
        hint = "Use fewer --jobs." if _called(arguments) in WITH_JOBS else ""
        return "There is not enough memory.", hint
    return (
        f"Unexpected {type(error).__name__}: {first_line(error)}",
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
        except AttributeError:  # whoever calls from Python may have put anything in its place
            pass
        except OSError:  # nobody reads it any more, or its disk is full
            _forget(sys.stderr)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line, without the place in the code: it means nothing to a user."""
    _show_lines(("warning", "33", first_line(message)))
