"""One family of errors: what went wrong in one sentence, what to do about it, which exit code.

Errors are raised where they are known and shown in one place (:mod:`chordtool.cli`). Every
error that chordtool raises on purpose derives from :class:`ChordtoolError`.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of the ``chordtool`` program."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    MODEL_UNAVAILABLE = 3
    INTERRUPTED = 130


class ChordtoolError(Exception):
    """An error that a user can understand.

    Args:
        message: one sentence that says what went wrong.
        hint: what the user can do about it; empty if there is nothing to say.
    """

    exit_code: ExitCode = ExitCode.SOME_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments need help to cross a process boundary.
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[ChordtoolError], message: str, hint: str) -> ChordtoolError:
    return kind(message, hint=hint)


class UsageError(ChordtoolError):
    """The command line or an argument makes no sense."""

    exit_code = ExitCode.USAGE


class AudioError(ChordtoolError):
    """An audio file cannot be read."""


class LabelError(ChordtoolError):
    """A chord label or a label file cannot be understood."""


class FormatError(ChordtoolError):
    """An output cannot be written, or an input of a known format cannot be read."""


class ModelError(ChordtoolError):
    """A model file is broken, hostile or does not fit."""


class ModelUnavailableError(ChordtoolError):
    """A model is unknown, or its weights are not on this machine."""

    exit_code = ExitCode.MODEL_UNAVAILABLE


class CorpusError(ChordtoolError):
    """A corpus folder is broken, foreign or newer than this program."""


class TrainingError(ChordtoolError):
    """A training run cannot start or go on."""


def first_line(message: object) -> str:
    """The first line of an error or a warning; empty if it says nothing."""
    return next(iter(str(message).splitlines()), "")
