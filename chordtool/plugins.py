"""Plug-ins: things found by name through entry points, listed without being imported.

A broken plug-in is one warning and never an outage. Set ``CHORDTOOL_PLUGINS`` to a
comma-separated list of distribution names to load only those; set it to nothing to load none.
What chordtool itself registers is always there.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from chordtool.errors import ChordtoolError, UsageError, first_line

OURSELVES: Final = "chordtool"
OWN: Final[dict[str, dict[str, str]]] = {
    "chordtool.models": {
        "lv": "chordtool.models.lv:load",
        "crema": "chordtool.models.crema:load",
        "btc": "chordtool.models.btc:load",
        "default": "chordtool.models.default:load",
    },
    "chordtool.formats": {
        "lab": "chordtool.formats.lab:LAB",
        "json": "chordtool.formats.json_document:JSON",
        "jsonl": "chordtool.formats.json_document:JSONL",
        "csv": "chordtool.formats.tables:CSV",
        "jams": "chordtool.formats.jams:JAMS",
        "midi": "chordtool.formats.midi:MIDI",
        "audacity": "chordtool.formats.tables:AUDACITY",
        "sonic-visualiser": "chordtool.formats.tables:SONIC_VISUALISER",
        "chordpro": "chordtool.formats.chart:CHORDPRO",
        "chart": "chordtool.formats.chart:CHART",
        "srt": "chordtool.formats.captions:SRT",
        "lrc": "chordtool.formats.captions:LRC",
        "html": "chordtool.formats.html:HTML",
    },
    "chordtool.beats": {"librosa": "chordtool.beats:LIBROSA"},
}
"""The entry points of this package. Reading them from its metadata, as those of others are read,
takes a twentieth of the time in which a song is transcribed."""
_T = TypeVar("_T")


class PluginWarning(UserWarning):
    """A plug-in could not be used."""


@dataclass(frozen=True)
class Plugin:
    """A registered name; nothing of it has been imported yet."""

    name: str
    distribution: str
    """The installed package that registers it."""
    value: str
    """``module:attribute``, as entry points have it."""

    @property
    def module(self) -> str:
        """Name of the module that it lives in."""
        return self.value.partition(":")[0].strip()

    def load(self) -> Any:
        """Import it.

        Raises:
            ChordtoolError: errors of our own pass through.
            Exception: whatever the plug-in raises on import.
        """
        # An entry point may end in names of extras, in brackets.
        module, _, attributes = self.value.partition("[")[0].partition(":")
        found: Any = import_module(module.strip())
        for attribute in filter(None, attributes.strip().split(".")):
            found = getattr(found, attribute)
        return found


def find(group: str, name: str) -> Plugin | None:
    """The plug-in of that name, or ``None``.

    Our own names come first: finding one costs the same however many packages are installed,
    and nobody can take such a name over.
    """
    return _own(group).get(name) or _foreign(group).get(name)


def names(group: str) -> dict[str, Plugin]:
    """All registered plug-ins of a group by name, our own first."""
    own = _own(group)
    return {**own, **{k: v for k, v in sorted(_foreign(group).items()) if k not in own}}


def require(group: str, name: str, noun: str, error: type[ChordtoolError] = UsageError) -> Plugin:
    """The plug-in of that name.

    Args:
        group: where it is registered.
        name: as users type it.
        noun: what the group's plug-ins are called in messages.
        error: what is raised if there is none.

    Raises:
        ChordtoolError: there is none; the hint names the nearest and all.
    """
    plugin = find(group, name)
    if plugin is None:
        from difflib import get_close_matches  # only needed where something is wrong

        known = names(group)
        close = get_close_matches(name.lower(), known, n=1)
        raise error(
            f"There is no {noun} named {name!r}.",
            hint=(f"Did you mean {close[0]}? " if close else "")
            + f"Known {noun}s: {', '.join(known)}.",
        )
    return plugin


def load_as(kind: type[_T], group: str, name: str, noun: str) -> _T:
    """What the plug-in of that name registers, which is to be of a kind.

    Raises:
        UsageError: there is none, or the package that brings it is broken.
    """
    plugin = require(group, name, noun)
    loaded = load(plugin)
    if not isinstance(loaded, kind):
        raise UsageError(
            f"The {noun} {name!r} of the package {plugin.distribution} cannot be used.",
            hint=f"Choose another {noun}, or mend that package.",
        )
    return loaded


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
        error = f"{type(error).__name__}: {first_line(error)}".rstrip(": ")
    warnings.warn(
        f"Plug-in {plugin.name!r} of {plugin.distribution} cannot be used: {error}",
        PluginWarning,
        stacklevel=3,
    )


def _own(group: str) -> dict[str, Plugin]:
    return {name: Plugin(name, OURSELVES, value) for name, value in OWN.get(group, {}).items()}


def _foreign(group: str) -> dict[str, Plugin]:
    allowed = _allowed()
    if allowed == frozenset():
        return {}
    return _registered(group, allowed, tuple((path, _changed(path)) for path in sys.path))


@lru_cache(maxsize=64)
def _registered(
    group: str, allowed: frozenset[str] | None, searched: tuple[tuple[str, int], ...]
) -> dict[str, Plugin]:
    """What installed packages register, other than ours.

    Looked for once, as long as nothing is installed: the metadata of a hundred packages take
    longer to read than a label file.

    Args:
        group: of entry points.
        allowed: packages that count, by canonical name; all if ``None``.
        searched: the folders in which packages are found, and when each was changed.
    """
    from importlib.metadata import distributions

    found: dict[str, Plugin] = {}
    for dist in distributions(path=[path for path, _ in searched]):
        try:
            package = dist.metadata["Name"] or ""
            entry_points = [e for e in dist.entry_points if e.group == group]
        except Exception:  # a broken installation of somebody else's package
            continue
        if package == OURSELVES or (allowed is not None and _canonical(package) not in allowed):
            continue
        for entry_point in entry_points:
            found.setdefault(entry_point.name, Plugin(entry_point.name, package, entry_point.value))
    return found


def _changed(folder: str) -> int:
    """When something was put into a folder, or taken out of it, in nanoseconds; 0 if unknown."""
    try:
        return Path(folder).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


def _allowed() -> frozenset[str] | None:
    value = os.environ.get("CHORDTOOL_PLUGINS")
    if value is None:
        return None
    return frozenset(_canonical(name.strip()) for name in value.split(",") if name.strip())


def _canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it: My_Package is my-package."""
    return re.sub(r"[-_.]+", "-", name).lower()
