"""Which file belongs to which, by name: labels to audio, labels to estimates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Matches:
    """Files and their partners."""

    pairs: tuple[tuple[Path, Path], ...]
    """(file, partner), in the order of the files."""
    alone: tuple[Path, ...]
    """Files without a partner."""
    unused: tuple[Path, ...]
    """Partners that nothing asked for."""


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
