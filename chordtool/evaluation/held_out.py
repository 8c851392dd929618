"""The songs that a training run put aside for testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chordtool.matching import song_names
from chordtool.training.config import FinetuneConfig
from chordtool.training.config_file import resolve
from chordtool.training.split import read_split


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


def read_held_out(path: Path) -> HeldOut:
    """Read which songs a run put aside.

    Args:
        path: the folder of a run of ``chordtool finetune``, or a ``split.json``. Songs are called
            what the ``config.json`` beside it says; without one, by their files' stems.

    Raises:
        UsageError: a file is not what it should be.
    """
    file = path / "split.json" if path.is_dir() else path
    split = read_split(str(path)) or {}
    config = file.with_name("config.json")
    pattern = resolve(FinetuneConfig, {}, config).song_pattern if config.exists() else None
    return HeldOut(frozenset(split.get("test", ())), pattern)
