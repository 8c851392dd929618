"""What the shell offers for names of plug-ins; nothing is imported to find them."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def model_names(incomplete: str) -> list[str]:
    """Names of registered models."""
    return _names("chordtool.models", incomplete)


def format_names(incomplete: str) -> list[str]:
    """Names of registered formats."""
    return _names("chordtool.formats", incomplete)


def tracker_names(incomplete: str) -> list[str]:
    """Names of registered beat trackers."""
    return _names("chordtool.beats", incomplete)


def download_names(incomplete: str) -> list[str]:
    """Names of models whose weights are downloaded."""
    from chordtool.catalogue import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(incomplete)]


def one_of(choices: Sequence[str]) -> Callable[[str], list[str]] | None:
    """Some words, or ``None``, for the shell's own way, if there are none."""
    if not choices:
        return None
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def _names(group: str, incomplete: str) -> list[str]:
    from chordtool import plugins

    return [name for name in plugins.names(group) if name.startswith(incomplete)]
