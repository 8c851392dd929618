"""Choices that more than one command offers."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import typer


class Spelling(str, Enum):
    """Spellings that ``--spelling`` takes."""

    default = "default"
    sharps = "sharps"
    flats = "flats"
    key = "key"


class Vocabulary(str, Enum):
    """Vocabularies that ``--vocabulary`` takes."""

    large = "large"
    majmin = "majmin"


def a_path(text: str) -> Path:
    """A path as options take it.

    Raises:
        BadParameter: it is empty, as a shell's variable that is not set leaves it; as a path, that
            would be the folder where the program was started.
    """
    if not text:
        raise typer.BadParameter("it names nothing.")
    return Path(text)


def asked_for(context: typer.Context, parameter: str) -> bool:
    """Whether a flag has set an option: no variable, no settings file, no default."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def opposites(context: typer.Context, first: str, second: str) -> tuple[bool, bool]:
    """Two switches that contradict each other; flags win over variables and the settings file."""
    values = bool(context.params[first]), bool(context.params[second])
    flags = asked_for(context, first), asked_for(context, second)
    return flags if all(values) and any(flags) else values


def at_default(context: typer.Context, parameter: str) -> bool:
    """Whether nothing has set an option: no flag, no variable, no settings file."""
    source = context.get_parameter_source(parameter)
    return source is None or source.name == "DEFAULT"
