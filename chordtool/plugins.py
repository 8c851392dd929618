"""Plug-ins: things found by name through entry points, listed without being imported.

A broken plug-in is one warning and never an outage. Set ``CHORDTOOL_PLUGINS`` to a
comma-separated list of distribution names to load only those; set it to nothing to load none.
What chordtool itself registers is always there.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, distributions
from typing import Any

from chordtool.errors import ChordtoolError

OURSELVES = "chordtool"


class PluginWarning(UserWarning):
    """A plug-in could not be used."""


@dataclass(frozen=True)
class Plugin:
    """A registered name; nothing of it has been imported yet."""

    name: str
    distribution: str
    """The installed package that registers it."""
    entry_point: EntryPoint

    def load(self) -> Any:
        """Import it.

        Raises:
            ChordtoolError: errors of our own pass through.
            Exception: whatever the plug-in raises on import.
        """
        return self.entry_point.load()


def find(group: str, name: str) -> Plugin | None:
    """The plug-in of that name, or ``None``.

    Our own names are looked up in our own metadata alone, so that finding one costs the same
    however many packages are installed; nobody can take such a name over.
    """
    return _own(group).get(name) or _foreign(group).get(name)


def names(group: str) -> dict[str, Plugin]:
    """All registered plug-ins of a group by name, our own first."""
    own = _own(group)
    return {**own, **{k: v for k, v in sorted(_foreign(group).items()) if k not in own}}


def load(plugin: Plugin) -> Any | None:
    """Import a plug-in; a failure of a foreign one is a :class:`PluginWarning` and ``None``."""
    try:
        return plugin.load()
    except ChordtoolError:
        raise
    except (Exception, SystemExit) as error:  # whatever a plug-in does on import
        if plugin.distribution == OURSELVES:
            raise
        warn(plugin, error)
        return None


def warn(plugin: Plugin, error: BaseException | str) -> None:
    """Say in one line that a plug-in cannot be used."""
    if isinstance(error, BaseException):
        first = next(iter(str(error).splitlines()), "")
        error = f"{type(error).__name__}: {first}".rstrip(": ")
    warnings.warn(
        f"Plug-in {plugin.name!r} of {plugin.distribution} cannot be used: {error}",
        PluginWarning,
        stacklevel=3,
    )


@lru_cache(maxsize=8)
def _own(group: str) -> dict[str, Plugin]:
    try:
        entry_points = distribution(OURSELVES).entry_points
    except PackageNotFoundError:
        return {}
    return {e.name: Plugin(e.name, OURSELVES, e) for e in entry_points if e.group == group}


def _foreign(group: str) -> dict[str, Plugin]:
    allowed = _allowed()
    found: dict[str, Plugin] = {}
    if allowed == frozenset():
        return found
    for dist in distributions():
        try:
            package = dist.metadata["Name"] or ""
            entry_points = [e for e in dist.entry_points if e.group == group]
        except Exception:  # a broken installation of somebody else's package
            continue
        if package == OURSELVES or (allowed is not None and _canonical(package) not in allowed):
            continue
        for entry_point in entry_points:
            found.setdefault(entry_point.name, Plugin(entry_point.name, package, entry_point))
    return found


def _allowed() -> frozenset[str] | None:
    value = os.environ.get("CHORDTOOL_PLUGINS")
    if value is None:
        return None
    return frozenset(_canonical(name.strip()) for name in value.split(",") if name.strip())


def _canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it: My_Package is my-package."""
    return re.sub(r"[-_.]+", "-", name).lower()
