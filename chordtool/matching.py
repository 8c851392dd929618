"""Which file belongs to which, by name: labels to audio, labels to estimates."""

from __future__ import annotations

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

    Suffixes do not count. Of several partners with the same path the first is taken.

    Args:
        files: files below ``folder``.
        partners: files below ``partner_folder``.
    """
    available = list(partners)
    by_place = {_place(path, partner_folder): path for path in reversed(available)}
    by_stem: dict[str, dict[Path, Path]] = {}
    for place, path in by_place.items():
        by_stem.setdefault(path.stem, {})[place] = path
    pairs: list[tuple[Path, Path]] = []
    alone: list[Path] = []
    for file in files:
        found = by_place.get(_place(file, folder))
        alike = by_stem.get(file.stem, {})
        if found is None and len(alike) == 1:
            found = next(iter(alike.values()))
        if found is None:
            alone.append(file)
        else:
            pairs.append((file, found))
    used = {path for _, path in pairs}
    return Matches(tuple(pairs), tuple(alone), tuple(p for p in available if p not in used))


def _place(path: Path, folder: Path) -> Path:
    return path.relative_to(folder).with_suffix("")
