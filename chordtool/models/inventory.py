"""Which models there are, and what is known of each, without importing any of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chordtool import catalogue, plugins
from chordtool.catalogue import FileStatus
from chordtool.errors import ChordtoolError
from chordtool.models.registry import GROUP, load_model
from chordtool.plugins import Plugin


@dataclass(frozen=True)
class ModelEntry:
    """A registered model as a list shows it."""

    name: str
    package: str
    """The installed package that registers it."""
    state: str
    """``"ready"``, ``"missing"`` (its weights are not here), or ``"installed"`` for a plug-in,
    which looks after its weights itself."""
    size: int | None
    """Bytes of its weights; ``None`` if not known."""
    licence: str
    """Of its weights, empty if not known."""
    description: str


@dataclass(frozen=True)
class ModelDetails:
    """Everything that can be said about a model."""

    name: str
    entry: ModelEntry | None
    """``None`` for a file that is not registered."""
    source: str
    files: tuple[FileStatus, ...]
    """The files that are downloaded for it, contents checked."""
    card: dict[str, Any] | None
    """Its card; ``None`` if it cannot be loaded here."""
    problem: str
    """Why it cannot be loaded, empty if it can."""

    def pairs(self) -> list[tuple[str, object]]:
        """Names and values as people read them, the files left out."""
        card = self.card or {}
        front_end = card.get("front_end", {})
        pairs: list[tuple[str, object]] = [("name", self.name)]
        if self.entry:
            pairs += [("package", self.entry.package), ("state", self.entry.state)]
        pairs += [
            ("description", card.get("description") or (self.entry and self.entry.description)),
            ("licence", card.get("licence") or (self.entry and self.entry.licence)),
            ("source", self.source),
            ("downloaded from", self._origin()),
            ("teacher", card.get("teacher")),
            ("architecture", card.get("architecture")),
            ("version", card.get("version")),
            ("vocabulary", card.get("vocabulary")),
        ]
        if front_end:
            rate, hop = front_end["sample_rate"], front_end["hop_length"]
            pairs += [("front end", f"{front_end['kind']}, {rate} Hz, hop {hop}")]
        pairs += [(key, f"{value:.3f}") for key, value in card.get("metrics", {}).items()]
        return [*pairs, ("not usable", self.problem)]

    def _origin(self) -> str:
        places = (f"github.com/{s.file.repository} at {s.file.commit[:7]}" for s in self.files)
        return ", ".join(dict.fromkeys(places))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.name,
            **(asdict(self.entry) if self.entry else {}),
            "source": self.source,
            "files": files_to_json(self.files),
            "card": self.card,
            "problem": self.problem,
        }


def list_models() -> list[ModelEntry]:
    """All registered models, our own first.

    A plug-in whose module is not there is left out, with a
    :class:`~chordtool.plugins.PluginWarning`.
    """
    return [_entry(plugin) for plugin in plugins.names(GROUP).values() if _usable(plugin)]


def describe(name: str) -> ModelDetails:
    """A registered model or an exported file in full; loads it if its weights are here.

    Raises:
        ModelUnavailableError: there is no such model.
        ModelError: the file is broken.
    """
    plugin = plugins.find(GROUP, name)
    listed = catalogue.CATALOGUE.get(name) if plugin and _is_ours(plugin) else None
    files = tuple(catalogue.status(file) for file in listed.files) if listed else ()
    card, problem = _card(name, fatal=plugin is None)
    return ModelDetails(
        name=name,
        entry=_entry(plugin) if plugin else None,
        source=listed.source if listed else str((card or {}).get("source", "")),
        files=files,
        card=card,
        problem=problem,
    )


def verify(names: Sequence[str] = ()) -> list[FileStatus]:
    """Check the downloaded files of the named models, or of all that are here in part.

    Raises:
        UsageError: nothing is downloaded for a name.
    """
    if names:
        return [catalogue.status(file) for name in names for file in catalogue.entry(name).files]
    found = []
    for name in catalogue.CATALOGUE:
        files = [catalogue.status(file) for file in catalogue.entry(name).files]
        if any(file.path for file in files):
            found += files
    return found


def files_to_json(files: Sequence[FileStatus]) -> list[dict[str, Any]]:
    """JSON-ready."""
    return [
        {
            "name": status.file.name,
            "state": status.state,
            "path": str(status.path) if status.path else None,
            "size": status.file.size,
            "sha256": status.file.sha256,
            "url": status.file.url,
        }
        for status in files
    ]


def _card(name: str, *, fatal: bool) -> tuple[dict[str, Any] | None, str]:
    try:
        return json.loads(load_model(name).card.to_json()), ""
    except ChordtoolError as error:
        if fatal:
            raise
        return None, f"{error.message} {error.hint}".strip()


def _entry(plugin: Plugin) -> ModelEntry:
    if not _is_ours(plugin):
        return _foreign_entry(plugin)
    listed = catalogue.CATALOGUE.get(plugin.name)
    if listed is None:
        return _bundled_entry(plugin)
    return ModelEntry(
        name=plugin.name,
        package=plugin.distribution,
        state="ready" if catalogue.is_here(plugin.name) else "missing",
        size=listed.size,
        licence=listed.licence,
        description=listed.description,
    )


def _bundled_entry(plugin: Plugin) -> ModelEntry:
    """What ships in the package: its weights lie beside this file."""
    weights = Path(__file__).with_name("data") / f"{plugin.name}.onnx"
    here = weights.is_file()
    return ModelEntry(
        name=plugin.name,
        package=plugin.distribution,
        state="ready" if here else "missing",
        size=weights.stat().st_size if here else None,
        licence="MIT",
        description="Ships with chordtool; fast, 168 chords.",
    )


def _foreign_entry(plugin: Plugin) -> ModelEntry:
    try:
        about: Any = metadata(plugin.distribution)
    except PackageNotFoundError:
        about = {}
    return ModelEntry(
        name=plugin.name,
        package=plugin.distribution,
        state="installed",
        size=None,
        licence=_line(about.get("License-Expression") or about.get("License")),
        description=_line(about.get("Summary")),
    )


def _usable(plugin: Plugin) -> bool:
    """Whether the module of a plug-in is there; finding out does not import it."""
    if _is_ours(plugin):
        return True
    try:
        # The module's own name is not looked for: that would import the packages it is in.
        there = find_spec(plugin.module.partition(".")[0]) is not None
    except (AttributeError, ImportError, ValueError):
        there = False
    if not there:
        plugins.warn(plugin, f"{plugin.value} is not there")
    return there


def _is_ours(plugin: Plugin) -> bool:
    return plugin.distribution == plugins.OURSELVES


def _line(text: str | None) -> str:
    """The first line of somebody else's text, without control characters."""
    first = (text or "").strip().splitlines()[:1]
    return "".join(c for c in first[0] if c.isprintable()) if first else ""
