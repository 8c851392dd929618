"""Choices that more than one command offers."""

from __future__ import annotations

from enum import Enum

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


def asked_for(context: typer.Context, parameter: str) -> bool:
    """Whether a flag has set an option: no variable, no settings file, no default."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def at_default(context: typer.Context, parameter: str) -> bool:
    """Whether nothing has set an option: no flag, no variable, no settings file."""
    source = context.get_parameter_source(parameter)
    return source is None or source.name == "DEFAULT"
