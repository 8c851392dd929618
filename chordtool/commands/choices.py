"""Choices that more than one command offers."""

from __future__ import annotations

from enum import Enum


class Spelling(str, Enum):
    """Spellings that ``--spelling`` takes."""

    default = "default"
    sharps = "sharps"
    flats = "flats"
    key = "key"
