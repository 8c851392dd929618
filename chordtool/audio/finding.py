"""Which recordings the paths on a command line mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

from chordtool.errors import AudioError, UsageError
from chordtool.printable import shown
from chordtool.walking import files_below, is_special

# fmt: off
AUDIO_SUFFIXES: Final = frozenset((
    ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".avi",
    ".caf", ".dff", ".dsf", ".dts", ".eac3", ".flac", ".flv", ".m4a", ".m4b", ".m4v", ".mka",
    ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".rf64", ".snd",
    ".spx", ".tta", ".w64", ".wav", ".wave", ".weba", ".webm", ".wma", ".wv",
))
# fmt: on
"""Suffixes of files that are taken for recordings in folders, lower case with the dot."""


OnError: TypeAlias = Callable[[OSError], None] | None


def find_audio(
    paths: Iterable[str | Path],
    *,
    strict: bool = False,
    on_error: Callable[[OSError], None] | None = None,
) -> list[Path]:
    """The recordings that files, folders and glob patterns mean, each once, in order.

    A file is taken whatever its name. A folder stands for the recordings in it and below it,
    sorted, known by :data:`AUDIO_SUFFIXES`, hidden ones left out; links are followed, a folder
    is entered once, and what is no file at all, such as a pipe or a device, is left out. A name
    with ``*``, ``?`` or ``[`` that is no file is a pattern, where ``**`` means any depth. ``-``
    stays as it is.

    What stands for no recording stays as it is, too, so that :func:`load` fails on it alone and
    the others still come out.

    Args:
        strict: raise over what stands for no recording instead.
        on_error: told about folders that cannot be listed; they are left out.

    Raises:
        UsageError: no paths were given, or an empty one.
        AudioError: ``strict``, and a path is missing, or a folder or pattern has no recording.
    """
    found: dict[Path, None] = {}
    given = False
    for path in paths:
        given = True
        if path == "":  # a shell's variable that is not set; as a path, it is this folder
            raise UsageError(
                "A recording has no name.", hint="Name files, folders, or - for a pipe."
            )
        recordings = _expand(os.fspath(path), on_error)
        if strict and not recordings:
            raise AudioError(
                f"There is no recording at {shown(path)}.",
                hint="Give audio files, or folders that hold some.",
            )
        found.update(dict.fromkeys(recordings or [Path(path)]))
    if not given:
        raise UsageError("No recordings were given.", hint="Name files, folders, or - for a pipe.")
    return list(found)


def _expand(path: str, on_error: OnError) -> list[Path]:
    if path == "-":
        return [Path(path)]
    if os.path.isfile(path):  # noqa: PTH113
        return [Path(path)]
    import glob

    if os.path.isdir(path):  # noqa: PTH112 - Path drops what a name cannot hold
        return list(files_below(path, _is_audio, on_error))
    if os.path.lexists(path) or not glob.has_magic(path):
        return [Path(path)] if os.path.exists(path) else []  # noqa: PTH110
    recordings: list[Path] = []
    for match in sorted(glob.glob(path, recursive=True)):  # noqa: PTH207
        if os.path.isdir(match):  # noqa: PTH112
            recordings.extend(files_below(match, _is_audio, on_error))
        elif _is_audio(match) and not is_special(match):
            recordings.append(Path(match))
    return recordings


def _is_audio(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES  # noqa: PTH122
