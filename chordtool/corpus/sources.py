"""Which recordings a run is about."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chordtool.audio import find_audio
from chordtool.errors import ChordtoolError, UsageError
from chordtool.streams import chunks


@dataclass(frozen=True)
class Shard:
    """The part of all recordings that one of several runs takes care of."""

    index: int = 1
    """1..count."""
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``"2/8"``, the second of eight.

        Raises:
            UsageError: it is none.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"{text!r} is no shard.", hint="The second of eight is 2/8.")
        return cls(int(match[1]), int(match[2]))

    def has(self, path: str) -> bool:
        """Whether a path falls into this shard; it does so whatever else there is."""
        digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


def find_sources(
    sources: Sequence[str], *, from_file: str | None = None, shard: Shard | None = None
) -> tuple[list[str], list[tuple[str, str]]]:
    """The recordings of a run as absolute paths, each once, and what is wrong with folders.

    Args:
        sources: files, folders and glob patterns.
        from_file: a list of more of them, one a line, or each ended by a zero byte; ``"-"`` is
            standard input.
        shard: only what falls into it.

    Returns:
        The recordings, and pairs of a folder and what is wrong with it.

    Raises:
        UsageError: there are no sources, or the list has no name.
        ChordtoolError: the list cannot be read.
    """
    wanted = [*sources, *(_read_list(from_file) if from_file is not None else [])]
    problems: list[tuple[str, str]] = []

    def note(error: OSError) -> None:
        problems.append((os.fsdecode(error.filename), f"It cannot be listed: {error.strerror}."))

    found = find_audio(wanted, on_error=note)
    # Links are kept: a path is the name of a recording, not the place of its bytes.
    paths = list(dict.fromkeys(os.path.abspath(path) for path in found))  # noqa: PTH100
    closed = {path for path, _ in problems}
    for path in [path for path in paths if os.path.isdir(path)]:  # noqa: PTH112
        paths.remove(path)
        if path not in closed:
            problems.append((path, "It holds no recordings."))
    return [path for path in paths if shard is None or shard.has(path)], problems


def _read_list(name: str) -> list[str]:
    if not name:
        raise UsageError(
            "The list of sources has no name.", hint="Name a file; - is standard input."
        )
    try:
        data = b"".join(chunks(sys.stdin.buffer)) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ChordtoolError(f"{name} cannot be read: {error.strerror}.") from None
    parts = data.split(b"\0") if b"\0" in data else data.splitlines()
    found = [os.fsdecode(part) for part in parts if part.strip()]
    if not found:
        raise UsageError(f"{name} lists no recordings.", hint="Put one path on each line.")
    return found
