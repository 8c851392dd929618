"""What works here, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from re import match
from typing import Any, Final

import numpy as np

from chordtool import catalogue, plugins, settings
from chordtool.beats import BeatTracker
from chordtool.errors import ChordtoolError, first_line
from chordtool.formats import Format
from chordtool.models.registry import DEFAULT, load_model

OK: Final = "ok"
NOTE: Final = "note"
"""Nothing is wrong, but the user may want to know."""
BROKEN: Final = "broken"

_REINSTALL: Final = "pipx reinstall chordtool, or: pip install --force-reinstall chordtool"
_GROUPS: Final[dict[str, Callable[[Any], bool]]] = {
    "chordtool.models": callable,
    "chordtool.formats": lambda found: isinstance(found, Format),
    "chordtool.beats": lambda found: isinstance(found, BeatTracker),
}
"""By group, whether what an entry point names is of the kind that it should be."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: str
    """:data:`OK`, :data:`NOTE` or :data:`BROKEN`."""
    found: str
    remedy: str = ""
    """A command or a step; empty if nothing needs mending."""


def examine(
    options: Callable[[], list[settings.Setting]] | None = None,
) -> list[Finding]:
    """Look at everything.

    Args:
        options: gives every setting in force, or raises UsageError if the settings file is
            wrong; the file is not looked at if ``None``.
    """
    findings = [_python(), *_packages(), *_libraries(), _default_model(), *_weights()]
    findings += _plugins()
    if options is not None:
        findings += _settings(options)
    return findings


def _python() -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()}, {sys.platform}"
    return Finding("python", OK, f"{found} {platform.machine()}, {sys.executable}")


def _packages() -> Iterator[Finding]:
    """Our own version and those of what we need; nothing is imported."""
    yield Finding("chordtool", OK, f"{version('chordtool')}, {Path(__file__).parent}")
    for requirement in requires("chordtool") or ():
        if ";" in requirement:  # an extra, or another Python
            continue
        name = match(r"[\w.-]+", requirement)
        assert name is not None
        try:
            yield Finding(name[0], OK, version(name[0]))
        except PackageNotFoundError:
            yield Finding(name[0], BROKEN, "not installed", _REINSTALL)


def _libraries() -> Iterator[Finding]:
    """The compiled libraries behind the packages, by loading them."""
    libraries: dict[str, tuple[str, Callable[[Any], str]]] = {
        "onnxruntime providers": ("chordtool.models.runtime", _providers),
        "libsndfile": ("soundfile", lambda m: str(m.__libsndfile_version__)),
        "ffmpeg": ("av", lambda m: str(m.ffmpeg_version_info)),
        "libsoxr": ("soxr", lambda m: str(m.__libsoxr_version__)),
    }
    for name, (module, tell) in libraries.items():
        try:
            yield Finding(name, OK, tell(import_module(module)))
        except Exception as error:  # whatever a broken library does on import
            yield Finding(name, BROKEN, _described(error), _REINSTALL)


def _providers(runtime: Any) -> str:
    used = runtime.PROVIDERS
    others = [p for p in runtime.onnxruntime.get_available_providers() if p not in used]
    unused = f" (there, but not used: {', '.join(others)})" if others else ""
    return ", ".join(used) + unused


def _default_model() -> Finding:
    try:
        model = load_model(DEFAULT)
        bins = model.card.front_end.n_bins
        logits = model.logits(np.zeros((1, bins), np.float32))
        if not np.isfinite(logits).all():
            return Finding("default model", BROKEN, "answers with NaN", _REINSTALL)
    except ChordtoolError as error:
        return Finding("default model", BROKEN, error.message, error.hint)
    except Exception as error:
        return Finding("default model", BROKEN, _described(error), _REINSTALL)
    card = model.card
    return Finding("default model", OK, f"{card.name} {card.version}, loads and answers")


def _weights() -> Iterator[Finding]:
    """Folders with weights, and what is in them, contents checked."""
    for folder in catalogue.folders():
        there = os.path.isdir(folder)  # noqa: PTH112 - Path fails below what is closed to us
        chosen = os.environ.get(catalogue.MODELS_ENV) and folder != catalogue.cache_folder()
        if chosen and not there:
            yield Finding(
                "models folder",
                BROKEN,
                f"{folder} is not there",
                f"Make it, or mend {catalogue.MODELS_ENV}.",
            )
        else:
            yield Finding("models folder", OK, f"{folder}{'' if there else ' (not there yet)'}")
    for name, entry in catalogue.CATALOGUE.items():
        fetch = f"chordtool models download {name}"
        try:
            states = [catalogue.status(file) for file in entry.files]
        except ChordtoolError as error:
            yield Finding(f"model {name}", BROKEN, error.message, error.hint)
            continue
        damaged = [status.path for status in states if status.state == "damaged"]
        missing = sum(status.state == "missing" for status in states)
        if damaged:
            yield Finding(f"model {name}", BROKEN, f"{damaged[0]} is damaged", fetch)
        elif missing:
            yield Finding(f"model {name}", NOTE, "not downloaded", fetch)
        else:
            yield Finding(f"model {name}", OK, f"{states[0].path}, checksums right")


def _plugins() -> Iterator[Finding]:
    """Plug-ins of other packages, by importing them."""
    for group, fits in _GROUPS.items():
        for plugin in plugins.names(group).values():
            if plugin.distribution == plugins.OURSELVES:
                continue
            name = f"{group.rpartition('.')[2].rstrip('s')} plug-in {plugin.name}"
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                loaded = plugins.load(plugin)
            if loaded is not None and fits(loaded):
                yield Finding(name, OK, f"{plugin.distribution} {_version(plugin.distribution)}")
            else:
                why = f"{plugin.value} is of the wrong kind: {type(loaded).__name__}"
                if loaded is None:
                    why = str(caught[-1].message) if caught else "it is empty"
                remedy = f"Upgrade or uninstall {plugin.distribution}."
                yield Finding(name, BROKEN, why, remedy)


def _settings(options: Callable[[], list[settings.Setting]]) -> Iterator[Finding]:
    path = settings.config_path()
    try:
        known = options()
        yield Finding("settings file", OK, settings.describe_file(path))
    except ChordtoolError as error:
        yield Finding("settings file", BROKEN, error.message, error.hint)
        return
    for setting in known:
        if setting.fault:
            remedy = f"Mend or unset {setting.variable}."
            yield Finding(setting.variable, BROKEN, setting.fault, remedy)
    for variable in settings.strange_variables(setting.variable for setting in known):
        yield Finding(variable, NOTE, "no setting has this name", "chordtool config --all")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}".rstrip(": ")
