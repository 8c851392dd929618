"""Formats by name, through the entry-point group ``chordtool.formats``."""

from __future__ import annotations

from chordtool import plugins
from chordtool.errors import UsageError
from chordtool.formats.base import Format, FormatOptions

__all__ = ["GROUP", "Format", "FormatOptions", "load_format"]

GROUP = "chordtool.formats"


def load_format(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: there is none, or the plug-in that brings it is broken.
    """
    plugin = plugins.find(GROUP, name)
    loaded = plugins.load(plugin) if plugin else None
    if loaded is None:
        known = ", ".join(plugins.names(GROUP))
        raise UsageError(f"There is no format named {name!r}.", hint=f"Known formats: {known}.")
    found: Format = loaded
    return found
