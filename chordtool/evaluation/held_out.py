"""The songs that a training run put aside for testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chordtool.matching import song_names
from chordtool.training.config import FinetuneConfig
from chordtool.training.config_file import CONFIG, resolve
from chordtool.training.split import SPLIT, read_split


@dataclass(frozen=True)
class HeldOut:
    """Songs by the names that the run has for them."""

    songs: frozenset[str]
    pattern: str | None = None
    """The run's ``song_pattern``."""

    def of(self, files: Sequence[Path]) -> list[Path]:
        """Those of some label files that are of a test song."""
        names = song_names(list(files), self.pattern)
        return [file for file, name in zip(files, names, strict=True) if name in self.songs]

    def absent(self, files: Sequence[Path]) -> tuple[str, ...]:
        """The test songs that none of some label files is of, sorted."""
        return tuple(sorted(self.songs.difference(song_names(list(files), self.pattern))))


def read_held_out(path: Path) -> HeldOut:
    """Read which songs a run put aside.

    Args:
        path: the folder of a run of ``chordtool finetune``, where songs are called what its
            ``config.json`` says; or a file like its ``split.json``, where they have their files'
            names, unless it lies in a run.

    Raises:
        UsageError: a file is not what it should be.
    """
    split = read_split(str(path)) or {}
    run = path if path.is_dir() else path.parent
    # What lies beside a split that somebody wrote need not be a run's.
    config = run / CONFIG if path in (run, run / SPLIT) else None
    pattern = None
    if config is not None and config.exists():
        pattern = resolve(FinetuneConfig, {}, config).song_pattern
    return HeldOut(frozenset(split.get("test", ())), pattern)
