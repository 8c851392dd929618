"""Which file belongs to which, by name: labels to audio, to estimates, recordings to songs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chordtool.errors import UsageError


@dataclass(frozen=True)
class Matches:
    """Files and their partners."""

    pairs: tuple[tuple[Path, Path], ...]
    """(file, partner), in the order of the files."""
    alone: tuple[Path, ...]
    """Files without a partner."""
    unused: tuple[Path, ...]
    """Partners that nothing asked for."""

    def songs(self, pattern: str | None) -> list[str]:
        """:func:`song_names` of the pairs, as they are among all files.

        Whoever names the songs of the same files again, as evaluation does by a run's split, need
        not know which of them had partners.
        """
        files = [file for file, _ in self.pairs]
        return song_names([*files, *self.alone], pattern)[: len(files)]


def match_by_name(
    files: Iterable[Path], folder: Path, partners: Iterable[Path], partner_folder: Path
) -> Matches:
    """Find each file's partner: the same path below its folder, else the only one of that stem.

    Suffixes do not count. Of several partners with the same path the first is taken. A stem says
    which is meant only if one partner has it, and one of the files that have none by their path.

    Args:
        files: files below ``folder``.
        partners: files below ``partner_folder``.
    """
    files, available = list(files), list(partners)
    by_place = {_place(path, partner_folder): path for path in reversed(available)}
    found = {file: by_place[place] for file in files if (place := _place(file, folder)) in by_place}
    # By its stem alone a file is matched where there can be no doubt. Albums have a track 01 each.
    claimed = set(found.values())
    wanted = Counter(file.stem for file in files if file not in found)
    alike = Counter(path.stem for path in by_place.values())
    by_stem = {path.stem: path for path in by_place.values() if path not in claimed}
    for file in files:
        if wanted[file.stem] == alike[file.stem] == 1 and file.stem in by_stem:
            found.setdefault(file, by_stem[file.stem])
    used = set(found.values())
    return Matches(
        tuple((file, found[file]) for file in files if file in found),
        tuple(file for file in files if file not in found),
        tuple(path for path in available if path not in used),
    )


def _place(path: Path, folder: Path) -> Path:
    return path.relative_to(folder).with_suffix("")


def song_names(paths: list[Path], pattern: str | None) -> list[str]:
    """Which song each file is a recording of.

    The stem; where several files have the same stem, the folder's name is put before it. With a
    pattern, its first group (or the whole match) in the stem, if it is found there and not empty.

    Raises:
        UsageError: the pattern is no regular expression.
    """
    try:
        find: Callable[[str], Any] = re.compile(pattern).search if pattern else lambda _: None
    except re.error as error:
        raise UsageError(
            f"--song-pattern is no regular expression: {error}.",
            hint="For example '^([0-9]+)-' for files like 012-piano.flac.",
        ) from None
    counts = Counter(path.stem for path in paths)
    names = []
    for path in paths:
        match = find(path.stem)
        if match and (name := match[1] if match.re.groups else match[0]):
            names.append(name)
        elif counts[path.stem] > 1:
            names.append(f"{path.parent.name}/{path.stem}")
        else:
            names.append(path.stem)
    return names
